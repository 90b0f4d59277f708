//! Everything that was observed, in the order in which it happened.

use std::fmt;
use std::time::Duration;

/// Since the beginning.
pub(crate) type At = Duration;

/// Indexes of accounts and nodes; numbers of requests, calls, changes and grants.
pub(crate) type Account = usize;
pub(crate) type Node = usize;
pub(crate) type Number = u64;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: At,
    pub(crate) what: What,
}

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// An answer now; its provider calls carry the tag.
    Now { tag: String },
    /// Tasks, by their idempotency keys; their provider calls carry the key.
    Submit { keys: Vec<String> },
    /// Anything that holds no slot and changes nothing.
    Look,
}

/// The eight limit headers in the order of `header::limits`, as far as they were there and numbers.
pub(crate) type Limits = [Option<i64>; 8];

/// A response to a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Its `x-request-id`.
    pub(crate) id: String,
    pub(crate) limits: Limits,
    /// A `retry-after` was there.
    pub(crate) retry_after: bool,
}

/// What a node reaches over a link, and the servers at their other ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    Postgres,
    Redis,
    Provider,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    Whole,
    Slow(Duration),
    Reset,
    Silent,
}

#[derive(Debug, Clone)]
#[expect(dead_code, reason = "what the checker does not read is there for who reads the slice")]
pub(crate) enum What {
    /// The process answers.
    NodeStarted {
        node: Node,
    },
    NodeKilled {
        node: Node,
    },
    /// SIGSTOP.
    NodeFrozen {
        node: Node,
    },
    /// SIGCONT.
    NodeWoken {
        node: Node,
    },
    /// It ended without being asked to.
    NodeBroke {
        node: Node,
        code: i32,
    },
    /// SIGTERM.
    NodeAsked {
        node: Node,
    },
    /// It ended after being asked; none if it did not in time and was killed.
    NodeEnded {
        node: Node,
        code: Option<i32>,
    },
    Linked {
        node: Node,
        link: Link,
        state: LinkState,
    },
    /// A server that all nodes use went away or came back.
    Server {
        server: Link,
        is_there: bool,
        words: &'static str,
    },
    /// Every node, link and server is well from here on.
    Healed,

    /// A request arrived at the provider.
    CallBegan {
        call: Number,
        node: Node,
        account: Account,
        tag: String,
    },
    /// The provider began to answer with this status; none if the caller was gone before.
    CallEnded {
        call: Number,
        answered: Option<u16>,
    },

    Sent {
        request: Number,
        node: Node,
        account: Account,
        ask: Ask,
    },
    Answered {
        request: Number,
        reply: Reply,
    },
    /// The client hung up, or the connection broke.
    Unanswered {
        request: Number,
        hung_up: bool,
    },
    /// A task has this id, said a 200 (or, later, a 409).
    Acknowledged {
        account: Account,
        key: String,
        id: String,
    },
    /// How a task read, in the answer to this request.
    TaskRead {
        request: Number,
        account: Account,
        id: String,
        http: u16,
        task: TaskState,
    },

    /// A change of plan was sent, to this many slots. Those of one account are never sent at once.
    PlanSent {
        change: Number,
        account: Account,
        slots: u32,
        node: Node,
    },
    PlanConfirmed {
        change: Number,
    },
    GrantSent {
        grant: Number,
        account: Account,
        credits: i64,
        node: Node,
    },
    GrantConfirmed {
        grant: Number,
    },
    /// What came instead of a confirmation, or of the books.
    Refused {
        number: Number,
        said: String,
    },

    /// A webhook came, signed by this account if by any, and was answered with a 2xx or not. `end` is the task's end as
    /// told there, in the form of [`TaskState::end`].
    Posted {
        task: String,
        signed_by: Option<Account>,
        taken: bool,
        end: String,
    },

    /// None of the account's tasks waits or runs any more.
    Drained {
        account: Account,
    },
    /// So many of as many calls as it has slots were answered at once.
    Probed {
        account: Account,
        slots: u32,
        answered: u32,
    },
    /// At the very end.
    Ledger {
        account: Account,
        balance: i64,
        entries: Vec<Entry>,
    },
}

/// A task as it reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TaskState {
    /// `QUEUED`, `PROCESSING`, `COMPLETED`, `FAILED`; empty if there is none.
    pub(crate) status: String,
    /// Once it is final: task and response in one text, keys in order.
    pub(crate) end: Option<String>,
    /// None without a webhook.
    pub(crate) delivered: Option<bool>,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    /// `opening`, `charge`, `grant`, …
    pub(crate) kind: String,
    pub(crate) amount: i64,
    /// After it.
    pub(crate) balance: i64,
    pub(crate) request: Option<String>,
}

/// Who takes part.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) name: &'static str,
    /// Until it is changed.
    pub(crate) slots: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) accounts: Vec<Opening>,
    /// In order.
    pub(crate) events: Vec<Event>,
}

impl What {
    /// Whom it concerns, if one account alone.
    pub(crate) fn account(&self) -> Option<Account> {
        match self {
            Self::CallBegan { account, .. }
            | Self::Sent { account, .. }
            | Self::Acknowledged { account, .. }
            | Self::TaskRead { account, .. }
            | Self::PlanSent { account, .. }
            | Self::GrantSent { account, .. }
            | Self::Drained { account }
            | Self::Probed { account, .. }
            | Self::Ledger { account, .. } => Some(*account),
            Self::Posted { signed_by, .. } => *signed_by,
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.4} {:?}", self.at.as_secs_f64(), self.what)
    }
}
