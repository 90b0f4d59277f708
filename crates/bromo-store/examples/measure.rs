//! What the SQLite backend does in a second, beside nothing else: run it with `--release`, alone.
//!
//! `cargo run --release --features contract --example measure [folder]`. A folder on the disk in question
//! matters: /tmp may be memory.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bromo_rules::account::Change;
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;
use bromo_store::contract::{NOW, logs, newcomer};
use bromo_store::{
    Accounts, Charge, Keys, Ledger, LogFilter, Logs, SqliteLogs, SqliteStore, StoreError, open_sqlite,
    open_sqlite_logs,
};

const SPELL: Duration = Duration::from_secs(5);
const ACCOUNTS: u64 = 50;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StoreError> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("measure-data"), PathBuf::from);
    let store = Arc::new(open_sqlite(&folder)?);
    let plans = Arc::new(PlanTable::default());
    for number in 1..=ACCOUNTS {
        let (account, opening, key) = newcomer(number);
        store.create_account(&account, &opening, &key, None).await?;
        let grant = Change::Grant(Credits::new(1_000_000_000));
        store.change_account(account.id, &grant, &plans, NOW).await?;
    }
    for callers in [1, 64] {
        look_ups(&store, callers).await?;
    }
    for callers in [1, 64, 256] {
        charges(&store, callers, ACCOUNTS).await?;
    }
    charges(&store, 64, 1).await?;
    let wal = folder.join("bromo.db-wal").metadata().map_or(0, |file| file.len());
    println!("wal file {} MB", wal / 1_000_000);
    let logs = open_sqlite_logs(&folder)?;
    for accounts in [1, 50, 1000] {
        append(&logs, accounts, 1500).await?;
    }
    append(&logs, 50, 30).await?;
    let bytes = folder.join("logs.db").metadata().map_or(0, |file| file.len());
    let lines = read(&logs).await?;
    println!("logs.db {} MB, {} bytes a line", bytes / 1_000_000, bytes / lines);
    Ok(())
}

async fn charges(store: &Arc<SqliteStore>, callers: u64, accounts: u64) -> Result<(), StoreError> {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut random = fastrand::Rng::new();
                let mut took = Vec::new();
                while begin.elapsed() < SPELL {
                    let at = NOW.plus(begin.elapsed());
                    let request = RequestId::new(at, random_tail(&mut random));
                    let account = AccountId::from_random(caller % accounts + 1);
                    let sent = Instant::now();
                    store.charge(Charge { request, account, price: Credits::new(7), at }).await?;
                    took.push(sent.elapsed());
                }
                Ok::<_, StoreError>(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.map_err(|error| StoreError::Unavailable { reason: error.to_string() })??);
    }
    let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{callers} callers, {accounts} accounts: {rate:.0} charges/s, p50 {p50:.2?}, p99 {p99:.2?}");
    Ok(())
}

/// Keys by hash, each with its account.
async fn look_ups(store: &SqliteStore, callers: u64) -> Result<(), StoreError> {
    let begin = Instant::now();
    let callers_do = (0..callers).map(async |caller| {
        let (_, _, key) = newcomer(caller % ACCOUNTS + 1);
        let mut done = 0_u32;
        while begin.elapsed() < SPELL / 5 {
            store.lookup_key(key.hash).await?;
            done += 1;
        }
        Ok::<_, StoreError>(done)
    });
    let done: u32 = futures_util::future::try_join_all(callers_do).await?.into_iter().sum();
    let rate = f64::from(done) / begin.elapsed().as_secs_f64();
    println!("{callers} callers: {rate:.0} keys looked up/s");
    Ok(())
}

fn random_tail(random: &mut fastrand::Rng) -> [u8; 10] {
    let mut tail = [0; 10];
    random.fill(&mut tail);
    tail
}

/// As fast as one caller can, lines made beforehand.
async fn append(log: &SqliteLogs, accounts: u64, batch: u32) -> Result<(), StoreError> {
    let mut random = fastrand::Rng::new();
    let mut at = NOW;
    let batches: Vec<Vec<LogLine>> = (0..500_000 / batch)
        .map(|_| {
            at = at.plus(Duration::from_millis(u64::from(batch) / 30 + 1));
            (0..batch)
                .map(|number| LogLine {
                    request: RequestId::new(at, random_tail(&mut random)),
                    at,
                    account: AccountId::from_random(random.u64(1..=accounts)),
                    key: KeyId::from_random(random.u64(1..=3)),
                    took_us: random.u64(1000..60_000_000),
                    ..logs::line(number)
                })
                .collect()
        })
        .collect();
    let lines: usize = batches.iter().map(Vec::len).sum();
    let mut took = Vec::new();
    let (begin, cpu) = (Instant::now(), cpu_ms());
    for lines in batches {
        let sent = Instant::now();
        log.append(lines, None).await?;
        took.push(sent.elapsed());
    }
    let rate = lines as f64 / begin.elapsed().as_secs_f64();
    let cpu_us = (cpu_ms() - cpu) as f64 * 1000.0 / lines as f64;
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "append {batch} lines of {accounts} accounts: {rate:.0} lines/s, {cpu_us:.2} us CPU a line, \
         a batch p50 {p50:.2?} p99 {p99:.2?}"
    );
    Ok(())
}

/// This process's user and system time, from /proc; 0 elsewhere.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10
}

/// Pages of 50 lines; answers how many lines there are.
async fn read(log: &SqliteLogs) -> Result<u64, StoreError> {
    let newest = log.read(&LogFilter::default(), None, 1).await?;
    let lines = newest.first().map_or(1, |line| line.cursor);
    let account = Some(AccountId::from_random(1));
    let nowhere = Some("nowhere".to_owned());
    let old = log.read(&LogFilter { account, ..LogFilter::default() }, Some(lines / 5), 1).await?;
    let request = old.first().map(|line| line.line.request);
    let none = LogFilter::default;
    let until = Some(Timestamp::from_millis(NOW.millis() + 5_000));
    for (what, filter, before) in [
        ("newest of all", none(), None),
        ("from the middle of all", none(), Some(lines / 2)),
        ("of one account", LogFilter { account, ..none() }, None),
        ("of one account, one status", LogFilter { account, status: Some(429), ..none() }, None),
        ("up to an early instant", LogFilter { until, ..none() }, None),
        ("one request", LogFilter { request, ..none() }, None),
        ("no line of all (whole log searched)", LogFilter { code: Some("OK".to_owned()), ..none() }, None),
        ("no line of one account", LogFilter { account, route: nowhere, ..none() }, None),
        ("status of nobody", LogFilter { status: Some(299), ..none() }, None),
    ] {
        let mut best = Duration::MAX;
        let mut found = 0;
        let mut first = Duration::ZERO;
        for round in 0..5 {
            let sent = Instant::now();
            found = log.read(&filter, before, 50).await?.len();
            best = best.min(sent.elapsed());
            if round == 0 {
                first = sent.elapsed();
            }
        }
        println!("read {what}: {found} of {lines} lines, first {first:.2?}, best {best:.2?}");
    }
    // Matched in every block but for the last condition: the dearest search there is.
    let dear = LogFilter { until: Some(NOW), from: Some(NOW), ..none() };
    let sent = Instant::now();
    log.read(&dear, None, 50).await?;
    println!("read one instant: {:.2?}", sent.elapsed());
    Ok(lines)
}
