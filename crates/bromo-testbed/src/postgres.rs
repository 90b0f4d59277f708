//! A PostgreSQL server of one's own, in a temporary folder.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::{port, process, program};

/// PostgreSQL refuses to run as root; then it runs as this user, which Debian's package makes.
const USER: &str = "postgres";
/// The superuser of every server here. The loopback address needs no password.
const ROLE: &str = "bromo";
/// A server that takes longer to start or to end is broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Other programs take free ports too.
const PORTS_TRIED_MAX: u32 = 5;
/// Many stores in one test binary, a dozen connections each.
const CONNECTIONS: u32 = 500;

/// Ends the server and deletes its folder when this process is gone: the signal comes from the kernel.
const WATCH: &str = r#"
trap 'kill -QUIT "$server"; wait "$server"; rm -rf "$0"; exit' TERM
"$@" & server=$!
wait "$server"
"#;

/// A PostgreSQL server. Dropping it ends it and deletes its folder; so does the end of this process.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    durable: bool,
    port: u16,
    databases: AtomicU64,
    watcher: Mutex<Option<Child>>,
}

impl Postgres {
    /// Starts one that writes to memory only: it survives [`Postgres::kill`], and no loss of power.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::open(false)
    }

    /// Starts one that commits to the disk, as in production.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub fn start_durable() -> anyhow::Result<Self> {
        Self::open(true)
    }

    /// The one server that the tests of a binary share, for those that only need a database.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("the tests need PostgreSQL"))
    }

    fn open(durable: bool) -> anyhow::Result<Self> {
        let programs = program::postgresql()?;
        let folder = tempfile::Builder::new().prefix("bromo-postgres-").tempdir()?;
        if user().is_some() {
            let mut chown = Command::new(program::find("chown", "coreutils")?);
            process::run(chown.arg(format!("{USER}:")).arg(folder.path()))
                .context("no user postgres: apt-get install postgresql")?;
        }
        let mut initdb = process::bound("KILL", user())?;
        initdb.arg(programs.join("initdb")).arg("--pgdata").arg(data(folder.path()));
        initdb.args(["--username", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        process::run(initdb.current_dir(folder.path()))?;
        let mut server = Self {
            programs,
            folder,
            durable,
            port: 0,
            databases: AtomicU64::new(0),
            watcher: Mutex::new(None),
        };
        let mut tried = 0;
        loop {
            server.port = port::free()?;
            tried += 1;
            match server.start_again() {
                Ok(()) => return Ok(server),
                Err(_) if tried < PORTS_TRIED_MAX && server.log().contains("could not bind") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a fresh database.
    ///
    /// # Errors
    /// If the server is not running.
    pub fn database(&self) -> anyhow::Result<Database<'_>> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        process::run(self.client("createdb").args(["--strategy", "file_copy"]).arg(&name))?;
        Ok(Database { server: self, name })
    }

    /// The address of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL in a database, as its superuser.
    ///
    /// # Errors
    /// What the server says against it.
    pub fn execute(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        let mut psql = self.client("psql");
        process::run(psql.args([
            "--no-psqlrc",
            "--quiet",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-c",
            sql,
        ]))
    }

    /// The port it listens on, on 127.0.0.1; the same after every start.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as an operator would: connections are cut, everything is on disk. Nothing if it is not running.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.end(Signal::INT)
    }

    /// Ends it as a crash would; it recovers at the next start.
    ///
    /// # Errors
    /// If it does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.end(Signal::KILL)
    }

    /// Starts it after [`Postgres::stop`] or [`Postgres::kill`], on the same port, and waits until it answers.
    ///
    /// # Errors
    /// If it does not start: has the end of what it logged.
    pub fn start_again(&self) -> anyhow::Result<()> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_some() {
            return Ok(());
        }
        let mut child = process::spawn(self.command()?)?;
        let started = process::wait_for("PostgreSQL answers", PATIENCE, || {
            if let Some(status) = child.try_wait()? {
                bail!("PostgreSQL ended with {status}: {}", self.log());
            }
            let is_ready = process::run(self.client("pg_isready").arg("--quiet")).is_ok();
            Ok(is_ready.then_some(()))
        });
        if started.is_err() {
            drop(child.kill());
        }
        *watcher = Some(child);
        started
    }

    fn command(&self) -> anyhow::Result<Command> {
        let log = File::create(self.log_file())?;
        let mut command = process::bound("TERM", user())?;
        command.args(["sh", "-c", WATCH]).arg(self.folder.path());
        command.arg(self.programs.join("postgres")).arg("-D").arg(data(self.folder.path()));
        let safe = if self.durable { "on" } else { "off" };
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            format!("max_connections={CONNECTIONS}"),
            format!("fsync={safe}"),
            format!("full_page_writes={safe}"),
            "shared_buffers=128MB".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.current_dir(self.folder.path());
        Ok(command)
    }

    fn end(&self, signal: Signal) -> anyhow::Result<()> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut child) = watcher.take() else { return Ok(()) };
        let pid_file = data(self.folder.path()).join("postmaster.pid");
        let first_line = fs::read_to_string(&pid_file).unwrap_or_default();
        let pid = first_line.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        // It may be gone by itself.
        let _ = pid.map(|pid| kill_process(pid, signal));
        process::wait_for("PostgreSQL ends", PATIENCE, || Ok(child.try_wait()?))?;
        // A killed server's children see it a moment later, and until then it does not start again.
        process::wait_for("PostgreSQL's children end", PATIENCE, || {
            let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err();
            Ok((refused && !self.has_processes()).then_some(()))
        })
    }

    /// Whether any process works in the data folder.
    fn has_processes(&self) -> bool {
        let data = data(self.folder.path());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(|one| fs::read_link(one.path().join("cwd")).ok()).any(|cwd| cwd == data)
    }

    /// A client program, told where the server is.
    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.args(["-h", "127.0.0.1", "-U", ROLE, "-p"]).arg(self.port.to_string());
        command
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.end(Signal::QUIT));
    }
}

/// A database of one's own. Dropping it deletes it, whoever is connected.
#[derive(Debug)]
pub struct Database<'a> {
    server: &'a Postgres,
    name: String,
}

impl Database<'_> {
    /// Its address.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Runs SQL in it, as its superuser.
    ///
    /// # Errors
    /// What the server says against it.
    pub fn execute(&self, sql: &str) -> anyhow::Result<()> {
        self.server.execute(&self.name, sql)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // The server may be gone, and then so is the database.
        drop(process::run(self.server.client("dropdb").args(["--force", "--if-exists"]).arg(&self.name)));
    }
}

/// Who runs the server, if not we.
fn user() -> Option<&'static str> {
    geteuid().is_root().then_some(USER)
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}
