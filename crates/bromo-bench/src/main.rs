//! bromo beside nginx, on one machine, in one run: a table of ratios. `scripts/bench` runs it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

mod bromo;
mod client;
mod cluster;
mod dashboard;
mod disk;
mod idle;
mod latency;
mod later;
mod load;
mod nginx;
mod peers;
mod process;
mod quota;
mod report;
mod round;
mod rows;
mod slots;
mod upstream;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::bromo::Bromo;
use crate::later::{Place, Shared};
use crate::nginx::Nginx;
use crate::round::{Bench, Lengths, Slots};
use crate::rows::Once;
use crate::upstream::Upstream;

/// Slots of the two plans.
const SLOTS: Slots = Slots { many: 1000, few: 20 };
/// Connections that are held.
const IDLE_CONNECTIONS: usize = 10_000;
/// The criterion bench whose figure the table repeats.
const ADMISSION_BENCH: &str = "admit";

/// Measure bromo beside nginx. Pin this program to core 1; it pins the gateways to core 0.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Arguments {
    /// The release binary; without it the one beside this program
    #[arg(long, value_name = "FILE")]
    bromo: Option<PathBuf>,
    /// A folder for data and logs, on the disk to be measured
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    folder: PathBuf,
    /// Criterion's folder, for the figure of admission
    #[arg(long, value_name = "FOLDER")]
    criterion: Option<PathBuf>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Fail where a figure is below 60 % of what is to be reached
    #[arg(long)]
    gate: bool,
    /// Nothing but the dashboard: calls beside live viewers, and pages over a full log
    #[arg(long)]
    dashboard: bool,
    /// Nothing but the later way: tasks and webhooks. Do not pin this program then
    #[arg(long)]
    later: bool,
    /// Over PostgreSQL and Redis, which it starts: calls answered now beside one process alone, then the later way beside
    /// other queues; with --later only bromo's own later way
    #[arg(long)]
    cluster: bool,
    /// With --later or --cluster: nothing but full load for so many seconds
    #[arg(long, value_name = "SECONDS")]
    soak: Option<u64>,
    /// Nothing but free calls at full speed for so many seconds, for a profiler; prints bromo's process id
    #[arg(long, value_name = "SECONDS")]
    profile: Option<u64>,
    /// With --profile: charged instead of free calls
    #[arg(long)]
    charged: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(&arguments)));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("failed to measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything and prints the table; whether the gate was passed.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    std::fs::create_dir_all(&arguments.folder)?;
    let folder = arguments.folder.canonicalize()?;
    let program = bromo::program(arguments.bromo.clone())?;
    if arguments.soak.is_some() || arguments.later || arguments.cluster {
        let shared = if arguments.cluster { Some(Shared::start()?) } else { None };
        let place = Place {
            program: &program,
            folder: folder.join("later"),
            shared: shared.as_ref(),
            peers: arguments.cluster && !arguments.later,
        };
        if let Some(seconds) = arguments.soak {
            return later::soak(&place, Duration::from_secs(seconds)).await.map(|()| true);
        }
        let length = Duration::from_secs(arguments.seconds);
        let mut rows = Vec::new();
        if let Some(shared) = shared.as_ref().filter(|_| !arguments.later) {
            rows = cluster::rows(&program, &folder, shared, arguments.rounds, length).await?;
        }
        rows.extend(later::table(&place, arguments.rounds, length).await?);
        println!("{}", report::table(&rows));
        return Ok(!arguments.gate || !rows.iter().any(report::Row::fails_gate));
    }
    let upstream = Upstream::start().await?;
    let bromo = Bromo::start(&program, &folder.join("bromo"), upstream.address, SLOTS.many, SLOTS.few)
        .context("bromo")?;
    if arguments.dashboard {
        let length = Duration::from_secs(arguments.seconds);
        let data = folder.join("bromo");
        let rows = dashboard::rows(&bromo, &program, &data, arguments.rounds, length).await?;
        println!("{}", report::table(&rows));
        return Ok(!arguments.gate || !rows.iter().any(report::Row::fails_gate));
    }
    if let Some(seconds) = arguments.profile {
        return profile(&bromo, Duration::from_secs(seconds), arguments.charged).await.map(|()| true);
    }
    let nginx =
        Nginx::start(&folder.join("nginx"), upstream.address, SLOTS.many, SLOTS.few).context("nginx")?;
    let length = Duration::from_secs(arguments.seconds);
    let lengths = Lengths { closed: length, open: length, churn: length };
    let bench =
        Bench { folder: &folder, upstream: &upstream, nginx: &nginx, bromo: &bromo, lengths, slots: SLOTS };
    let mut rounds = Vec::with_capacity(arguments.rounds);
    for number in 1..=arguments.rounds {
        eprintln!("round {number} of {}, load {}", arguments.rounds, machine_load());
        rounds.push(bench.round().await?);
    }
    let after_calls_mb = bromo.process.resident_mb()?;
    let once = Once {
        admission_ns: arguments.criterion.as_deref().map(admission_ns).transpose()?,
        started_s: bromo.started_in.as_secs_f64(),
        fresh_mb: bromo.fresh_mb,
        after_calls_mb,
        idle: idle::hold(&bromo.free(), IDLE_CONNECTIONS, &bromo.process).await?,
        idle_connections: IDLE_CONNECTIONS,
        log_lines_lost: bromo.metric("bromo_log_lines_lost_total").await?,
        charges_short: bromo.metric("bromo_charges_short_total").await?,
    };
    let rows = rows::rows(&rounds, &once);
    println!("{}", report::table(&rows));
    println!("Medians of {} rounds (least–most); ratios of the same round.", arguments.rounds);
    println!("Calls answered upstream: {}. Load average: {}.", upstream.answered(), machine_load());
    Ok(!arguments.gate || !rows.iter().any(report::Row::fails_gate))
}

async fn profile(bromo: &Bromo, length: Duration, charged: bool) -> anyhow::Result<()> {
    println!("{}", bromo.process.id());
    let target = if charged { bromo.charged() } else { bromo.free() };
    let before_s = bromo.process.cpu_s()?;
    let load = load::closed(&target, round::CONNECTIONS, length).await?;
    let cpu_s = bromo.process.cpu_s()? - before_s;
    let requests = load.latencies.len() as f64;
    let (p50_us, p99_us) = load.latencies.p50_p99_us();
    println!(
        "{:.0} requests/s, CPU s per 1,000: {:.4}, p50 {p50_us:.0} us, p99 {p99_us:.0} us",
        load.per_second,
        cpu_s * 1000.0 / requests
    );
    Ok(())
}

/// The mean that criterion kept of an admission and its release.
fn admission_ns(criterion: &Path) -> anyhow::Result<f64> {
    for entry in std::fs::read_dir(criterion)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(ADMISSION_BENCH) {
            let text = std::fs::read(entry.path().join("new/estimates.json"))?;
            let estimates: serde_json::Value = serde_json::from_slice(&text)?;
            return estimates["median"]["point_estimate"].as_f64().context("no median of admission");
        }
    }
    anyhow::bail!("{} has no figure of admission", criterion.display())
}

fn machine_load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
