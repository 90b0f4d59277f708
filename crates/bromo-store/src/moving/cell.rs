//! A value on its way, in the type that its new column has; and what a row is checked by.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Int8(Option<i64>),
    Int4(Option<i32>),
    Int2(Option<i16>),
    Bool(Option<bool>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Uuid(Option<Uuid>),
}

impl Cell {
    /// What it takes in memory, roughly.
    pub(crate) fn size(&self) -> usize {
        let more = match self {
            Self::Text(text) => text.as_ref().map_or(0, String::len),
            Self::Bytes(bytes) => bytes.as_ref().map_or(0, Vec::len),
            Self::Int8(_) | Self::Int4(_) | Self::Int2(_) | Self::Bool(_) | Self::Uuid(_) => 0,
        };
        size_of::<Self>() + more
    }

    /// As the database hashes it: 0 for null, or 1 and the value, long ones behind their length.
    fn hash(&self, hash: &mut Sha256) {
        match self {
            Self::Int8(value) => fixed(hash, value.map(i64::to_be_bytes)),
            Self::Int4(value) => fixed(hash, value.map(i32::to_be_bytes)),
            Self::Int2(value) => fixed(hash, value.map(i16::to_be_bytes)),
            Self::Bool(value) => fixed(hash, value.map(|value| [u8::from(value)])),
            Self::Uuid(value) => fixed(hash, value.map(Uuid::into_bytes)),
            Self::Text(value) => long(hash, value.as_deref().map(str::as_bytes)),
            Self::Bytes(value) => long(hash, value.as_deref()),
        }
    }
}

fn fixed<const N: usize>(hash: &mut Sha256, value: Option<[u8; N]>) {
    match value {
        None => hash.update([0]),
        Some(bytes) => {
            hash.update([1]);
            hash.update(bytes);
        }
    }
}

fn long(hash: &mut Sha256, value: Option<&[u8]>) {
    fixed(hash, value.map(|bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()));
    hash.update(value.unwrap_or_default());
}

/// The first 32 bits of a row's SHA-256. Their sum over all rows tells whether a table has these very rows.
pub(crate) fn checksum(row: &[Cell]) -> i64 {
    let mut hash = Sha256::new();
    for cell in row {
        cell.hash(&mut hash);
    }
    hash.finalize().first_chunk().map_or(0, |bytes| i64::from(u32::from_be_bytes(*bytes)))
}
