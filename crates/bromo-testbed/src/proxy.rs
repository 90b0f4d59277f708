//! A link between two programs that can be cut and slowed while they talk.

mod link;
mod listening;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::sync::watch;

use self::listening::Listening;

/// After a caller could not be taken.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// How a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// What is open is reset, what is new is refused: the other program is gone.
    Reset,
    /// Nothing arrives any more and nobody is told; new connections are made and stay silent. What was sent meanwhile
    /// arrives once the link is healed.
    Silent,
}

/// What a link does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Everything arrives after this long.
    Open(Duration),
    Cut(Cut),
    /// The proxy is being dropped.
    Ended,
}

/// A TCP proxy on a free port of the loopback address, with a thread of its own. Dropping it closes what is open.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    callers: Arc<Callers>,
    thread: Option<JoinHandle<()>>,
}

/// The callers' sockets, by the address that the target sees; and how many connections there were.
#[derive(Debug, Default)]
struct Callers {
    sockets: Mutex<HashMap<SocketAddr, Weak<TcpStream>>>,
    taken: AtomicU64,
}

impl Proxy {
    /// Starts one that leads to `target`, with nothing in the way.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listening = Listening::start().context("no free port")?;
        let address = listening.address()?;
        let (mode, modes) = watch::channel(Mode::Open(Duration::ZERO));
        let callers = Arc::new(Callers::default());
        let serving = Arc::clone(&callers);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("proxy".to_owned());
        let thread = thread.spawn(move || runtime.block_on(serve(listening, target, modes, &serving)))?;
        Ok(Self { address, mode, callers, thread: Some(thread) })
    }

    /// Where it listens; the same as long as it lives.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the link, what is open included.
    pub fn cut(&self, cut: Cut) {
        self.mode.send_replace(Mode::Cut(cut));
    }

    /// Lets everything, in both directions and the making of connections included, arrive this much later.
    pub fn slow(&self, delay: Duration) {
        self.mode.send_replace(Mode::Open(delay));
    }

    /// Takes away whatever was in the way.
    pub fn heal(&self) {
        self.slow(Duration::ZERO);
    }

    /// Connections taken so far.
    pub fn taken(&self) -> u64 {
        self.callers.taken.load(Ordering::SeqCst)
    }

    /// Whether the caller's end of a connection is open at this moment: the kernel is asked, so a caller that has closed
    /// it is gone at once, however slow the link. `peer` is whom the target sees.
    pub fn has_caller(&self, peer: SocketAddr) -> bool {
        let sockets = self.callers.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.get(&peer).and_then(Weak::upgrade).is_some_and(|socket| link::is_open(&socket))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.mode.send_replace(Mode::Ended);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(
    mut listening: Listening,
    target: SocketAddr,
    mut modes: watch::Receiver<Mode>,
    callers: &Arc<Callers>,
) {
    let links = tokio::task::LocalSet::new();
    let accepting = async {
        loop {
            let mode = *modes.borrow_and_update();
            match mode {
                Mode::Ended => return,
                Mode::Cut(Cut::Reset) => {
                    listening.refuse();
                    if modes.changed().await.is_err() {
                        return;
                    }
                }
                Mode::Open(_) | Mode::Cut(Cut::Silent) => tokio::select! {
                    biased;
                    changed = modes.changed() => if changed.is_err() { return },
                    caller = listening.accept() => match caller {
                        Ok(caller) => {
                            callers.taken.fetch_add(1, Ordering::SeqCst);
                            let (modes, callers) = (modes.clone(), Arc::clone(callers));
                            tokio::task::spawn_local(link::join(caller, target, modes, callers));
                        }
                        // Too many open files, say: some will be closed.
                        Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
                    },
                },
            }
        }
    };
    links.run_until(accepting).await;
}
