//! A Redis server of one's own, in a temporary folder.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{port, process, program};

/// A server that takes longer to start or to end is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// Other programs take free ports too.
const PORTS_TRIED_MAX: u32 = 5;

/// Ends the server and deletes its folder when this process is gone: the signal comes from the kernel.
const WATCH: &str = r#"
trap 'kill -KILL "$server"; wait "$server"; rm -rf "$0"; exit' TERM
"$@" & server=$!
echo "$server" >"$0/pid"
wait "$server"
"#;

/// A Redis server. Dropping it ends it and deletes its folder; so does the end of this process.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    folder: TempDir,
    settings: Vec<String>,
    port: u16,
    watcher: Mutex<Option<Child>>,
}

impl Redis {
    /// Starts one that keeps nothing on disk: after a restart it is empty.
    ///
    /// # Errors
    /// If Redis is not installed or does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one that writes every change to disk: after a restart it has all of it.
    ///
    /// # Errors
    /// If Redis is not installed or does not start.
    pub fn start_durable() -> anyhow::Result<Self> {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts one with further arguments.
    ///
    /// # Errors
    /// If Redis is not installed or does not start.
    pub fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        let program = program::find("redis-server", "redis-server")?;
        let folder = tempfile::Builder::new().prefix("bromo-redis-").tempdir()?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { program, folder, settings, port: 0, watcher: Mutex::new(None) };
        let mut tried = 0;
        loop {
            server.port = port::free()?;
            tried += 1;
            match server.start_again() {
                Ok(()) => return Ok(server),
                Err(_) if tried < PORTS_TRIED_MAX && server.log().contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The one server that the tests of a binary share, for those that only need a prefix of their own.
    ///
    /// # Panics
    /// If Redis is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("the tests need Redis"))
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on, on 127.0.0.1; the same after every start.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Sends one command of plain words, and gives the answer as it came over the wire, or what came of it in a second.
    ///
    /// # Errors
    /// If the server is not there.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text += &format!("${}\r\n{word}\r\n", word.len());
        }
        text += "*1\r\n$4\r\nQUIT\r\n";
        stream.write_all(text.as_bytes())?;
        let mut answer = Vec::new();
        // It may end before it has answered: SHUTDOWN.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Ok(answer.strip_suffix("+OK\r\n").unwrap_or(&answer).trim_end().to_owned())
    }

    /// The process itself.
    ///
    /// # Errors
    /// If it is not running.
    pub fn pid(&self) -> anyhow::Result<Pid> {
        let text = fs::read_to_string(self.folder.path().join("pid"))?;
        text.trim().parse().ok().and_then(Pid::from_raw).context("no process id")
    }

    /// Ends it as an operator would. Nothing if it is not running.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.end(Signal::TERM)
    }

    /// Ends it as a crash would.
    ///
    /// # Errors
    /// If it does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.end(Signal::KILL)
    }

    /// Starts it after [`Redis::stop`] or [`Redis::kill`], on the same port, with what it had on disk, and waits until it
    /// answers.
    ///
    /// # Errors
    /// If it does not start: has the end of what it logged.
    pub fn start_again(&self) -> anyhow::Result<()> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_some() {
            return Ok(());
        }
        let log = File::create(self.log_file())?;
        let mut command = process::bound("TERM", None)?;
        command.args(["sh", "-c", WATCH]).arg(self.folder.path()).arg(&self.program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(self.folder.path()).args(&self.settings);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(self.folder.path());
        let mut child = process::spawn(command)?;
        let started = process::wait_for("Redis answers", PATIENCE, || {
            if let Some(status) = child.try_wait()? {
                bail!("Redis ended with {status}: {}", self.log());
            }
            Ok(self.command(&["PING"]).is_ok_and(|answer| answer == "+PONG").then_some(()))
        });
        if started.is_err() {
            drop(child.kill());
        }
        *watcher = Some(child);
        started
    }

    /// Ends it and starts it again, empty whatever it had on disk.
    ///
    /// # Errors
    /// If it does not end or start.
    pub fn restart_empty(&self) -> anyhow::Result<()> {
        self.kill()?;
        for name in ["appendonlydir", "dump.rdb"] {
            let path = self.folder.path().join(name);
            // It may never have been there.
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        self.start_again()
    }

    fn end(&self, signal: Signal) -> anyhow::Result<()> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut child) = watcher.take() else { return Ok(()) };
        // It may be gone by itself.
        let _ = self.pid().map(|pid| kill_process(pid, signal));
        process::wait_for("Redis ends", PATIENCE, || Ok(child.try_wait()?))?;
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.kill());
    }
}
