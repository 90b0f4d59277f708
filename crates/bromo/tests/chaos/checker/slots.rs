//! Never more calls at once than the limit allows, and every slot back in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Call, Faults, Seen};
use crate::history::{Account, Ask, At, Number, What};

/// A lease ends so long after its last renewal, and a node that lives renews more often than this.
const LEASE: Duration = Duration::from_secs(10);
const RENEWED_EVERY: Duration = Duration::from_millis(3_500);
/// A node that cannot renew cuts its calls after this long, so no lease was renewed longer ago.
const RENEWED_MAX: Duration = Duration::from_secs(7);
/// From its waking until a node has cut what it must cut, and its sockets are seen closed.
const WAKING: Duration = Duration::from_millis(1_000);
/// From a task's admission to its arrival at the provider, with everything well and otherwise.
const START_MAX: Duration = Duration::from_secs(3);
const TROUBLED_START_MAX: Duration = Duration::from_secs(25);
/// After the end of all trouble, or of its queue, an account has all its slots again after this long.
const BACK: Duration = Duration::from_secs(10);
const BACK_MARGIN: Duration = Duration::from_secs(4);

pub(super) fn check(seen: &Seen<'_>, faults: &mut Faults) {
    at_once(seen, faults);
    cut_on_waking(seen, faults);
    back(seen, faults);
}

/// The last beginning or end of a call with the same tag, and when that call was admitted.
type Before = (At, Option<(At, At)>);

/// A call in progress, with the stretch in which it was admitted.
struct Running<'a> {
    call: &'a Call<'a>,
    admitted: (At, At),
}

fn at_once(seen: &Seen<'_>, faults: &mut Faults) {
    let mut running: BTreeMap<Account, BTreeMap<Number, Running<'_>>> = BTreeMap::new();
    let mut before: BTreeMap<&str, Before> = BTreeMap::new();
    for (at, what) in seen.events() {
        match what {
            What::CallBegan { call: number, account, .. } => {
                let call = &seen.calls[number];
                let admitted = admitted(seen, call, before.get(call.tag));
                before.insert(call.tag, (at, Some(admitted)));
                let of = running.entry(*account).or_default();
                of.insert(*number, Running { call, admitted });
                look(seen, *account, *number, of, faults);
            }
            What::CallEnded { call, .. } => {
                let Some(Call { account, tag, .. }) = seen.calls.get(call) else { continue };
                running.entry(*account).or_default().remove(call);
                if let Some((last, _)) = before.get_mut(tag) {
                    *last = at;
                }
            }
            _ => {}
        }
    }
}

/// When a call was admitted: between these two.
fn admitted(seen: &Seen<'_>, call: &Call<'_>, before: Option<&Before>) -> (At, At) {
    let asked = seen.asked.get(call.tag).and_then(|number| seen.requests.get(number));
    let sent = asked.map_or(Duration::ZERO, |request| request.sent);
    match (asked.map(|request| request.ask), before) {
        // All attempts at an answer now are made in one slot.
        (Some(Ask::Now { .. }), Some((_, Some(first)))) => *first,
        (Some(Ask::Now { .. }), _) => (sent, call.began),
        // Each attempt at a task is admitted for itself, after the one before.
        (_, before) => {
            let troubled =
                seen.trouble.is_felt(call.node, call.began.saturating_sub(TROUBLED_START_MAX), call.began);
            let most = if troubled { TROUBLED_START_MAX } else { START_MAX };
            let before = before.map_or(Duration::ZERO, |(last, _)| *last);
            (sent.max(before).max(call.began.saturating_sub(most)).min(call.began), call.began)
        }
    }
}

