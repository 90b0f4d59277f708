//! Rows that name this node although nothing here holds them: a lost connection leaves them behind, where a claim was
//! written and its answer never came, or a delivery was to be put back and never was. The node lives, so nobody else
//! would have them; it looks for them itself.
//!
//! What is on its way is held by nobody either. So a row is a stray only if it is found twice, unchanged, with more time
//! between than any answer takes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bromo_rules::id::NodeId;

use super::link::Link;
use super::local::Local;
use super::rows::get;
use super::settings::TRIP_MAX;
use super::tx::Tx;
use super::{attempt, claim, house};
use crate::error::StoreError;
use crate::tasks::{Claim, TaskSeq};

/// Between the two looks.
const SETTLED: Duration = TRIP_MAX.saturating_add(Duration::from_secs(3));
/// How often it is looked without a reason.
const EVERY: Duration = Duration::from_secs(60);

const TASKS: &str = "SELECT seq, fence FROM queue WHERE node = $1";
const DELIVERIES: &str = "SELECT seq, attempts FROM due WHERE node = $1";

/// Rows that nothing here holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unheld {
    tasks: HashSet<Claim>,
    /// With the attempts made.
    deliveries: HashSet<(TaskSeq, i32)>,
}

impl Unheld {
    /// Looks once.
    pub(super) async fn look(tx: &Tx<'_>, local: &Local, node: NodeId) -> Result<Self, StoreError> {
        let node = node.to_i64();
        let mut unheld = Self::default();
        for row in tx.query(TASKS, &[&node]).await? {
            unheld.tasks.insert(Claim { seq: get(&row, 0)?, fence: get(&row, 1)? });
        }
        for row in tx.query(DELIVERIES, &[&node]).await? {
            unheld.deliveries.insert((get(&row, 0)?, get(&row, 1)?));
        }
        let held = local.held();
        unheld.tasks.retain(|claim| !held.tasks.contains(claim));
        unheld.deliveries.retain(|(seq, _)| !held.deliveries.contains(seq));
        drop(held);
        Ok(unheld)
    }

    /// Those that an earlier look found too.
    pub(super) fn also_in(mut self, earlier: &Self) -> Self {
        self.tasks.retain(|claim| earlier.tasks.contains(claim));
        self.deliveries.retain(|delivery| earlier.deliveries.contains(delivery));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.deliveries.is_empty()
    }

    /// Gives them back: attempts that were never made.
    pub(super) async fn give_back(&self, tx: &Tx<'_>, node: NodeId) -> Result<(), StoreError> {
        let tasks: Vec<_> = self.tasks.iter().copied().collect();
        claim::unmake(tx, &tasks).await?;
        let deliveries: Vec<_> = self.deliveries.iter().map(|(seq, _)| *seq).collect();
        attempt::put_back(tx, &deliveries, node).await
    }
}

/// Looks now and then, and soon where there is reason to.
#[derive(Default)]
pub(super) struct Strays {
    found: Option<(Instant, Unheld)>,
    looked: Option<Instant>,
}

impl Strays {
    /// The next step, if it is time.
    pub(super) async fn keep(&mut self, link: &Link, local: &Local, node: NodeId) -> Result<(), StoreError> {
        if let Some((at, earlier)) = &self.found {
            if at.elapsed() < SETTLED {
                return Ok(());
            }
            let now = house::in_tx(link, async |tx| Unheld::look(tx, local, node).await).await?;
            let strays = now.also_in(earlier);
            if !strays.is_empty() {
                tracing::warn!(
                    tasks = strays.tasks.len(),
                    deliveries = strays.deliveries.len(),
                    "given back what a lost connection left behind"
                );
                house::in_tx(link, async |tx| strays.give_back(tx, node).await).await?;
                local.recover(strays.tasks.len() as u64);
            }
            self.found = None;
            return Ok(());
        }
        if local.doubts() || self.looked.is_none_or(|looked| looked.elapsed() >= EVERY) {
            self.looked = Some(Instant::now());
            let unheld = house::in_tx(link, async |tx| Unheld::look(tx, local, node).await).await?;
            self.found = (!unheld.is_empty()).then(|| (Instant::now(), unheld));
        }
        Ok(())
    }
}
