//! Every charge once, for what was delivered, and never more than there was.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, Seen};
use crate::history::{Account, Ask, Entry, What};

/// What an answer now costs.
pub(super) const CALL: i64 = 7;
/// What a task costs.
pub(super) const TASK: i64 = 5;

/// Charges by what they were for.
pub(super) type Charges<'a> = BTreeMap<&'a str, (Account, i64)>;

pub(super) fn check<'a>(seen: &Seen<'a>, faults: &mut Faults) -> Charges<'a> {
    let mut charges = Charges::new();
    let mut granted: BTreeMap<(Account, i64), u32> = BTreeMap::new();
    let mut read = BTreeSet::new();
    for (_, what) in seen.events() {
        let What::Ledger { account, balance, entries } = what else { continue };
        read.insert(*account);
        ledger(seen, *account, *balance, entries, faults);
        for Entry { kind, amount, request, .. } in entries {
            match (kind.as_str(), request) {
                ("charge", Some(request)) => {
                    let before = charges.insert(request, (*account, -amount));
                    if before.is_some() {
                        faults.add(when(seen, request), *account, format!("{request} was charged twice"));
                    }
                }
                ("grant", _) => *granted.entry((*account, *amount)).or_default() += 1,
                _ => {}
            }
        }
    }
    for account in (0..seen.history.accounts.len()).filter(|account| !read.contains(account)) {
        faults.add(None, account, format!("account {}: its ledger was never read", seen.name(account)));
    }
    grants(seen, &granted, faults);
    calls(seen, &charges, faults);
    charges
}

fn ledger(seen: &Seen<'_>, account: Account, balance: i64, entries: &[Entry], faults: &mut Faults) {
    let name = seen.name(account);
    let (mut sum, mut last) = (0, 0);
    for Entry { seq, kind, amount, balance, .. } in entries {
        sum += amount;
        if *seq != last + 1 {
            faults.add(None, account, format!("account {name}: ledger entry {last} is followed by {seq}"));
        }
        if *balance != sum {
            faults.add(
                None,
                account,
                format!("account {name}: entry {seq} ({kind}) says {balance}, the sum is {sum}"),
            );
        }
        if sum < 0 {
            faults.add(None, account, format!("account {name}: entry {seq} ({kind}) takes it to {sum}"));
        }
        last = *seq;
    }
    if sum != balance {
        faults.add(
            None,
            account,
            format!("account {name}: its balance is {balance}, its ledger's sum {sum}"),
        );
    }
}

/// Grants have amounts that no other has.
fn grants(seen: &Seen<'_>, granted: &BTreeMap<(Account, i64), u32>, faults: &mut Faults) {
    let confirmed: BTreeSet<_> = seen
        .events()
        .filter_map(|(_, what)| match what {
            What::GrantConfirmed { grant } => Some(*grant),
            _ => None,
        })
        .collect();
    let mut sent = BTreeSet::new();
    for (at, what) in seen.events() {
        let What::GrantSent { grant, account, credits, .. } = what else { continue };
        sent.insert((*account, *credits));
        let times = granted.get(&(*account, *credits)).copied().unwrap_or_default();
        if times > 1 || (times == 0 && confirmed.contains(grant)) {
            let words =
                format!("account {}: a grant of {credits} is booked {times} times", seen.name(*account));
            faults.add(at, *account, words);
        }
    }
    for (account, credits) in granted.keys().filter(|one| !sent.contains(one)) {
        faults.add(None, *account, format!("account {}: nobody granted {credits}", seen.name(*account)));
    }
}

/// A 200 is charged, any other answer is not, and what is left is for those who were told nothing.
fn calls(seen: &Seen<'_>, charges: &Charges<'_>, faults: &mut Faults) {
    let mut told = BTreeSet::new();
    let mut untold: BTreeMap<Account, usize> = BTreeMap::new();
    for (number, request) in &seen.requests {
        let Ask::Now { .. } = request.ask else { continue };
        let Some((at, Some(reply))) = request.ended else {
            *untold.entry(request.account).or_default() += 1;
            continue;
        };
        let charge = charges.get(reply.id.as_str());
        if !reply.id.is_empty() && !told.insert(reply.id.as_str()) {
            faults.add(
                at,
                request.account,
                format!("request {number} has an id that another had: {}", reply.id),
            );
        }
        match (reply.status, charge) {
            (200, Some((account, CALL))) if *account == request.account => {}
            (200, charge) => faults.add(
                at,
                request.account,
                format!("request {number} ({}) was answered and charged {charge:?}", reply.id),
            ),
            (_, None) => {}
            (status, Some(charge)) => faults.add(
                at,
                request.account,
                format!("request {number} ({}) was answered with {status} and charged {charge:?}", reply.id),
            ),
        }
    }
    let tasks: BTreeSet<&str> = seen
        .events()
        .filter_map(|(_, what)| match what {
            What::Acknowledged { id, .. } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    let mut left: BTreeMap<Account, Vec<&str>> = BTreeMap::new();
    for (request, (account, amount)) in charges {
        if told.contains(request) || tasks.contains(request) {
            continue;
        }
        if *amount != CALL {
            faults.add(None, *account, format!("{request} was charged {amount} for no acknowledged task"));
            continue;
        }
        left.entry(*account).or_default().push(request);
    }
    for (account, requests) in left {
        let most = untold.get(&account).copied().unwrap_or_default();
        if requests.len() > most {
            let words = format!(
                "account {}: {} charges for calls that nobody made, at most {most} would be for lost answers: {requests:?}",
                seen.name(account),
                requests.len()
            );
            faults.add(None, account, words);
        }
    }
}

/// When something with this id was seen first.
fn when(seen: &Seen<'_>, id: &str) -> Option<std::time::Duration> {
    seen.events().find_map(|(at, what)| match what {
        What::Acknowledged { id: of, .. } if of == id => Some(at),
        What::Answered { reply, .. } if reply.id == id => Some(at),
        _ => None,
    })
}