fn look(
    seen: &Seen<'_>,
    account: Account,
    new: Number,
    of: &BTreeMap<Number, Running<'_>>,
    faults: &mut Faults,
) {
    let at = of[&new].call.began;
    let limits = &seen.limits[account];
    let counted: Vec<(&Number, &Running<'_>)> =
        of.iter().filter(|(_, one)| !is_orphan(seen, one.call, at)).collect();
    // Whoever was admitted last was admitted beside all others.
    let most = counted.iter().map(|(_, one)| limits.most(one.admitted.0, one.admitted.1)).max();
    let most = most.unwrap_or_default();
    let calls = |numbers: Vec<Number>| format!("calls {numbers:?}");
    if counted.len() > most as usize {
        let numbers = calls(counted.iter().map(|(number, _)| **number).collect());
        let words = format!(
            "account {}: {} calls at once, and never more than {most} allowed since they were admitted: {numbers}",
            seen.name(account),
            counted.len(),
        );
        faults.add(at, account, words);
        return;
    }
    // Those that surely ran when the new one was admitted, and itself.
    let Some(Running { admitted: (from, until), .. }) = of.get(&new) else { return };
    let ran = counted.iter().filter(|(number, one)| **number != new && one.admitted.1 < *from);
    let ran: Vec<Number> = ran.map(|(number, _)| **number).collect();
    let most = limits.most(*from, *until);
    if !is_orphan(seen, of[&new].call, at) && ran.len() + 1 > most as usize {
        let words = format!(
            "account {}: call {new} was admitted beside {} others, under a limit of {most}: {}",
            seen.name(account),
            ran.len(),
            calls(ran),
        );
        faults.add(at, account, words);
    }
}

/// Whether a call's node was frozen so long at this moment that its lease may have ended, or has just woken from that.
fn is_orphan(seen: &Seen<'_>, call: &Call<'_>, at: At) -> bool {
    stretches(seen, call).any(|(from, until)| at >= from && at <= until.saturating_add(WAKING))
}

/// When the call was an orphan: from the earliest end of its lease to the waking of its node.
fn stretches(seen: &Seen<'_>, call: &Call<'_>) -> impl Iterator<Item = (At, At)> {
    let frozen = seen.frozen.get(&call.node).into_iter().flatten();
    frozen.filter_map(move |(from, until)| {
        let troubled = seen.trouble.is_felt(
            call.node,
            from.saturating_sub(LEASE),
            from.saturating_sub(Duration::from_micros(1)),
        );
        let renewed = if troubled { RENEWED_MAX } else { RENEWED_EVERY };
        let ends = *from + LEASE - renewed;
        (call.began <= *from && ends < *until).then_some((ends, *until))
    })
}

fn cut_on_waking(seen: &Seen<'_>, faults: &mut Faults) {
    let last = seen.history.events.last().map_or(Duration::ZERO, |event| event.at);
    for (number, call) in &seen.calls {
        for (from, until) in seen.frozen.get(&call.node).into_iter().flatten() {
            let has_lost = *until != Duration::MAX && *until >= *from + LEASE && call.began <= *from;
            let ended = call.ended.map_or(last, |(at, _)| at);
            if has_lost && ended > *until + WAKING {
                let words = format!(
                    "call {number} of node {} went on after its node woke from a long freeze",
                    call.node
                );
                faults.add(*until + WAKING, call.account, words);
            }
        }
    }
    answers_of_orphans(seen, faults);
}

/// A call whose node was frozen through the end of its lease answers nobody.
fn answers_of_orphans(seen: &Seen<'_>, faults: &mut Faults) {
    let mut last_calls: BTreeMap<&str, &Call<'_>> = BTreeMap::new();
    for call in seen.calls.values() {
        last_calls.insert(call.tag, call);
    }
    for (number, request) in &seen.requests {
        let Ask::Now { tag } = request.ask else { continue };
        let Some((at, Some(reply))) = request.ended else { continue };
        let Some(call) = last_calls.get(tag.as_str()) else { continue };
        for (from, until) in seen.frozen.get(&call.node).into_iter().flatten() {
            let is_long = *until >= *from + LEASE && call.began < *from && at >= *until;
            let was_open = call.ended.is_none_or(|(ended, _)| ended > *from);
            if reply.status == 200 && is_long && was_open {
                let words = format!("request {number} was answered by a call that was an orphan");
                faults.add(at, request.account, words);
            }
        }
    }
}

/// Once all is well, each account can use all its slots in time.
fn back(seen: &Seen<'_>, faults: &mut Faults) {
    let Some(healed) = seen.healed else { return };
    let mut drained: BTreeMap<Account, At> = BTreeMap::new();
    let mut left: BTreeSet<Account> = (0..seen.history.accounts.len()).collect();
    for (at, what) in seen.events() {
        match what {
            What::Drained { account } => {
                drained.entry(*account).or_insert(at);
            }
            What::Probed { account, slots, answered } if answered >= slots && left.remove(account) => {
                let from = drained.get(account).map_or(healed, |drained| healed.max(*drained));
                if at > from + BACK + BACK_MARGIN {
                    let words = format!(
                        "account {}: its {slots} slots were back {:.1} s after all was well",
                        seen.name(*account),
                        (at - from).as_secs_f64()
                    );
                    faults.add(at, *account, words);
                }
            }
            _ => {}
        }
    }
    for account in left {
        let words = format!("account {}: its slots never came back", seen.name(account));
        faults.add(None, account, words);
    }
}
