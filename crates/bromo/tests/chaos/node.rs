//! One node: the real program in a process of its own, and its links.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bromo_testbed::{Cut, Proxy};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::history::{Link, LinkState, Node as Index, What};
use crate::recorder::Recorder;

/// It listens, and ends, sooner.
const START_MAX: Duration = Duration::from_secs(30);
const END_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where it listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
}

pub(crate) struct Node {
    index: Index,
    folder: PathBuf,
    links: [Arc<Proxy>; 3],
    recorder: Arc<Recorder>,
    /// The last ones that were known.
    addresses: Mutex<Option<Addresses>>,
    child: Mutex<Option<Child>>,
    starts: Mutex<u32>,
    is_starting: AtomicBool,
}

impl Node {
    /// Its links lead to PostgreSQL, Redis and the provider, in this order.
    pub(crate) fn new(index: Index, folder: &Path, links: [Arc<Proxy>; 3], recorder: Arc<Recorder>) -> Self {
        let folder = folder.to_owned();
        let (addresses, child, starts) = (Mutex::default(), Mutex::default(), Mutex::default());
        let is_starting = AtomicBool::new(false);
        Self { index, folder, links, recorder, addresses, child, starts, is_starting }
    }

    /// Where it listens, or listened last.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses.lock().unwrap().unwrap()
    }

    /// To be called on a thread that lives as long as the test: the kernel ends the process with the thread.
    pub(crate) async fn start(&self) {
        self.is_starting.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + START_MAX;
        loop {
            let log = self.spawn();
            let addresses = loop {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let addresses = listening(&text);
                if addresses.is_some() || self.has_broken() {
                    break addresses;
                }
                assert!(Instant::now() < deadline, "node {} does not listen: {text}", self.index);
                tokio::time::sleep(LOOK_EVERY).await;
            };
            if let Some(addresses) = addresses {
                *self.addresses.lock().unwrap() = Some(addresses);
                self.recorder.record(What::NodeStarted { node: self.index });
                self.is_starting.store(false, Ordering::Relaxed);
                return;
            }
        }
    }

    fn spawn(&self) -> PathBuf {
        let log = self.next_log();
        let output = std::fs::File::create(&log).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig=KILL", "--", env!("CARGO_BIN_EXE_bromo"), "serve", "--config"])
            .arg(self.folder.join(format!("node-{}.toml", self.index)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
        log
    }

    /// Whether it has ended without being asked to; then it has no process any more.
    fn has_broken(&self) -> bool {
        let mut child = self.child.lock().unwrap();
        let Some(status) = child.as_mut().and_then(|child| child.try_wait().unwrap()) else { return false };
        *child = None;
        let code = status.code().unwrap_or(-1);
        self.recorder.record(What::NodeBroke { node: self.index, code });
        true
    }

    /// Starts it again whenever it ends without being asked to, as whatever runs services does.
    pub(crate) async fn supervise(&self) {
        loop {
            if !self.is_starting.load(Ordering::Relaxed) && self.has_broken() {
                self.start().await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn next_log(&self) -> PathBuf {
        *self.starts.lock().unwrap() += 1;
        self.log_file()
    }

    fn log_file(&self) -> PathBuf {
        let starts = self.starts.lock().unwrap();
        self.folder.join(format!("node-{}.{starts}.log", self.index))
    }

    /// What it said since its last start.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = self.child.lock().unwrap().as_ref() {
            // It may have ended by itself a moment ago.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    pub(crate) fn kill(&self) {
        self.has_broken();
        let Some(mut child) = self.child.lock().unwrap().take() else { return };
        self.recorder.record(What::NodeKilled { node: self.index });
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn freeze(&self) {
        self.recorder.record(What::NodeFrozen { node: self.index });
        self.signal(Signal::STOP);
    }

    pub(crate) fn wake(&self) {
        self.recorder.record(What::NodeWoken { node: self.index });
        self.signal(Signal::CONT);
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&self) {
        if self.has_broken() {
            return;
        }
        self.recorder.record(What::NodeAsked { node: self.index });
        self.signal(Signal::TERM);
        let Some(mut child) = self.child.lock().unwrap().take() else { return };
        let deadline = Instant::now() + END_MAX;
        let code = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status.code().unwrap_or(-1)),
                None if Instant::now() > deadline => break None,
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        if code.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.recorder.record(What::NodeEnded { node: self.index, code });
    }

    pub(crate) fn set(&self, link: Link, state: LinkState) {
        self.recorder.record(What::Linked { node: self.index, link, state });
        let proxy = &self.links[link as usize];
        match state {
            LinkState::Whole => proxy.heal(),
            LinkState::Slow(delay) => proxy.slow(delay),
            LinkState::Reset => proxy.cut(Cut::Reset),
            LinkState::Silent => proxy.cut(Cut::Silent),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill(); // A test that failed leaves nothing behind.
            let _ = child.wait();
        }
    }
}

fn listening(log: &str) -> Option<Addresses> {
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let address = |name: &str| line["fields"][name].as_str()?.parse().ok();
        Some(Addresses { api: address("api")?, admin: address("admin")? })
    })
}
