//! A real bromo, a customer of it, and an upstream that counts.

pub(crate) mod browser;
mod cluster;
mod customer;
pub(crate) mod house;
mod receiver;
pub(crate) mod routes;
mod server;
mod upstream;
pub(crate) mod visitor;

pub(crate) use browser::Browser;
pub(crate) use cluster::Cluster;
pub(crate) use customer::{Customer, Reply, call, task};
pub(crate) use house::House;
pub(crate) use receiver::{Answer, Received, Receiver};
pub(crate) use server::{Bromo, in_shared_servers};
pub(crate) use upstream::Upstream;
pub(crate) use visitor::Visitor;

use std::time::Duration;

/// Waits end here with a failure; nothing in these tests takes so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `look` finds something.
pub(crate) async fn found<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Waits until `holds`, looking again each time other tasks have run.
#[track_caller]
pub(crate) fn until<'a>(
    what: &'a str,
    mut holds: impl FnMut() -> bool + 'a,
) -> impl Future<Output = ()> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let waited = tokio::time::timeout(DEADLINE, async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(waited.await.is_ok(), "{place}: {what}: not within {DEADLINE:?}");
    }
}
