//! What is on its way, and what happens when.

use std::sync::Arc;

use bromo_rules::id::{AccountId, NodeId};

use crate::ask::Facts;
use crate::redis::command::{Answer, LeaseId, Process, Script};
use crate::redis::life::Life;
use crate::redis::node::Sent;

/// A script on its way from a node, and what the node does with the answer.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) node: usize,
    /// Of the node's connection.
    pub(super) epoch: u64,
    pub(super) process: Process,
    pub(super) account: AccountId,
    pub(super) script: Script,
    pub(super) purpose: Purpose,
}

#[derive(Debug, Clone)]
pub(super) enum Purpose {
    Ask {
        id: LeaseId,
        life: Arc<Life>,
    },
    /// The state machine's own.
    Node(Box<Sent>),
    Release {
        id: LeaseId,
        charged: bool,
    },
    /// Puts the change of this version in force.
    Change {
        version: u64,
    },
    Doubt,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// At Redis.
    Arrive(u64, Box<Message>),
    /// Something begins, or stops, being wrong.
    Fault,
    RedisUp,
    NewNode,
    Change(AccountId),
    /// Of a node: waits while it is frozen.
    Of(usize, NodeEvent),
    Wake(usize),
}

#[derive(Debug, Clone)]
pub(super) enum NodeEvent {
    Tick,
    Connect,
    NewCall,
    EndCall(u64),
    /// The socket of a call that was cut is closed.
    Closed(u64),
    Answer(u64, Answer),
    TimedOut(u64),
    Broken(u64),
    Truth(AccountId, Option<Process>, Vec<NodeId>, Facts),
    Doubt(AccountId, u64, Facts),
    HeardOfLoss(AccountId),
    Announce(AccountId),
}
