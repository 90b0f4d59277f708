//! What a backend does in a second, beside nothing else: run it with `--release`, alone.
//!
//! `cargo run --release --features contract --example measure WHERE [PART…]`. WHERE is a folder for SQLite, which should
//! be new and on the disk in question (/tmp may be memory), or the address of a PostgreSQL server,
//! `postgres://user@host:port/database`, whose user may create databases: each part gets one. Parts: see `PARTS`;
//! without any all but the long ones run.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod ceiling;
mod charts;
mod gauge;
mod ledger;
mod logs;
mod server;
mod tasks;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bromo_rules::account::Change;
use bromo_rules::credit::Credits;
use bromo_rules::plan::PlanTable;
use bromo_store::contract::{NOW, newcomer};
use bromo_store::{Store, StoreError, Tasks, open_sqlite};

const SPELL: Duration = Duration::from_secs(5);
const ACCOUNTS: u64 = 50;
/// What runs if nothing is named.
const PARTS: [&str; 8] = ["ceiling", "ledger", "submit", "batch", "drain", "both", "logs", "charts"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StoreError> {
    let mut args = std::env::args().skip(1);
    let place = args.next().unwrap_or_else(|| "measure-data".to_owned());
    if place.starts_with("postgres") {
        return server::measure(&place, &args.collect::<Vec<_>>()).await;
    }
    let folder = PathBuf::from(place);
    let mut parts: Vec<String> = args.collect();
    if parts.is_empty() {
        parts = PARTS.map(str::to_owned).to_vec();
    }
    for part in parts {
        // A folder a part, so that none inherits another's tables.
        let folder = folder.join(&part);
        println!("{part}");
        match part.as_str() {
            "ceiling" => ceiling::measure(&folder)?,
            "logs" => logs::measure(&folder).await?,
            "charts" => charts::measure(&folder).await?,
            part => {
                let begin = Instant::now();
                let store = Arc::new(open_sqlite(&folder)?);
                println!("  opened in {:.2?} with {} tasks waiting", begin.elapsed(), store.totals().0);
                run(store, part).await?;
                // The file never shrinks while it is open.
                let wal = folder.join("bromo.db-wal").metadata().map_or(0, |file| file.len());
                println!("  the WAL's largest size: {} MB", wal / 1_000_000);
            }
        }
    }
    Ok(())
}

/// One part, on a store of its own.
async fn run(store: Arc<dyn Store>, part: &str) -> Result<(), StoreError> {
    let plans = Arc::new(PlanTable::default());
    for number in 1..=ACCOUNTS {
        let (account, opening, key) = newcomer(number);
        store.create_account(&account, &opening, Some(&key), None, None).await?;
        let grant = Change::Grant(Credits::new(1_000_000_000));
        store.change_account(account.id, &grant, &plans, NOW).await?;
    }
    match part {
        "ledger" => ledger::measure(&store).await,
        part => tasks::measure(&*store, part).await,
    }
}
