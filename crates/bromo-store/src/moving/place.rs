//! Where reading goes on: the key of the last row that was read.

use std::fmt;
use std::str::FromStr;

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyPart {
    Int(i64),
    Bytes(Vec<u8>),
}

/// A key. As a text its values stand apart by spaces, bytes in hexadecimal behind an x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) Vec<KeyPart>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            match part {
                KeyPart::Int(number) => write!(f, "{space}{number}")?,
                KeyPart::Bytes(bytes) => {
                    write!(f, "{space}x")?;
                    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                }
            }
        }
        Ok(())
    }
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let part = |text: &str| match text.strip_prefix('x') {
            Some(hex) => bytes(hex).map(KeyPart::Bytes),
            None => text.parse().map(KeyPart::Int).map_err(|_| NoPlace),
        };
        text.split(' ').map(part).collect::<Result<_, _>>().map(Self)
    }
}

fn bytes(hex: &str) -> Result<Vec<u8>, NoPlace> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return Err(NoPlace);
    }
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2).unwrap_or_default(), 16).map_err(|_| NoPlace);
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_it_was() {
        let place = Place(vec![KeyPart::Int(-7), KeyPart::Bytes(vec![0, 0xfe]), KeyPart::Bytes(Vec::new())]);
        assert_eq!(place.to_string(), "-7 x00fe x");
        assert_eq!(place.to_string().parse(), Ok(place));
        for nonsense in ["", "x0", "xzz", "7  8", "xä1"] {
            assert_eq!(nonsense.parse::<Place>(), Err(NoPlace), "{nonsense}");
        }
    }
}
