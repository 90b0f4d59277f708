//! A connection that is made again whenever it is lost.

use std::sync::Arc;

use tokio::sync::watch;

use super::connect::Connector;
use super::link::Link;
use crate::error::StoreError;

/// The way to a connection that somebody keeps.
#[derive(Clone)]
pub(super) struct Kept {
    link: watch::Receiver<Option<Arc<Link>>>,
    connector: Arc<Connector>,
}

/// Who keeps it.
pub(super) struct Keeper {
    link: watch::Sender<Option<Arc<Link>>>,
    connector: Arc<Connector>,
}

/// A connection that is not there yet, and who is to keep it.
pub(super) fn kept(connector: &Arc<Connector>) -> (Kept, Keeper) {
    let (sender, receiver) = watch::channel(None);
    let kept = Kept { link: receiver, connector: Arc::clone(connector) };
    (kept, Keeper { link: sender, connector: Arc::clone(connector) })
}

impl Kept {
    /// The connection as it is now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if there is none; does not wait for one.
    pub(super) fn get(&self) -> Result<Arc<Link>, StoreError> {
        let link = self.link.borrow().clone();
        link.filter(|link| !link.is_closed()).ok_or_else(|| self.connector.away())
    }

    /// Returns when there is a connection.
    pub(super) async fn up(&self) {
        // An error means that nobody keeps it any more.
        drop(self.link.clone().wait_for(Option::is_some).await);
    }
}

impl Keeper {
    /// Keeps the connection, for ever.
    pub(super) async fn keep(self) {
        loop {
            let (link, driver) = self.connector.connect_at_last().await;
            self.link.send_replace(Some(Arc::clone(&link)));
            tokio::select! {
                ended = driver => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection to the database ended");
                    }
                }
                () = link.cut_by_us() => tracing::warn!("a connection to the database gave no answer and was cut"),
            }
            self.link.send_replace(None);
        }
    }
}
