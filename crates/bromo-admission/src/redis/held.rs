//! Leases on their way in, and held: whatever happens to the futures around them, Redis hears of each end.

use std::sync::Arc;

use bromo_rules::id::AccountId;

use crate::permit::{self, Home, Settled};
use crate::redis::command::LeaseId;
use crate::redis::leaving::Leaving;
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
        let leaving = Leaving::begin(Arc::clone(&self.shared), self.account, self.id, settled);
        Reply::Later(Box::pin(leaving.through()))
    }

    fn is_live(&self, _: permit::Lease) -> bool {
        self.life.is_live(self.shared.boot.now())
    }

    fn lost(&self, _: permit::Lease) -> Reply<'static, ()> {
        let (life, boot) = (Arc::clone(&self.life), self.shared.boot.clone());
        Reply::Later(Box::pin(async move { life.ended(&boot).await }))
    }
}
