//! No acknowledged task is lost, ends twice, or is charged for other than its answer.

use std::collections::BTreeMap;

use super::money::{Charges, TASK};
use super::{Faults, Seen};
use crate::history::{Account, At, TaskState, What};

/// The first end of each task that anybody was told, and when.
type Ends<'a> = BTreeMap<&'a str, (At, &'a str)>;

struct Known<'a> {
    account: Account,
    key: &'a str,
    acknowledged: At,
    /// The last reading.
    last: Option<&'a TaskState>,
}

pub(super) fn check(seen: &Seen<'_>, charges: &Charges<'_>, faults: &mut Faults) {
    let mut tasks: BTreeMap<&str, Known<'_>> = BTreeMap::new();
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    // Also of tasks whose acknowledgement is still on its way.
    let mut ends = Ends::new();
    for (at, what) in seen.events() {
        match what {
            What::Acknowledged { account, key, id } => {
                if let Some(other) = ids.insert(key, id)
                    && other != id
                {
                    faults.add(at, *account, format!("key {key} is task {other} and task {id}"));
                }
                let known = Known { account: *account, key, acknowledged: at, last: None };
                if let Some(other) = tasks.get(id.as_str())
                    && other.key != key
                {
                    faults.add(at, *account, format!("task {id} has two keys: {} and {key}", other.key));
                }
                tasks.entry(id).or_insert(known);
            }
            What::TaskRead { request, account, id, http, task } => {
                let Some(known) = tasks.get_mut(id.as_str()) else { continue };
                // A server that is away or a full window says nothing of the task.
                if *http != 200 && *http != 404 {
                    continue;
                }
                if *http == 404 {
                    faults.add(at, *account, format!("task {id} was acknowledged and is not there"));
                }
                known.last = Some(task);
                // An answer may have been on its way while the end was told.
                let sent = seen.requests.get(request).map_or(at, |request| request.sent);
                let had_ended = ends.get(id.as_str()).is_some_and(|(told, _)| *told < sent);
                if task.end.is_none() && had_ended {
                    faults.add(at, *account, format!("task {id} had ended and is {} again", task.status));
                }
                if let Some(end) = &task.end {
                    once(at, *account, (id, end), &mut ends, faults);
                }
            }
            What::Posted { task, end, signed_by, .. } => once(at, *signed_by, (task, end), &mut ends, faults),
            _ => {}
        }
    }
    for (id, known) in &tasks {
        outcome(seen, id, known, charges, faults);
    }
}

fn once<'a>(
    at: At,
    account: impl Into<Option<Account>>,
    (id, end): (&'a str, &'a str),
    ends: &mut Ends<'a>,
    faults: &mut Faults,
) {
    let (_, first) = *ends.entry(id).or_insert((at, end));
    if first != end {
        faults.add(at, account, format!("task {id} ended twice: told {first}, then {end}"));
    }
}

fn outcome(seen: &Seen<'_>, id: &str, known: &Known<'_>, charges: &Charges<'_>, faults: &mut Faults) {
    let account = known.account;
    let charge = charges.get(id);
    let status = known.last.map_or("never read", |task| task.status.as_str());
    let is_right = match (status, charge) {
        ("COMPLETED", Some((of, TASK))) => *of == account,
        ("FAILED", None) => true,
        _ => false,
    };
    if !is_right {
        let words = format!(
            "task {id} (key {}) of account {}: {status}, charged {charge:?}",
            known.key,
            seen.name(account)
        );
        faults.add(known.acknowledged, account, words);
    }
}
