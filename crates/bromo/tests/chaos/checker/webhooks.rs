//! Every end is told at least once, signed by its account.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, Seen};
use crate::history::{Account, At, What};

pub(super) fn check(seen: &Seen<'_>, faults: &mut Faults) {
    let mut owners: BTreeMap<&str, Account> = BTreeMap::new();
    let mut told = BTreeSet::new();
    // By task: the last reading of whether it was delivered.
    let mut due: BTreeMap<&str, (At, bool)> = BTreeMap::new();
    for (at, what) in seen.events() {
        match what {
            What::Acknowledged { account, id, .. } => {
                owners.insert(id, *account);
            }
            What::TaskRead { id, task, .. } => {
                if let Some(delivered) = task.delivered {
                    due.insert(id, (at, delivered));
                }
            }
            _ => {}
        }
    }
    for (at, what) in seen.events() {
        let What::Posted { task, signed_by, taken, .. } = what else { continue };
        match (owners.get(task.as_str()), signed_by) {
            (None, by) => faults.add(at, *by, format!("a post of task {task}, which nobody handed in")),
            (Some(owner), None) => faults.add(at, *owner, format!("a post of task {task} was not signed")),
            (Some(owner), Some(by)) if owner != by => {
                faults.add(at, *owner, format!("a post of task {task} was signed for another account"));
            }
            _ => {}
        }
        if *taken {
            told.insert(task.as_str());
        }
    }
    for (id, (at, delivered)) in due {
        let account = owners.get(id).copied();
        match (told.contains(id), delivered) {
            (true, true) => {}
            (false, true) => {
                faults.add(at, account, format!("task {id} reads as delivered, and no receiver took it"))
            }
            (_, false) => faults.add(at, account, format!("task {id}: its end was never delivered")),
        }
    }
}
