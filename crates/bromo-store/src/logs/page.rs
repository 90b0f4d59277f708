//! A search through blocks, the newest first: what was found so far, and when to stop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;

use super::decode::{Block, Columns, Wanted};
use super::{LogFilter, LogPage, StoredLine};
use crate::error::StoreError;

/// How far a search may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Only lines before this cursor.
    pub(crate) before: Option<u64>,
    /// Lines at most.
    pub(crate) lines_max: usize,
    /// Blocks are not begun after this; none lasts for ever.
    pub(crate) deadline: Option<Instant>,
}

/// The newest matching lines seen so far, the oldest of them on top.
pub(crate) struct Page<'a> {
    filter: &'a LogFilter,
    bounds: &'a Bounds,
    before: u64,
    newest: BinaryHeap<Reverse<BySeq>>,
    /// Whether a block was searched that no search of newer lines has to look at.
    got_on: bool,
    /// The first block that was not searched because the time was up: its last seq, its last instant.
    stopped: Option<(u64, i64)>,
}

impl<'a> Page<'a> {
    /// Nothing seen yet.
    pub(crate) fn new(filter: &'a LogFilter, bounds: &'a Bounds) -> Self {
        let before = bounds.before.unwrap_or(u64::MAX);
        Self { filter, bounds, before, newest: BinaryHeap::new(), got_on: false, stopped: None }
    }

    /// Whether to leave out blocks that end at `last_seq` or before: they cannot add anything, or the time is up.
    pub(crate) fn is_done(&mut self, last_seq: u64, last_at: i64) -> bool {
        if self.floor() >= last_seq {
            return true;
        }
        // Blocks that the cursor cuts are searched again by who goes on from it: with those alone it gets nowhere.
        if last_seq < self.before {
            if self.got_on && self.bounds.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.stopped = Some((last_seq, last_at));
                return true;
            }
            self.got_on = true;
        }
        false
    }

    /// Lines at or below this seq are not wanted any more.
    fn floor(&self) -> u64 {
        match self.newest.peek() {
            Some(Reverse(oldest)) if self.newest.len() == self.bounds.lines_max => oldest.0.cursor,
            _ => self.filter.after.unwrap_or(0),
        }
    }

    /// Adds what matches in a block of the account.
    pub(crate) fn add(&mut self, account: AccountId, data: &[u8]) -> Result<(), StoreError> {
        let block = Block::unpack(data)?;
        let columns = Columns::read(&block)?;
        let wanted = Wanted {
            filter: self.filter,
            after: self.floor(),
            before: self.before,
            count: self.bounds.lines_max,
        };
        for line in columns.search(&wanted)? {
            self.newest.push(Reverse(BySeq(line.stored(account))));
            if self.newest.len() > self.bounds.lines_max {
                self.newest.pop();
            }
        }
        Ok(())
    }

    /// What was found, and where to go on.
    pub(crate) fn finish(self) -> LogPage {
        let full = self.newest.len() == self.bounds.lines_max;
        let mut lines: Vec<StoredLine> =
            self.newest.into_sorted_vec().into_iter().map(|Reverse(BySeq(line))| line).collect();
        let Some((last_seq, last_at)) = self.stopped else {
            let more = lines.last().filter(|_| full).map(|line| line.cursor);
            return LogPage { lines, more, searched_to: None };
        };
        // Others may stand between those found further down.
        lines.retain(|line| line.cursor > last_seq);
        LogPage { lines, more: Some(last_seq + 1), searched_to: Some(Timestamp::from_millis(last_at)) }
    }
}

/// A line, ordered by its seq alone.
struct BySeq(StoredLine);

impl PartialEq for BySeq {
    fn eq(&self, other: &Self) -> bool {
        self.0.cursor == other.0.cursor
    }
}

impl Eq for BySeq {}

impl PartialOrd for BySeq {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BySeq {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cursor.cmp(&other.0.cursor)
    }
}
