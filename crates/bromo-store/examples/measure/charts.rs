//! What a page of the dashboard asks of a log with a million lines of one account, made in 30 days.

use std::path::Path;
use std::time::{Duration, Instant};

use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::problem::Problem;
use bromo_rules::time::Timestamp;
use bromo_store::contract::{NOW, logs};
use bromo_store::{
    Level, LogFilter, LogPage, Logs, RequestMatch, SqliteLogs, StatusMatch, StoreError, open_sqlite_logs,
};

use crate::gauge::{cpu_us, random_tail};

const LINES: u32 = 1_000_000;
const DAYS: Duration = Duration::from_secs(30 * 86_400);
const ROUTES: [&str; 8] = [
    "monitor/chatgpt",
    "monitor/gemini",
    "monitor/copilot",
    "monitor/perplexity",
    "monitor/grok",
    "monitor/aimode",
    "monitor/google",
    "monitor/google/news",
];
const KEYS: u64 = 5;
/// One line in so many failed.
const RARE: u32 = 20_000;
/// What a page waits for a search.
const BUDGET: Duration = Duration::from_millis(200);

/// All of it.
pub(crate) async fn measure(folder: &Path) -> Result<(), StoreError> {
    let logs = open_sqlite_logs(folder)?;
    append(&logs).await?;
    let account = Some(AccountId::from_random(1));
    let any = || LogFilter { account, ..LogFilter::default() };
    let rare =
        logs.read(&LogFilter { statuses: vec![StatusMatch::Class(5)], ..any() }, None, 1, BUDGET).await?;
    let request = rare.lines.first().map(|line| line.line.request.to_string());
    let request = request.and_then(|text| RequestMatch::parse(&text[..10]));
    for (what, filter) in [
        ("the newest", any()),
        ("one in 20,000", LogFilter { statuses: vec![StatusMatch::Class(5)], ..any() }),
        ("none, by status", LogFilter { statuses: vec![StatusMatch::Exact(299)], ..any() }),
        ("none, by time taken", LogFilter { took_min_us: Some(u64::MAX), charged: true, ..any() }),
        ("the beginning of an id", LogFilter { request, ..any() }),
        ("one in 20,000 of all", LogFilter { account: None, statuses: vec![StatusMatch::Class(5)], ..any() }),
    ] {
        let (sent, cpu) = (Instant::now(), cpu_us(None));
        let page = logs.read(&filter, None, 100, BUDGET).await?;
        let (took, cpu_ms) = (sent.elapsed(), (cpu_us(None) - cpu) / 1000);
        let LogPage { lines, searched_to, .. } = page;
        println!(
            "  a page of 100, {what}: {} lines in {took:.2?}, {cpu_ms} ms CPU, cut {}",
            lines.len(),
            searched_to.is_some()
        );
    }
    let now = NOW.plus(DAYS);
    let hours = |hours: i64| Timestamp::from_millis(now.millis() - hours * 3_600_000);
    for (what, level, step, from) in [
        ("1 h by 15 s", Level::Fine, 15, hours(1)),
        ("24 h by 5 min", Level::Coarse, 300, hours(24)),
        ("30 d by 2 h", Level::Coarse, 7200, hours(720)),
        ("30 d in one", Level::Coarse, 720 * 3600, hours(720)),
        ("30 d by 5 min", Level::Coarse, 300, hours(720)),
    ] {
        let (sent, cpu) = (Instant::now(), cpu_us(None));
        let step = Duration::from_secs(step);
        let rows = logs.rollups(AccountId::from_random(1), level, step, from, now).await?;
        let (took, cpu_ms) = (sent.elapsed(), (cpu_us(None) - cpu) / 1000);
        let lines: u64 = rows.iter().flat_map(|row| &row.outcomes).map(|counted| counted.lines).sum();
        println!("  charts of {what}: {} rows of {lines} lines in {took:.2?}, {cpu_ms} ms CPU", rows.len());
    }
    let sent = Instant::now();
    let keys = logs.key_uses(AccountId::from_random(1)).await?.len();
    println!("  the last uses of {keys} keys in {:.2?}", sent.elapsed());
    Ok(())
}

async fn append(logs: &SqliteLogs) -> Result<(), StoreError> {
    let mut random = fastrand::Rng::new();
    let mut took = Duration::ZERO;
    for batch in 0..LINES / 1000 {
        let lines = (0..1000)
            .map(|number| {
                let number = batch * 1000 + number;
                let at = NOW.plus(DAYS / LINES * number);
                let line = LogLine {
                    request: RequestId::new(at, random_tail(&mut random)),
                    at,
                    account: AccountId::from_random(1),
                    key: KeyId::from_random(random.u64(1..=KEYS)),
                    route: ROUTES[random.usize(..ROUTES.len())],
                    took_us: random.u64(1_000_000..60_000_000),
                    ..logs::line(number)
                };
                if number.is_multiple_of(RARE) {
                    let problem = Problem::INTERNAL;
                    return LogLine { status: problem.status, code: problem.code, ..line };
                }
                line
            })
            .collect();
        let sent = Instant::now();
        logs.append(lines, None).await?;
        took += sent.elapsed();
    }
    println!("  {LINES} lines appended in {took:.2?}");
    Ok(())
}
