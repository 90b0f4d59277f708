//! What is done to the cluster and when: a pure function of the seed and the length.

use std::time::Duration;

use crate::cluster::NODES;
use crate::history::{Link, LinkState, Node};

/// Longer than any lease.
const FREEZE: Duration = Duration::from_secs(12);
const GAP_MS: std::ops::Range<u64> = 700..3_000;
/// Nothing lasts longer than this after the last step may begin.
const OVERTIME: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// `kill -9`, and started again after this long.
    Kill(Node),
    /// SIGSTOP, and SIGCONT after this long.
    Freeze(Node),
    /// SIGTERM, and started again as soon as it has ended.
    Restart(Node),
    /// One link in this state for this long.
    Link(Node, Link, LinkState),
    /// Redis is killed and comes back with its data.
    Redis,
    /// Redis comes back empty.
    EmptyRedis,
    /// PostgreSQL is killed and recovers.
    Postgres,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) act: Act,
}

/// Steps that begin within `length`, in order. Every kind comes before any comes again.
pub(crate) fn schedule(random: &mut fastrand::Rng, length: Duration) -> Vec<Step> {
    let (mut steps, mut hand) = (Vec::new(), Vec::new());
    let mut free_at = [Duration::ZERO; NODES];
    let mut servers_free_at = Duration::ZERO;
    let mut woken_at = Duration::ZERO;
    let mut at = Duration::from_secs(1);
    while at < length {
        let kind = match hand.pop() {
            Some(kind) => kind,
            None => {
                hand = (0..KINDS).collect();
                random.shuffle(&mut hand);
                // What lasts longest goes first.
                hand.retain(|kind| *kind != 0);
                hand.push(0);
                continue;
            }
        };
        // A Redis that lost its data admits nothing until a frozen node's lease has ended: seldom together, or little
        // would happen at all.
        if is_redis(kind) && at < woken_at && random.u8(..4) > 0 {
            match hand.iter().rposition(|kind| !is_redis(*kind)) {
                Some(other) => hand.insert(other, kind),
                None => {
                    hand.push(kind);
                    at = woken_at;
                }
            }
            continue;
        }
        let nodes: Vec<Node> = (0..NODES).filter(|node| free_at[*node] <= at).collect();
        let is_server = kind >= NODE_KINDS;
        if (is_server && servers_free_at > at) || (!is_server && nodes.is_empty()) {
            hand.push(kind);
            let next = if is_server { servers_free_at } else { free_at.iter().copied().min().unwrap() };
            at = next;
            continue;
        }
        let node = if is_server { 0 } else { nodes[random.usize(..nodes.len())] };
        let (act, lasts) = deal(kind, node, random);
        if at + lasts > length + OVERTIME {
            at += Duration::from_millis(GAP_MS.start);
            continue;
        }
        if is_server {
            servers_free_at = at + lasts + Duration::from_secs(3);
        } else {
            free_at[node] = at + lasts + Duration::from_secs(1);
        }
        if matches!(act, Act::Freeze(_)) {
            woken_at = at + lasts;
        }
        steps.push(Step { at, lasts, act });
        at += Duration::from_millis(random.u64(GAP_MS));
    }
    steps
}

const fn is_redis(kind: usize) -> bool {
    kind == 8 || kind == 9
}

const NODE_KINDS: usize = 8;
const KINDS: usize = 11;

fn deal(kind: usize, node: Node, random: &mut fastrand::Rng) -> (Act, Duration) {
    let ms = Duration::from_millis;
    let cut = if random.bool() { LinkState::Reset } else { LinkState::Silent };
    let slow = LinkState::Slow(ms(random.u64(20..300)));
    match kind {
        0 => (Act::Freeze(node), FREEZE),
        1 => (Act::Kill(node), ms(random.u64(10..4_000))),
        2 => (Act::Restart(node), ms(2_000)),
        3 => (Act::Link(node, Link::Redis, cut), ms(random.u64(300..10_000))),
        4 => (Act::Link(node, Link::Postgres, cut), ms(random.u64(300..10_000))),
        5 => (Act::Link(node, Link::Provider, cut), ms(random.u64(300..5_000))),
        6 => (Act::Link(node, Link::Redis, slow), ms(random.u64(1_000..5_000))),
        7 => (Act::Link(node, Link::Postgres, slow), ms(random.u64(1_000..5_000))),
        8 => (Act::Redis, ms(random.u64(0..3_000))),
        9 => (Act::EmptyRedis, ms(500)),
        _ => (Act::Postgres, ms(random.u64(0..3_000))),
    }
}
