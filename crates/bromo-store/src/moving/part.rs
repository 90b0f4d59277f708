//! What is moved, table by table: which rows of the folder become which rows of the database, and what both sides are
//! compared by.

use super::books::BOOKS;
use super::cell::Cell;
use super::log::LOG;
use super::place::Place;
use super::work::WORK;

/// A table on its way.
pub(crate) struct Part {
    /// What an operator calls it; it is also kept under this.
    pub(crate) name: &'static str,
    /// The new table.
    pub(crate) table: &'static str,
    /// Which file has the rows.
    pub(crate) file: File,
    /// Tables there, joined.
    pub(crate) from: &'static str,
    /// Which of their rows.
    pub(crate) only: &'static str,
    /// By what they are read in order: no two rows have the same.
    pub(crate) key: &'static [&'static str],
    /// The new table's columns.
    pub(crate) columns: &'static [Column],
    /// What becomes of a row that was read.
    pub(crate) shape: Shape,
    /// What is counted on both sides: rows, unless a row may become two.
    pub(crate) count: &'static str,
    /// What else is compared.
    pub(crate) sums: &'static [Sum],
}

/// A file of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    Store,
    Log,
}

/// What becomes of a row that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A row.
    AsItIs,
    /// A block of log lines: with other numbers, and cut where counting has come to.
    Block,
    /// A run: with other numbers.
    Run,
}

/// A column of the new table.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What it is in the folder.
    pub(crate) source: &'static str,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int8,
    Int4,
    Int2,
    Bool,
    Text,
    Bytes,
    Uuid,
    /// Made of an account, a colon and an idempotency key.
    KeyHash,
    /// Made of a webhook's address.
    Host,
}

/// A sum over all rows.
pub(crate) struct Sum {
    pub(crate) name: &'static str,
    /// Of what, in the folder.
    pub(crate) source: &'static str,
    /// Of what, in the new table.
    pub(crate) target: &'static str,
}

/// A column that has its own name in the folder.
pub(crate) const fn same(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, source: name }
}

/// A column that is made of something.
pub(crate) const fn made(name: &'static str, kind: Kind, source: &'static str) -> Column {
    Column { name, kind, source }
}

/// A sum over what both sides call the same.
pub(crate) const fn sum(name: &'static str, of: &'static str) -> Sum {
    Sum { name, source: of, target: of }
}

/// A sum over what the sides call by two names.
pub(crate) const fn sums(name: &'static str, source: &'static str, target: &'static str) -> Sum {
    Sum { name, source, target }
}

/// A part whose rows become rows; the rest is filled in.
pub(crate) const PLAIN: Part = Part {
    name: "",
    table: "",
    file: File::Store,
    from: "",
    only: "true",
    key: &[],
    columns: &[],
    shape: Shape::AsItIs,
    count: "count(*)",
    sums: &[],
};

/// All of it, in this order: what is referred to comes before what refers to it.
pub(crate) fn parts() -> impl Iterator<Item = &'static Part> {
    BOOKS.iter().chain(WORK).chain(LOG)
}

/// Rows that were read together.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Vec<Cell>>,
    /// The last of them; none if there were none.
    pub(crate) place: Option<Place>,
    /// Whether there are no more.
    pub(crate) last: bool,
}

/// How much is read and written together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Rows at most.
    pub(crate) rows: usize,
    /// Bytes, and one row more.
    pub(crate) bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { rows: 4096, bytes: 8 * 1024 * 1024 }
    }
}
