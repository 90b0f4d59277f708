//! Nodes end when they are asked to, and nobody is told that its key or task is unknown.

use std::time::Duration;

use super::{Faults, Seen};
use crate::history::{At, Node, What};

/// A node that others took for dead ends itself as soon as it learns of it; so long after its trouble at most.
const LEARNS_MAX: Duration = Duration::from_secs(5);

pub(super) fn check(seen: &Seen<'_>, faults: &mut Faults) {
    for (at, what) in seen.events() {
        match what {
            What::NodeEnded { node, code: None } => {
                faults.add(at, None, format!("node {node} did not end when it was asked to"));
            }
            What::NodeEnded { node, code: Some(code) } if *code != 0 && !may_break(seen, *node, at) => {
                faults.add(at, None, format!("node {node} was asked to end and ended with {code}"));
            }
            What::NodeBroke { node, code } if !may_break(seen, *node, at) => {
                faults.add(
                    at,
                    None,
                    format!("node {node} ended by itself with {code}, and nothing was wrong with it"),
                );
            }
            _ => {}
        }
    }
    for (number, request) in &seen.requests {
        if let Some((at, Some(reply))) = request.ended
            && reply.status == 401
        {
            faults.add(at, request.account, format!("request {number}: its key was not known"));
        }
    }
}

fn may_break(seen: &Seen<'_>, node: Node, at: At) -> bool {
    seen.trouble.is_felt(node, at.saturating_sub(LEARNS_MAX), at)
}
