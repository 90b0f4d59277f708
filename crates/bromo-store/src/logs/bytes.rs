//! Varints, and reading bytes that may be garbage.

use crate::error::StoreError;

/// Bytes that are not a block. It carries nothing: there is nobody to tell details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Garbage;

impl From<Garbage> for StoreError {
    fn from(_: Garbage) -> Self {
        Self::Corrupt { reason: "a log block cannot be read".to_owned() }
    }
}

/// Seven bits a byte, low ones first; the top bit says that more follow.
#[expect(clippy::cast_possible_truncation, reason = "masked to the bits that fit")]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Numbers near zero, of either sign, become short varints.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_varint(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Bytes behind their length.
pub(crate) fn put_section(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes bytes from the front; every method fails rather than go past the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Garbage> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Garbage)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Garbage> {
        let (first, rest) = self.0.split_first().ok_or(Garbage)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Garbage> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Garbage);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Garbage)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Garbage> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn length(&mut self) -> Result<usize, Garbage> {
        usize::try_from(self.varint()?).map_err(|_| Garbage)
    }

    pub(crate) fn section(&mut self) -> Result<&'a [u8], Garbage> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Garbage> {
        std::str::from_utf8(self.section()?).map_err(|_| Garbage)
    }
}
