//! Joining steps of a level to those that a reader asked for.

use std::collections::BTreeMap;

use super::cells::{Cells, beginning};
use super::{ROLLUPS_MAX, Rollup};

/// Steps as wide as was asked for; they come newest first.
pub(crate) struct Wide {
    from: i64,
    width: i64,
    steps: BTreeMap<i64, Cells>,
    /// Rows of all steps but the oldest, which may still grow.
    rows: usize,
}

impl Wide {
    /// None yet. They begin at `from`, and each is so wide, in milliseconds.
    pub(crate) const fn new(from: i64, width: i64) -> Self {
        Self { from, width, steps: BTreeMap::new(), rows: 0 }
    }

    /// The beginning of the wide step that holds this one.
    fn beginning(&self, start: i64) -> i64 {
        self.from.saturating_add(beginning(start.saturating_sub(self.from), self.width))
    }

    /// Whether there are enough rows without the step that holds this one.
    pub(crate) fn is_full_before(&self, start: i64) -> bool {
        match self.steps.first_key_value() {
            Some((oldest, cells)) if self.beginning(start) < *oldest => {
                self.rows + cells.len() >= ROLLUPS_MAX
            }
            _ => false,
        }
    }

    /// The wide step that holds this one.
    pub(crate) fn step(&mut self, start: i64) -> &mut Cells {
        let start = self.beginning(start);
        if let Some((oldest, finished)) = self.steps.first_key_value()
            && start < *oldest
        {
            self.rows += finished.len();
        }
        self.steps.entry(start).or_default()
    }

    /// The rows, ascending.
    pub(crate) fn finish(mut self) -> Vec<Rollup> {
        let oldest = self.steps.first_key_value().map_or(0, |(_, cells)| cells.len());
        if self.rows > 0 && self.rows + oldest > ROLLUPS_MAX {
            self.steps.pop_first();
        }
        self.steps.into_iter().flat_map(|(start, cells)| cells.into_rollups(start)).collect()
    }
}
