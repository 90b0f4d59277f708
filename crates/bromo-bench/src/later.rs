//! The later way: submits, drain, starts and deliveries, server and load on the same two cores.

mod customer;
mod receiver;
mod run;
mod server;
mod soak;

use std::path::Path;
use std::time::Duration;

use crate::later::run::Round;
use crate::later::server::Server;
use crate::report::{self, Goal, Row};
use crate::{disk, machine_load};

/// Measures the later way and prints its table; whether the gate was passed.
pub(crate) async fn table(
    program: &Path,
    folder: &Path,
    rounds: usize,
    length: Duration,
) -> anyhow::Result<Vec<Row>> {
    let mut all = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        eprintln!("later way, round {number} of {rounds}, load {}", machine_load());
        all.push(run::round(program, &folder.join("later"), length).await?);
    }
    let (sync_p50, sync_p99) = disk::sync_us(folder)?;
    println!("fdatasync of a page: p50 {sync_p50:.0} us, p99 {sync_p99:.0} us");
    let each = |number: fn(&Round) -> f64| all.iter().map(number).collect::<Vec<_>>();
    Ok(vec![
        Row::alone("single submits/s, 64 clients", each(|r| r.singles.0)).reaching(Goal::AtLeast(12_000.0)),
        Row::alone("… p50, ms", each(|r| r.singles.1)),
        Row::alone("… p99, ms", each(|r| r.singles.2)).reaching(Goal::AtMost(15.0)),
        Row::alone("single submits, 1 client, p50, ms", each(|r| r.one_p50)).reaching(Goal::AtMost(1.0)),
        Row::alone("batches of 500, tasks/s, 8 clients", each(|r| r.batches))
            .reaching(Goal::AtLeast(35_000.0)),
        Row::alone("drain, tasks/s (result, charge, delivery row)", each(|r| r.drain))
            .reaching(Goal::AtLeast(8_000.0)),
        Row::alone("both at once: submits/s", each(|r| r.both.0)).reaching(Goal::AtLeast(10_000.0)),
        Row::alone("both at once: whole tasks/s", each(|r| r.both.1)).reaching(Goal::AtLeast(5_000.0)),
        Row::alone("acknowledged to started, p50, ms", each(|r| r.start.0)),
        Row::alone("acknowledged to started, p99, ms", each(|r| r.start.1)).reaching(Goal::AtMost(5.0)),
        Row::alone("started beside another's 100,000 queued, p99, ms", each(|r| r.fair_p99))
            .reaching(Goal::AtMost(50.0)),
        Row::alone("durable deliveries/s to a local receiver", each(|r| r.deliveries))
            .reaching(Goal::AtLeast(8_000.0)),
        Row::alone("delivery delay p99, healthy receivers alone, ms", each(|r| r.healthy_p99)),
        Row::alone("… beside one that hangs and one that fails, of that", each(|r| r.beside_dead))
            .reaching(Goal::AtMost(1.5)),
        Row::alone("largest WAL, MB", each(|r| r.wal_mb)).reaching(Goal::AtMost(64.0)),
    ])
}

/// Full load for so long: the WAL's bound and the tail of submits.
pub(crate) async fn soak(program: &Path, folder: &Path, length: Duration) -> anyhow::Result<()> {
    let server = Server::start(program, &folder.join("soak"), "")?;
    let rows = soak::run(&server, length).await?;
    println!("{}", report::table(&rows));
    Ok(())
}
