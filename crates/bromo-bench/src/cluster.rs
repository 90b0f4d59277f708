//! Calls answered now over PostgreSQL and Redis: what they cost beside one process alone, and what a second node brings.

use std::path::Path;
use std::time::Duration;

use crate::bromo::{Bromo, settings};
use crate::client::Target;
use crate::later::Shared;
use crate::load;
use crate::machine_load;
use crate::quota::Quota;
use crate::report::{Goal, Row};
use crate::upstream::Upstream;

/// Slots of the two plans.
const SLOTS: (u32, u32) = (1000, 20);
/// Of a core, for each node that is compared: what load, upstream, PostgreSQL and Redis need beside must be there.
const SHARE: f64 = 0.2;
/// Connections of the load on each node.
const CONNECTIONS: usize = 32;
/// Nodes may run on every core.
const CORES: &str = "0,1";

/// One round's figures.
struct Round {
    /// p50 of a call after the other, in milliseconds: in one process, and over shared servers.
    free_ms: (f64, f64),
    charged_ms: (f64, f64),
    /// Calls a second of one node, and of two.
    nodes: (f64, f64),
}

/// Measures `rounds` times: the table's first rows.
pub(crate) async fn rows(
    program: &Path,
    folder: &Path,
    shared: &Shared,
    rounds: usize,
    length: Duration,
) -> anyhow::Result<Vec<Row>> {
    let mut all = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        eprintln!("answers now, round {number} of {rounds}, load {}", machine_load());
        all.push(round(program, folder, shared, length).await?);
    }
    let each = |number: fn(&Round) -> f64| all.iter().map(number).collect::<Vec<_>>();
    Ok(vec![
        Row::alone("free call in one process, p50, ms", each(|r| r.free_ms.0)),
        Row::alone("… more over PostgreSQL and Redis, ms", each(|r| r.free_ms.1 - r.free_ms.0))
            .reaching(Goal::AtMost(0.5)),
        Row::alone("charged call in one process, p50, ms", each(|r| r.charged_ms.0)),
        Row::alone("… more over PostgreSQL and Redis, ms", each(|r| r.charged_ms.1 - r.charged_ms.0))
            .reaching(Goal::AtMost(0.5)),
        Row::alone("free calls/s of a node that has a fifth of a core", each(|r| r.nodes.0)),
        Row::alone("… two such nodes, times that", each(|r| r.nodes.1 / r.nodes.0))
            .reaching(Goal::AtLeast(1.6)),
    ])
}

async fn round(program: &Path, folder: &Path, shared: &Shared, length: Duration) -> anyhow::Result<Round> {
    let upstream = Upstream::start().await?;
    let own = settings(upstream.address, SLOTS.0, SLOTS.1);
    let seal_key = folder.join("seal-key");
    let database = shared.database()?;
    let with_servers =
        format!("{own}[webhooks]\nseal_key_file = {seal_key:?}\n{}", shared.settings(&database));
    let alone = Bromo::start_on(CORES, program, &folder.join("alone"), &own)?;
    let first = Bromo::start_on(CORES, program, &folder.join("first"), &with_servers)?;
    let free_ms = (p50_ms(&alone.free(), length).await?, p50_ms(&first.free(), length).await?);
    let charged_ms = (p50_ms(&alone.charged(), length).await?, p50_ms(&first.charged(), length).await?);
    drop(alone);
    let second = Bromo::join_on(CORES, program, &folder.join("second"), &with_servers)?;
    let quotas = [Quota::of(first.process.id(), SHARE)?, Quota::of(second.process.id(), SHARE)?];
    let (one, other) = (first.free(), second.free_for(first.many_key()));
    load::closed(&other, CONNECTIONS, length / 4).await?; // It knows the key now.
    let single = load::closed(&one, CONNECTIONS, length).await?.per_second;
    let both =
        tokio::try_join!(load::closed(&one, CONNECTIONS, length), load::closed(&other, CONNECTIONS, length))?;
    drop((first, second, quotas, database));
    Ok(Round { free_ms, charged_ms, nodes: (single, both.0.per_second + both.1.per_second) })
}

async fn p50_ms(target: &Target, length: Duration) -> anyhow::Result<f64> {
    Ok(load::closed(target, 1, length).await?.latencies.p50_p99_us().0 / 1e3)
}
