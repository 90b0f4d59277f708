//! Counting rounds, times and processor time.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The random part of an id.
pub(crate) fn random_tail(random: &mut fastrand::Rng) -> [u8; 10] {
    let mut tail = [0; 10];
    random.fill(&mut tail);
    tail
}

/// User and system time in microseconds, of this process or of its threads of this name, of which Linux keeps 15
/// letters; from /proc, 0 elsewhere.
pub(crate) fn cpu_us(thread: Option<&str>) -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let Some(name) = thread else {
        let stat = read("/proc/self/stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        return (ticks(11) + ticks(12)) * 10_000;
    };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads
        .filter(|thread| read(&format!("{}/comm", thread.path().display())).trim() == name)
        .map(|thread| {
            // Nanoseconds on a processor, first of three numbers.
            let stat = read(&format!("{}/schedstat", thread.path().display()));
            stat.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0) / 1000
        })
        .sum()
}

/// The first process of a PostgreSQL server on this machine.
static SERVER: OnceLock<u32> = OnceLock::new();

/// The server's process is the parent of this one, which serves a connection.
pub(crate) fn server_of(connection: i32) {
    let stat = std::fs::read_to_string(format!("/proc/{connection}/stat")).unwrap_or_default();
    let parent = stat.rsplit(')').next().unwrap_or_default().split_whitespace().nth(1);
    if let Some(parent) = parent.and_then(|parent| parent.parse().ok()) {
        SERVER.get_or_init(|| parent);
    }
}

/// User and system time of all processes of the server in microseconds.
fn server_us() -> u64 {
    let Some(server) = SERVER.get() else { return 0 };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let each = processes.filter_map(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
        (field(1)? == u64::from(*server)).then(|| (field(11).unwrap_or(0) + field(12).unwrap_or(0)) * 10_000)
    });
    each.sum()
}

/// One measurement.
pub(crate) struct Gauge {
    server_us: u64,
    begin: Instant,
    writer_us: u64,
    checkpoint_us: u64,
    process_us: u64,
}

/// What it showed.
pub(crate) struct Reading {
    rate: f64,
    writer_us: f64,
    checkpoint_us: f64,
    process_us: f64,
    server_us: f64,
}

impl Gauge {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        let (writer_us, checkpoint_us) = (cpu_us(Some("store-write")), cpu_us(Some("store-checkpoin")));
        Self {
            begin: Instant::now(),
            writer_us,
            checkpoint_us,
            process_us: cpu_us(None),
            server_us: server_us(),
        }
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// So many things were done since.
    pub(crate) fn end(self, count: usize) -> Reading {
        let each = |us: u64, before: u64| us.saturating_sub(before) as f64 / count.max(1) as f64;
        Reading {
            rate: count as f64 / self.begin.elapsed().as_secs_f64(),
            writer_us: each(cpu_us(Some("store-write")), self.writer_us),
            checkpoint_us: each(cpu_us(Some("store-checkpoin")), self.checkpoint_us),
            process_us: each(cpu_us(None), self.process_us),
            server_us: each(server_us(), self.server_us),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, writer_us, checkpoint_us, process_us, server_us } = self;
        write!(f, "{rate:.0}/s, {process_us:.1} us of this process each")?;
        if *writer_us > 0.0 {
            write!(f, " ({writer_us:.1} of the writer, {checkpoint_us:.1} of the checkpointer)")?;
        }
        if *server_us > 0.0 {
            write!(f, ", {server_us:.1} us of the server")?;
        }
        Ok(())
    }
}

/// Percentiles of times.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Of these.
    pub(crate) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: f64| {
            let last = self.0.len().saturating_sub(1);
            self.0.get((last as f64 * share) as usize).copied().unwrap_or_default()
        };
        let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
        write!(f, "p50 {p50:.2?} p99 {p99:.2?} p99.9 {p999:.2?} max {max:.2?}")
    }
}
