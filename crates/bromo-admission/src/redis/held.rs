//! Leases on their way in and out: whatever happens to the futures around them, Redis hears of each end.

use std::sync::Arc;

use bromo_rules::id::AccountId;

use crate::permit::{self, Home, Settled};
use crate::redis::command::{Answer, LeaseId, Script};
use crate::redis::life::Life;
use crate::redis::node::Asked;
use crate::redis::shared::Shared;
use crate::reply::Reply;

/// Leases that were asked for and not answered. Dropped so, they are given back: they may have been granted.
pub(crate) struct Pending {
    shared: Arc<Shared>,
    account: AccountId,
    pub(crate) asked: Vec<Asked>,
}

impl Pending {
    pub(crate) const fn new(shared: Arc<Shared>, account: AccountId, asked: Vec<Asked>) -> Self {
        Self { shared, account, asked }
    }

    /// The first `taken` were granted, the others refused. Gives what may be used; a lease whose grant came too late is
    /// given back.
    pub(crate) fn settle(mut self, taken: usize) -> Vec<Held> {
        let now = self.shared.boot.now();
        let mut held = Vec::with_capacity(taken);
        let mut node = self.shared.node();
        for (place, asked) in std::mem::take(&mut self.asked).into_iter().enumerate() {
            let id = asked.lease.id;
            if place >= taken {
                node.refused(now, self.account, id);
            } else if node.granted(now, self.account, id) {
                held.push(Held {
                    shared: Arc::clone(&self.shared),
                    account: self.account,
                    id,
                    life: asked.life,
                });
            }
        }
        drop(node);
        held
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let now = self.shared.boot.now();
        let mut node = self.shared.node();
        for asked in &self.asked {
            node.unknown(now, self.account, asked.lease.id);
        }
        drop(node);
        self.shared.kick();
    }
}

/// A granted lease: where its permit goes back to.
pub(crate) struct Held {
    shared: Arc<Shared>,
    account: AccountId,
    id: LeaseId,
    life: Arc<Life>,
}

impl Held {
    pub(crate) fn into_permit(self) -> permit::Permit {
        let number = self.id.number;
        permit::Permit::new(Arc::new(self), permit::Lease(number))
    }
}

impl Home for Held {
    fn release(self: Arc<Self>, _: permit::Lease, settled: Option<Settled>) -> Reply<'static, ()> {
        self.shared.node().leave(self.account, self.id, settled);
        // Dropped before it is through, it leaves the rest to the node.
        let leaving = Leaving { held: self, charged: settled.is_some(), answer: None };
        Reply::Later(Box::pin(leaving.tell(settled)))
    }

    fn is_live(&self, _: permit::Lease) -> bool {
        self.life.is_live(self.shared.boot.now())
    }

    fn lost(&self, _: permit::Lease) -> Reply<'static, ()> {
        let (life, boot) = (Arc::clone(&self.life), self.shared.boot.clone());
        Reply::Later(Box::pin(async move { life.ended(&boot).await }))
    }
}

struct Leaving {
    held: Arc<Held>,
    charged: bool,
    answer: Option<Answer>,
}

impl Leaving {
    async fn tell(mut self, settled: Option<Settled>) {
        let (shared, account) = (&self.held.shared, self.held.account);
        let script = Script::Release { lease: self.held.id, settled };
        self.answer = shared.run(account, script).await.ok();
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let (shared, account, id) = (&self.held.shared, self.held.account, self.held.id);
        let now = shared.boot.now();
        shared.node().release_answered(now, account, id, self.charged, self.answer.as_ref());
        if !matches!(self.answer, Some(Answer::Done { .. })) {
            shared.kick();
        }
    }
}
