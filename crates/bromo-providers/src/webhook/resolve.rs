//! Looks names up: the system does it, tests say it.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Look-ups at once. The system's resolver blocks a thread for each, for many seconds where a name server is
/// silent, and other work needs the same threads; further look-ups wait.
pub const LOOKUPS_MAX: usize = 128;

/// A look-up under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All addresses that `host` stands for now, best first, aliases followed. `host` is a name and never an
    /// address; `port` is to stand in each address.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The system's resolver, with all that its configuration says: hosts file, search domains, DNS.
#[derive(Debug)]
pub struct SystemResolver {
    room: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move {
            let permit = Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)?;
            let host = host.to_owned();
            let looking = tokio::task::spawn_blocking(move || {
                // Held until the thread is free again, though whoever asked may have gone.
                let _permit = permit;
                Ok((host.as_str(), port).to_socket_addrs()?.collect())
            });
            looking.await.map_err(io::Error::other)?
        })
    }
}
