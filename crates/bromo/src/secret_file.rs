//! Small secrets in files that only their owner may read.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;

/// The content of the file, without the line break at its end; none if it is not there.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a new file with mode 0600.
pub(crate) fn write(path: &Path, secret: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.set_permissions(Permissions::from_mode(0o600))?; // It may have been there.
    writeln!(file, "{secret}").with_context(|| format!("cannot write {}", path.display()))
}

/// The admin token of the file; made from 32 random bytes where there is none.
pub(crate) fn admin_token(path: &Path) -> anyhow::Result<String> {
    read_or_make(path)
}

/// The key that seals webhook secrets; made from 32 random bytes where there is none.
pub(crate) fn seal_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    let hex = read_or_make(path)?;
    let mut key = [0; 32];
    let good = hex.len() == 64 && hex.is_ascii();
    let bytes = (0..32).map(|index| u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok());
    for (place, byte) in key.iter_mut().zip(bytes) {
        match byte.filter(|_| good) {
            Some(byte) => *place = byte,
            None => anyhow::bail!("{} holds no key: 64 hexadecimal digits", path.display()),
        }
    }
    Ok(key)
}

/// The secret of the file; 32 random bytes in hexadecimal where there is none.
fn read_or_make(path: &Path) -> anyhow::Result<String> {
    if let Some(secret) = read(path)?.filter(|secret| !secret.is_empty()) {
        return Ok(secret);
    }
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let secret = random.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    write(path, &secret)?;
    Ok(secret)
}
