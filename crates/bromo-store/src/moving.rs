//! Moving a whole installation from a data folder into PostgreSQL.
//!
//! The folder is only read, so it stays what it was. Its tables are read page by page and copied in; with each page goes
//! how far it has come, so a move that was interrupted goes on where it was when it is started again. At the end both
//! sides are counted and summed, and only if they agree is the move over: until then no node starts on that database.

mod books;
mod cell;
mod days;
mod log;
mod part;
mod place;
#[cfg(test)]
mod tests;
mod work;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub(crate) use self::cell::{Cell, checksum};
pub(crate) use self::days::Days;
pub(crate) use self::part::{Bounds, Column, File, Kind, Page, Part, Shape};
pub(crate) use self::place::{KeyPart, Place};
use crate::error::StoreError;
use crate::postgres::{Found, Progress, Target};
use crate::sqlite::Source;

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moving {
    /// Which part it is at.
    pub part: &'static str,
    /// Rows of it that are written.
    pub rows: u64,
    /// Whether these are all.
    pub done: bool,
}

/// A number that both sides must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveFigure {
    /// Of which part.
    pub part: &'static str,
    /// Which number.
    pub name: &'static str,
    /// In the folder.
    pub source: i64,
    /// In the database.
    pub target: i64,
}

impl MoveFigure {
    /// Whether they agree.
    pub const fn agrees(&self) -> bool {
        self.source == self.target
    }
}

/// What a move came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What was counted and summed on both sides.
    pub figures: Vec<MoveFigure>,
}

impl Moved {
    /// Whether all numbers agree. If not the database stays marked as unfinished, and no node starts on it.
    pub fn is_whole(&self) -> bool {
        self.figures.iter().all(MoveFigure::agrees)
    }
}

/// Why a move did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// There is no database in the folder.
    #[error("{} is no data folder: it has no bromo.db", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Another move into this database is under way.
    #[error("another move into this database is under way")]
    Busy,
    /// Nodes serve what is in the database.
    #[error(
        "{nodes} nodes run on this database: stop them first (one that was killed counts for ten seconds)"
    )]
    NodesLive {
        /// How many.
        nodes: usize,
    },
    /// The database has accounts, of whomever.
    #[error("the database has accounts or log lines already: a move needs an empty one")]
    NotEmpty,
    /// What is unfinished there is not of this folder as it stands.
    #[error(
        "an unfinished move into this database is of another folder, or this one was served since: go on with that \
         folder, or begin with an empty database"
    )]
    AnotherFolder,
    /// This folder was moved there before.
    #[error("this folder was moved into this database already")]
    Finished,
    /// Whoever was told of its progress stopped it.
    #[error("stopped; started again it goes on from here")]
    Stopped,
    /// One of the two cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves all that is in the data folder `from` into the PostgreSQL database at the address `to`, or goes on with it. `told`
/// hears of each page that was written, and may stop the move there.
///
/// The folder is claimed meanwhile, brought up to date like by a server, and not changed otherwise.
///
/// # Errors
/// Why it did not come to its end; started again it goes on, where that makes sense. If it did, [`Moved::is_whole`]
/// says whether the database may be served.
pub async fn move_installation(
    from: &Path,
    to: &str,
    told: &mut dyn FnMut(&Moving) -> ControlFlow<()>,
) -> Result<Moved, MoveError> {
    carry(from, to, Bounds::default(), told).await
}

async fn carry(
    from: &Path,
    to: &str,
    bounds: Bounds,
    told: &mut dyn FnMut(&Moving) -> ControlFlow<()>,
) -> Result<Moved, MoveError> {
    let mut source = Source::open(from)?;
    let (target, lost) = Target::connect(to).await?;
    let work = async {
        let begun_on = target.begin(source.fingerprint()?).await?;
        source.number_lines(begun_on)?;
        target.make_days(&source.task_days()?, source.line_days()).await?;
        let mut figures = Vec::new();
        for part in part::parts() {
            copy(&source, &target, part, bounds, told).await?;
        }
        target.settle(&source.marks()?).await?;
        for part in part::parts() {
            let written = target.progress(part).await?;
            compare(part, &source.figures(part)?, &written, &target.figures(part).await?, &mut figures);
        }
        let wrong = target.counters_wrong().await?;
        figures.push(MoveFigure { part: "counters", name: "wrong", source: 0, target: wrong });
        let moved = Moved { figures };
        if moved.is_whole() {
            target.finish().await?;
        }
        Ok(moved)
    };
    tokio::select! {
        lost = lost => Err(lost.into()),
        moved = work => moved,
    }
}

/// Copies what is missing of a part.
async fn copy(
    source: &Source,
    target: &Target,
    part: &Part,
    bounds: Bounds,
    told: &mut dyn FnMut(&Moving) -> ControlFlow<()>,
) -> Result<(), MoveError> {
    let mut come = target.progress(part).await?;
    while !come.done {
        let page = source.page(part, come.place.as_ref(), bounds)?;
        come = target.write(part, page, &come).await?;
        if told(&Moving { part: part.name, rows: come.rows, done: come.done }).is_break() {
            return Err(MoveError::Stopped);
        }
    }
    Ok(())
}

/// Puts what both sides say beside each other.
fn compare(part: &Part, source: &[i64], written: &Progress, found: &Found, into: &mut Vec<MoveFigure>) {
    let counted = if part.shape == Shape::Block { "lines" } else { "rows" };
    let names = [counted].into_iter().chain(part.sums.iter().map(|sum| sum.name));
    for ((name, source), target) in names.zip(source).zip(&found.figures) {
        into.push(MoveFigure { part: part.name, name, source: *source, target: *target });
    }
    // What was read, and what is there: all of every row.
    let checksum =
        MoveFigure { part: part.name, name: "checksum", source: written.checksum, target: found.checksum };
    into.push(checksum);
}
