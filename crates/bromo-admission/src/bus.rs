//! What nodes tell each other. Nothing here is owed: whoever hears nothing finds out by looking, a little later.

use std::sync::Arc;

use bromo_rules::id::AccountId;

/// What one node tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// The account may have a task that can start.
    Tasks(AccountId),
    /// A delivery became due.
    Deliveries,
    /// The account has new log lines.
    Lines(AccountId),
    /// If this task (its place in the order of acceptance) runs at your place, its owner wants it cut.
    Cancel(i64),
}

/// Called with what another node told, on whatever thread heard it: must be quick.
pub type Hear = Arc<dyn Fn(Message) + Send + Sync>;

/// The way to the other nodes.
pub trait Bus: Send + Sync {
    /// Tells all others, soon, once however often it is said meanwhile. Never waits; what cannot be sent is lost.
    fn tell(&self, message: Message);

    /// Names who hears what others tell; the first one named stays.
    fn hear(&self, hear: Hear);
}

/// There are no others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Bus for Alone {
    fn tell(&self, _: Message) {}

    fn hear(&self, _: Hear) {}
}
