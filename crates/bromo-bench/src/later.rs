//! The later way: submits, drain, starts and deliveries, server and load on the same two cores.

mod customer;
mod receiver;
mod run;
mod server;
mod soak;

use std::time::Duration;

use crate::later::run::Round;
use crate::later::server::Server;
pub(crate) use crate::later::server::{Place, Shared};
use crate::peers::{self, Peer};
use crate::report::{self, Goal, Row};
use crate::{disk, machine_load};

/// What is to be reached, by deployment.
struct Goals {
    singles: f64,
    batches: f64,
    drain: f64,
}

const EMBEDDED: Goals = Goals { singles: 12_000.0, batches: 35_000.0, drain: 8_000.0 };
const SHARED: Goals = Goals { singles: 10_000.0, batches: 40_000.0, drain: 8_000.0 };

/// The peers' rows, in the order of [`peers::PEERS`].
const PEER_ROWS: [[&str; 3]; 2] = [
    [
        "graphile-worker, in process: single adds/s",
        "… adds by 500, tasks/s",
        "… drain without a result, tasks/s",
    ],
    ["pg-boss, in process: single adds/s", "… adds by 500, tasks/s", "… drain without a result, tasks/s"],
];

/// Measures the later way: its table.
pub(crate) async fn table(place: &Place<'_>, rounds: usize, length: Duration) -> anyhow::Result<Vec<Row>> {
    let (mut all, mut others) = (Vec::with_capacity(rounds), Vec::new());
    for number in 1..=rounds {
        eprintln!("later way, round {number} of {rounds}, load {}", machine_load());
        if let Some(shared) = place.shared.filter(|_| place.peers) {
            others.push(peers::measure(&place.folder, shared, length)?);
        }
        all.push(run::round(place, length).await?);
    }
    let (sync_p50, sync_p99) = disk::sync_us(place.folder.parent().unwrap_or(&place.folder))?;
    let goals = if place.shared.is_some() { SHARED } else { EMBEDDED };
    println!("fdatasync of a page: p50 {sync_p50:.0} us, p99 {sync_p99:.0} us");
    let each = |number: fn(&Round) -> f64| all.iter().map(number).collect::<Vec<_>>();
    let mut rows = vec![
        Row::alone("single submits/s, 64 clients", each(|r| r.singles.0))
            .reaching(Goal::AtLeast(goals.singles)),
        Row::alone("… p50, ms", each(|r| r.singles.1)),
        Row::alone("… p99, ms", each(|r| r.singles.2)).reaching(Goal::AtMost(15.0)),
        Row::alone("single submits, 1 client, p50, ms", each(|r| r.one_p50)).reaching(Goal::AtMost(1.0)),
        Row::alone("batches of 500, tasks/s, 8 clients", each(|r| r.batches))
            .reaching(Goal::AtLeast(goals.batches)),
        Row::alone("drain, tasks/s (result, charge, delivery row)", each(|r| r.drain))
            .reaching(Goal::AtLeast(goals.drain)),
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
    ];
    for (index, [single, batch, drain]) in PEER_ROWS.into_iter().enumerate() {
        let each = |number: fn(&Peer) -> f64| others.iter().map(move |peers| number(&peers[index]));
        if others.is_empty() {
            break;
        }
        rows.push(Row::alone(single, each(|peer| peer.single)));
        rows.push(Row::alone(batch, each(|peer| peer.batch)));
        rows.push(Row::alone(drain, each(|peer| peer.drain)));
    }
    if place.peers {
        let times =
            all.iter().zip(&others).map(|(own, [one, other])| own.singles.0 / one.single.max(other.single));
        rows.push(
            Row::alone("single submits over HTTP, times the better of them", times)
                .reaching(Goal::AtLeast(6.0)),
        );
    } else if place.shared.is_none() {
        rows.push(Row::alone("largest WAL, MB", each(|r| r.wal_mb)).reaching(Goal::AtMost(64.0)));
    }
    Ok(rows)
}

/// Full load for so long: the WAL's bound and the tail of submits.
pub(crate) async fn soak(place: &Place<'_>, length: Duration) -> anyhow::Result<()> {
    let server = Server::start(place, "")?;
    let rows = soak::run(&server, length).await?;
    println!("{}", report::table(&rows));
    Ok(())
}
