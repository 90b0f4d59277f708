//! What a node says to the scripts, and what they answer: as values, so that the real server and its model in the
//! tests are asked the same.

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, NodeId};
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;

use crate::ask::{Facts, RouteIndex};
use crate::permit::Settled;
use crate::{Denial, Usage};

/// A lease's name in Redis: made by its node before it asks, so that it can be given back whatever became of the ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LeaseId {
    pub(crate) node: NodeId,
    /// Counted up by the node.
    pub(crate) number: u64,
    pub(crate) hold: Credits,
}

/// A lease that is asked for or registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    /// From now until such work is usually done; negative if it is late.
    pub(crate) usual_ms: i64,
}

/// The server process behind a connection: its `run_id`. What another process remembered is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process(pub(crate) std::sync::Arc<str>);

/// The record that a script found: when it was made, which no other of its account has; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen(pub(crate) u64);

/// One script of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Script {
    Open(Facts),
    /// `doubts`: what was answered with [`Answer::Doubtful`] before the facts were read; else 0.
    Announce {
        facts: Facts,
        doubts: u64,
    },
    Admit {
        facts: Facts,
        key: KeyId,
        route: RouteIndex,
        rate: Limit,
        lease: Option<Lease>,
    },
    Start {
        facts: Facts,
        leases: Vec<Lease>,
    },
    /// `settled`: after the last of their charges, if there was one.
    Release {
        leases: Vec<LeaseId>,
        settled: Option<Settled>,
    },
    Renew {
        leases: Vec<LeaseId>,
    },
    Register {
        seen: Seen,
        facts: Option<Facts>,
        living: Vec<NodeId>,
        leases: Vec<Lease>,
    },
    Look {
        compare: bool,
    },
}

/// A script with everything around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) account: AccountId,
    pub(crate) node: NodeId,
    pub(crate) process: Process,
    /// Under a test prefix; else Redis has the time.
    pub(crate) now: Option<Timestamp>,
    pub(crate) script: Script,
}

/// What became of a request's ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Counted,
    Admitted,
    Denied(Denial),
}

/// What a script answers. `woke`: a task of the account waited for what this changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Another server of the cluster has the account, or will in a moment. Nothing was done.
    Elsewhere,
    /// The ask was made on an older version of the account.
    Stale,
    /// No record of the account, or none that this server process vouches for, or not the one that was meant.
    Lost {
        seen: Seen,
    },
    /// Nodes are still registering.
    Opening {
        in_ms: u64,
        seen: Seen,
    },
    /// Holds expired so often that the balance may lack charges: the store is to be asked.
    Doubtful {
        doubts: u64,
    },
    Done {
        woke: bool,
    },
    Judged {
        outcome: Outcome,
        left: u32,
        slots: SlotStanding,
        balance: Credits,
        woke: bool,
    },
    Started {
        taken: usize,
        slots: SlotStanding,
        denial: Option<Denial>,
        woke: bool,
        expires_in_ms: u64,
    },
    /// `gone`: places of the leases that are there no more.
    Renewed {
        woke: bool,
        gone: Vec<usize>,
    },
    Registered {
        woke: bool,
        opens_in_ms: u64,
        gone: Vec<usize>,
    },
    Looked(Look),
}

/// One account, as it is in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) woke: bool,
    pub(crate) slots: SlotStanding,
    pub(crate) held: Credits,
    pub(crate) balance: Credits,
    /// No lease expires before; 0 if there is none.
    pub(crate) expires_in_ms: u64,
    /// Counts and leases did not agree.
    pub(crate) repaired: bool,
    pub(crate) opens_in_ms: u64,
}

impl Look {
    pub(crate) const fn usage(&self, account: AccountId) -> Usage {
        Usage { account, slots: self.slots }
    }
}

impl Answer {
    /// Whether the account is to be called out.
    pub(crate) const fn woke(&self) -> bool {
        match self {
            Self::Done { woke }
            | Self::Judged { woke, .. }
            | Self::Started { woke, .. }
            | Self::Renewed { woke, .. }
            | Self::Registered { woke, .. }
            | Self::Looked(Look { woke, .. }) => *woke,
            Self::Elsewhere
            | Self::Stale
            | Self::Lost { .. }
            | Self::Opening { .. }
            | Self::Doubtful { .. } => false,
        }
    }
}
