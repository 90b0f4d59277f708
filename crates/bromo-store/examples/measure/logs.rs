//! Appending to the log and reading it.

use std::path::Path;
use std::time::{Duration, Instant};

use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::time::Timestamp;
use bromo_store::contract::{NOW, logs};
use bromo_store::{LogFilter, Logs, RequestMatch, SqliteLogs, StatusMatch, StoreError, open_sqlite_logs};

use crate::gauge::{cpu_us, random_tail};

/// All of it.
pub(crate) async fn measure(folder: &Path) -> Result<(), StoreError> {
    let logs = open_sqlite_logs(folder)?;
    for accounts in [1, 50, 1000] {
        append(&logs, accounts, 1500).await?;
    }
    append(&logs, 1000, 8192).await?;
    append(&logs, 50, 30).await?;
    let bytes = folder.join("logs.db").metadata().map_or(0, |file| file.len());
    let lines = read(&logs).await?;
    println!("logs.db {} MB, {} bytes a line", bytes / 1_000_000, bytes / lines);
    Ok(())
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
    let (begin, cpu) = (Instant::now(), cpu_us(None));
    for lines in batches {
        let sent = Instant::now();
        log.append(lines, None).await?;
        took.push(sent.elapsed());
    }
    let rate = lines as f64 / begin.elapsed().as_secs_f64();
    let cpu_us = (cpu_us(None) - cpu) as f64 / lines as f64;
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "append {batch} lines of {accounts} accounts: {rate:.0} lines/s, {cpu_us:.2} us CPU a line, \
         a batch p50 {p50:.2?} p99 {p99:.2?}"
    );
    Ok(())
}

/// Pages of 50 lines; answers how many lines there are.
async fn read(log: &SqliteLogs) -> Result<u64, StoreError> {
    let page = async |filter: &LogFilter, before, count| {
        Ok::<_, StoreError>(log.read(filter, before, count, Duration::MAX).await?.lines)
    };
    let none = LogFilter::default;
    let newest = page(&none(), None, 1).await?;
    let lines = newest.first().map_or(1, |line| line.cursor);
    let account = Some(AccountId::from_random(1));
    let routes = vec!["nowhere".to_owned()];
    let old = page(&LogFilter { account, ..none() }, Some(lines / 5), 1).await?;
    let request = old.first().map(|line| RequestMatch::Exact(line.line.request));
    let until = Some(Timestamp::from_millis(NOW.millis() + 5_000));
    let statuses = |status| vec![StatusMatch::Exact(status)];
    for (what, filter, before) in [
        ("newest of all", none(), None),
        ("from the middle of all", none(), Some(lines / 2)),
        ("of one account", LogFilter { account, ..none() }, None),
        ("of one account, one status", LogFilter { account, statuses: statuses(429), ..none() }, None),
        ("up to an early instant", LogFilter { until, ..none() }, None),
        ("one request", LogFilter { request, ..none() }, None),
        ("no line of all (whole log searched)", LogFilter { codes: vec!["OK".to_owned()], ..none() }, None),
        ("no line of one account", LogFilter { account, routes, ..none() }, None),
        ("status of nobody", LogFilter { statuses: statuses(299), ..none() }, None),
    ] {
        let mut best = Duration::MAX;
        let mut found = 0;
        let mut first = Duration::ZERO;
        for round in 0..5 {
            let sent = Instant::now();
            found = page(&filter, before, 50).await?.len();
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
    page(&dear, None, 50).await?;
    println!("read one instant: {:.2?}", sent.elapsed());
    Ok(lines)
}
