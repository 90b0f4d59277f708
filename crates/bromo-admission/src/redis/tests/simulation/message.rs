//! What is on its way, and what happens when.

use std::sync::Arc;

use bromo_rules::id::{AccountId, NodeId};

use super::world::process;
use crate::ask::Facts;
use crate::redis::command::{Answer, LeaseId, Process, Script, Seen};
use crate::redis::life::Life;
use crate::redis::node::Sent;
use crate::redis::slots::ShardId;

/// A script on its way from a node, and what the node does with the answer.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) node: usize,
    /// Of the node's connection.
    pub(super) epoch: u64,
    /// Of the servers, and which of them.
    pub(super) generation: u32,
    pub(super) shard: ShardId,
    pub(super) account: AccountId,
    pub(super) script: Script,
    pub(super) purpose: Purpose,
}

impl Message {
    pub(super) fn process(&self) -> Process {
        process(self.generation, self.shard)
    }
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
    /// It has come to this server.
    Moved(AccountId, ShardId),
    /// Of a node: waits while it is frozen.
    Of(usize, NodeEvent),
    Wake(usize),
}

#[derive(Debug, Clone)]
pub(super) enum NodeEvent {
    Tick,
    Connect,
    /// Where the accounts are.
    Learn,
    NewCall,
    EndCall(u64),
    /// The socket of a call that was cut is closed.
    Closed(u64),
    Answer(u64, Answer),
    TimedOut(u64),
    Broken(u64),
    Truth(AccountId, Option<Process>, Vec<NodeId>, Facts),
    Doubt(AccountId, u64, Facts),
    HeardOfLoss(AccountId, Seen),
    Announce(AccountId),
}
