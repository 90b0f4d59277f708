//! What must be true of everything that was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bromo_rules::account::{Entry, EntryKind};
use bromo_rules::credit::Credits;
use bromo_store::{Accounts, Ledger};

use crate::client::Read;
use crate::faults::receiver::Post;
use crate::faults::wire::Account;
use crate::provider::Calls;

/// What a task costs, and what a call does.
const TASK: i64 = 5;
const CALL: i64 = 7;
/// More entries than a run writes.
const ENTRIES: u32 = 10_000_000;

pub(crate) struct History<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) accounts: &'a [Account],
    /// Every task that was acknowledged.
    pub(crate) tasks: &'a [Read],
    /// Ids of calls that were answered with a 200.
    pub(crate) answered: &'a BTreeSet<String>,
    pub(crate) calls: &'a [Calls; 2],
    pub(crate) posts: &'a [Post],
    pub(crate) slots: u32,
}

/// Every promise that was broken, in words.
pub(crate) async fn check(history: &History<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let store = bromo_store::open_sqlite(&history.folder.join("data")).unwrap();
    let (mut ends, mut charges) = (BTreeMap::new(), BTreeMap::<String, i64>::new());
    for (index, account) in history.accounts.iter().enumerate() {
        let entries = store.list_entries(account.id, 0, ENTRIES).await.unwrap();
        let sum: Credits = entries.iter().map(|entry| entry.amount).sum();
        let balance = store.lookup_account(account.id).await.unwrap().unwrap().balance.total();
        if sum != balance {
            faults.push(format!("account {index}: balance {balance}, ledger {sum}"));
        }
        for Entry { kind, amount, request, .. } in entries {
            if let (EntryKind::Charge, Some(request)) = (kind, request)
                && charges.insert(request.to_string(), -amount.get()).is_some()
            {
                faults.push(format!("{request} was charged twice"));
            }
        }
        if history.calls[index].most > history.slots {
            faults.push(format!("account {index}: {} calls at once", history.calls[index].most));
        }
        if history.calls[index].begun == 0 {
            faults.push(format!("account {index}: nothing was ever asked, so nothing was shown"));
        }
    }
    for task in history.tasks {
        let id = &task.id;
        let end = task.body["task"]["status"].as_str().unwrap_or_default();
        let charge = charges.remove(id);
        match (task.status, end, charge) {
            (200, "COMPLETED", Some(TASK)) | (200, "FAILED", None) => {}
            (status, ..) => {
                faults.push(format!(
                    "task {id} of account {}: {status} {end}, charged {charge:?}",
                    task.account
                ));
            }
        }
        if task.body.get("webhook").is_some() && task.body["webhook"]["delivered"] != true {
            faults.push(format!("task {id}: not delivered: {}", task.body["webhook"]));
        }
        ends.insert(id.clone(), task);
    }
    for (request, charge) in &charges {
        // The rest are calls: those that were answered, and those whose client was not told before the end.
        if *charge != CALL {
            faults.push(format!("{request} was charged {charge} for no acknowledged task"));
        }
    }
    for call in history.answered.iter().filter(|call| !charges.contains_key(*call)) {
        faults.push(format!("call {call} was answered and not charged"));
    }
    posts(history, &ends, &mut faults);
    faults
}

fn posts(history: &History<'_>, ends: &BTreeMap<String, &Read>, faults: &mut Vec<String>) {
    let mut taken = BTreeSet::new();
    for post in history.posts {
        let id = post.body["task"]["id"].as_str().unwrap_or_default();
        if post.signed_by.is_none() {
            faults.push(format!("a post of task {id} was not signed"));
        }
        match ends.get(id) {
            None => faults.push(format!("a post of task {id}, which nobody handed in")),
            Some(end)
                if end.body["task"] != post.body["task"] || end.body["response"] != post.body["response"] =>
            {
                faults.push(format!(
                    "task {id} ended twice: told {}, reads {}",
                    post.body["task"], end.body["task"]
                ));
            }
            Some(_) => {}
        }
        if post.taken {
            taken.insert(id);
        }
    }
    for (id, end) in ends {
        if end.body.get("webhook").is_some() && !taken.contains(id.as_str()) {
            faults.push(format!("task {id}: no receiver ever took it"));
        }
    }
}
