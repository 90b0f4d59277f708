//! A program under measurement: pinned to a core, read through `/proc`, ended with this one.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The core of every gateway; load and upstream run on the one this process was pinned to.
pub(crate) const GATEWAY_CORE: &str = "0";
/// Where the later way is measured, together with its load.
const BOTH_CORES: &str = "0,1";
/// Ticks of the times in `/proc/PID/stat`: fixed on Linux for all architectures in use.
const TICKS_PER_SECOND: f64 = 100.0;
/// For a program to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running gateway.
pub(crate) struct Process(Child);

impl Process {
    /// Starts `program` on the gateways' core. What it says goes to `log`.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&str],
        folder: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        Self::on(GATEWAY_CORE, program, arguments, folder, log)
    }

    /// The same on both cores, beside the load.
    pub(crate) fn unpinned(
        program: &Path,
        arguments: &[&str],
        folder: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        Self::on(BOTH_CORES, program, arguments, folder, log)
    }

    /// The same on these cores.
    pub(crate) fn on(
        cores: &str,
        program: &Path,
        arguments: &[&str],
        folder: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log)?;
        let child = Command::new("taskset")
            .args(["-c", cores])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        Ok(Self(child))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until `address` takes connections; how long that was.
    pub(crate) fn listening(&mut self, address: std::net::SocketAddr) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended with {status}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("nothing listens on {address}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    /// Seconds of CPU that it and its workers have used.
    pub(crate) fn cpu_s(&self) -> anyhow::Result<f64> {
        let mut ticks = 0.0;
        for id in self.ids()? {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
            // The name, in parentheses, may hold blanks; the times are the 12th and 13th field after it.
            let (_, fields) = stat.rsplit_once(')').context("an odd stat file")?;
            let times = fields.split_ascii_whitespace().skip(11).take(2);
            ticks += times.filter_map(|time| time.parse::<f64>().ok()).sum::<f64>();
        }
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// Resident megabytes of it and its workers.
    pub(crate) fn resident_mb(&self) -> anyhow::Result<f64> {
        let mut kilobytes = 0.0;
        for id in self.ids()? {
            let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = line.and_then(|line| line.split_ascii_whitespace().next());
            kilobytes += number.and_then(|number| number.parse::<f64>().ok()).unwrap_or_default();
        }
        Ok(kilobytes * 1024.0 / 1e6)
    }

    fn ids(&self) -> anyhow::Result<Vec<u32>> {
        let id = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let children = children.split_ascii_whitespace().filter_map(|id| id.parse().ok());
        Ok(std::iter::once(id).chain(children).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked to end, not killed: nginx takes its worker along.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
