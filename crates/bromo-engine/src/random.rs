//! Randomness: fast for names, the operating system's for secrets.

/// Bits that need only differ: for request ids.
pub(crate) fn fast() -> [u8; 10] {
    let mut bytes = [0; 10];
    let bits = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
    bytes.copy_from_slice(&bits.to_le_bytes()[..10]);
    bytes
}

/// Bits that need only be spread: for jitter.
pub(crate) fn bits() -> u64 {
    fastrand::u64(..)
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness: {0}")]
pub struct RandomError(String);

/// Bits that nobody can guess: for keys.
pub(crate) fn secret<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| RandomError(error.to_string()))?;
    Ok(bytes)
}
