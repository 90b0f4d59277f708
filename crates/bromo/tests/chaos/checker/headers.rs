//! Limit headers come from one decision: they agree with each other and with the limit in force.

use std::time::Duration;

use super::{Faults, Request, Seen};
use crate::history::{Account, Ask, At, Link, Reply};

/// After a downgrade Current may exceed Limit, as long as a call may run.
const CALL_MAX: Duration = Duration::from_secs(40);
/// After Redis came back, asks on their way may count as calls for so long.
const DOUBTFUL_MAX: Duration = Duration::from_secs(5);

pub(super) fn check(seen: &Seen<'_>, faults: &mut Faults) {
    for (number, request) in &seen.requests {
        if let Some((at, Some(reply))) = request.ended {
            let mut say = |words: String| {
                faults.add(
                    at,
                    request.account,
                    format!("request {number} ({}, {}): {words}", reply.id, reply.status),
                );
            };
            match reply.limits {
                [
                    Some(rate),
                    Some(left),
                    Some(limit),
                    Some(current),
                    Some(remaining),
                    Some(l),
                    Some(c),
                    Some(r),
                ] => {
                    if (limit, current, remaining) != (l, c, r) {
                        say(format!("its two families differ: {limit} {current} {remaining}, {l} {c} {r}"));
                    }
                    if remaining != (limit - current).max(0) {
                        say(format!("of {limit}, {current} are in use and {remaining} remain"));
                    }
                    if !(0..=rate).contains(&left) {
                        say(format!("of a rate of {rate} there are {left} left"));
                    }
                    counts(seen, request, (limit, current), &mut say);
                }
                _ if reply.limits.iter().any(Option::is_some) => {
                    say(format!("some of its limit headers are missing: {:?}", reply.limits));
                }
                _ => absent(reply, &mut say),
            }
        }
    }
}

fn counts(seen: &Seen<'_>, request: &Request<'_>, counts: (i64, i64), say: &mut impl FnMut(String)) {
    let (limit, current) = counts;
    let Some((at, Some(reply))) = request.ended else { return };
    let (account, sent): (Account, At) = (request.account, request.sent);
    let limits = &seen.limits[account];
    if !u32::try_from(limit).is_ok_and(|limit| limits.allow(limit, sent, at)) {
        say(format!("a limit of {limit}, which was not in force since it was sent"));
    }
    // Asks that a lost Redis may have granted count until their nodes hear that it had not (decision record 15).
    let doubtful = seen.trouble.was_away(Link::Redis, sent.saturating_sub(DOUBTFUL_MAX), at);
    if current > i64::from(limits.most(sent.saturating_sub(CALL_MAX), at)) && !doubtful {
        say(format!("{current} slots in use, which no limit allowed lately"));
    }
    if reply.status == 200 && matches!(request.ask, Ask::Now { .. }) && (current < 1 || current > limit) {
        say(format!("admitted as number {current} of {limit}"));
    }
}

/// Only a 503 without a decision has none.
fn absent(reply: &Reply, say: &mut impl FnMut(String)) {
    if reply.status != 503 {
        say("no limit headers".to_owned());
    } else if !reply.retry_after {
        say("no decision was made, and nothing says when to ask again".to_owned());
    }
}
