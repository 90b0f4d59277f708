//! The links to Redis: the node's own, and one for each thread that asks, so that a decision changes threads neither on
//! its way nor back.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::redis::link::Link;
use crate::redis::server::Server;

/// A link that cannot be made, while the node has one, is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// A link is asked this often whether it is there.
pub(crate) const PING: Duration = Duration::from_secs(1);
/// A link takes no longer to be made.
pub(crate) const MADE: Duration = Duration::from_secs(4);

/// Whose link an ask took. What gives it back unanswered follows it there, or it might overtake it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Via(Option<ThreadId>);

#[cfg(test)]
impl Via {
    /// That of this thread.
    pub(crate) fn this_thread() -> Self {
        Self(Some(thread::current().id()))
    }
}

/// All links of this process.
pub(crate) struct Links {
    server: Server,
    timeout: Duration,
    /// It renews and registers, and says whether Redis is there: without it no other counts.
    nodes: RwLock<Option<Arc<Link>>>,
    /// By thread; none while it is being made.
    threads: RwLock<HashMap<ThreadId, Option<Arc<Link>>>>,
}

impl Links {
    pub(crate) fn new(server: Server, timeout: Duration) -> Self {
        Self { server, timeout, nodes: RwLock::default(), threads: RwLock::default() }
    }

    /// The node's own.
    pub(crate) fn nodes(&self) -> Option<Arc<Link>> {
        read(&self.nodes).clone()
    }

    /// The node has this one now. Those to what was there before are not taken any more.
    pub(crate) fn set_nodes(&self, link: Option<Arc<Link>>) {
        let process = link.as_ref().map(|link| link.process.clone());
        *write(&self.nodes) = link;
        write(&self.threads)
            .retain(|_, link| link.as_ref().is_none_or(|link| process.as_ref() == Some(&link.process)));
    }

    /// This thread's, or the node's until that is made. None without the node's.
    pub(crate) fn here(self: &Arc<Self>) -> Option<(Arc<Link>, Via)> {
        let nodes = self.nodes()?;
        let thread = thread::current().id();
        let known = read(&self.threads).get(&thread).cloned();
        match known {
            Some(Some(own)) if own.process == nodes.process => return Some((own, Via(Some(thread)))),
            Some(None) => {} // It is being made.
            Some(Some(_)) | None => self.make(thread),
        }
        Some((nodes, Via::default()))
    }

    /// The one that an ask went by, or what is there in its place.
    pub(crate) fn of(&self, via: Via) -> Option<Arc<Link>> {
        let nodes = self.nodes()?;
        let own = via.0.and_then(|thread| read(&self.threads).get(&thread).cloned().flatten());
        Some(own.filter(|own| own.process == nodes.process).unwrap_or(nodes))
    }

    /// This link is of no use any more; false if it is none of the threads'.
    pub(crate) fn lost(&self, link: &Arc<Link>) -> bool {
        let mut threads = write(&self.threads);
        let before = threads.len();
        threads.retain(|_, own| own.as_ref().is_none_or(|own| !Arc::ptr_eq(own, link)));
        threads.len() < before
    }

    /// In the background, on this thread; where a runtime has more than one, what they share is as good.
    fn make(self: &Arc<Self>, thread: ThreadId) {
        let Ok(runtime) = Handle::try_current() else { return };
        if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread {
            return;
        }
        write(&self.threads).insert(thread, None);
        let links = Arc::clone(self);
        runtime.spawn(async move {
            let made = tokio::time::timeout(MADE, Link::connect(&links.server, links.timeout)).await;
            if let Ok(Ok(link)) = made {
                let link = Arc::new(link);
                tokio::spawn(watch(Arc::downgrade(&links), Arc::downgrade(&link)));
                write(&links.threads).insert(thread, Some(link));
            } else {
                tokio::time::sleep(AGAIN).await;
                write(&links.threads).remove(&thread);
            }
        });
    }
}

/// A connection may be gone without a word: then all that is asked by it would wait in vain.
async fn watch(links: Weak<Links>, link: Weak<Link>) {
    loop {
        tokio::time::sleep(PING).await;
        let (Some(links), Some(link)) = (links.upgrade(), link.upgrade()) else { return };
        if link.ping().await.is_err() {
            links.lost(&link);
            return;
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
