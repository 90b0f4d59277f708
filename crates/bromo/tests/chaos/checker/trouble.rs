//! When something was done to a node, to its links or to the servers behind them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{At, Event, History, Link, LinkState, Node, What};

/// Of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Process(Node),
    Link(Node, Link),
    Server(Link),
}

/// Stretches in which something was not well.
#[derive(Debug, Default)]
pub(super) struct Trouble(BTreeMap<Subject, Vec<(At, At)>>);

impl Trouble {
    pub(super) fn new(history: &History) -> Self {
        let mut trouble = Self::default();
        for Event { at, what } in &history.events {
            match what {
                What::NodeFrozen { node } => trouble.note(*at, Subject::Process(*node), true),
                What::NodeWoken { node } => trouble.note(*at, Subject::Process(*node), false),
                What::Linked { node, link, state } => {
                    trouble.note(*at, Subject::Link(*node, *link), *state != LinkState::Whole);
                }
                What::Server { server, is_there, .. } => {
                    trouble.note(*at, Subject::Server(*server), !is_there)
                }
                _ => {}
            }
        }
        trouble
    }

    fn note(&mut self, at: At, subject: Subject, is_ill: bool) {
        let stretches = self.0.entry(subject).or_default();
        let open = stretches.last_mut().filter(|(_, until)| *until == Duration::MAX);
        match (open, is_ill) {
            (Some((_, until)), false) => *until = at,
            (None, true) => stretches.push((at, Duration::MAX)),
            (Some(_), true) | (None, false) => {}
        }
    }

    /// Whether this server was away at any time between `from` and `until`.
    pub(super) fn was_away(&self, server: Link, from: At, until: At) -> bool {
        let stretches = self.0.get(&Subject::Server(server));
        stretches.is_some_and(|all| all.iter().any(|(begun, ended)| *begun <= until && *ended >= from))
    }

    /// Whether this node had any between `from` and `until`.
    pub(super) fn is_felt(&self, of: Node, from: At, until: At) -> bool {
        self.0.iter().any(|(subject, stretches)| {
            let concerns = match subject {
                Subject::Process(node) | Subject::Link(node, _) => *node == of,
                Subject::Server(_) => true,
            };
            concerns && stretches.iter().any(|(begun, ended)| *begun <= until && *ended >= from)
        })
    }
}
