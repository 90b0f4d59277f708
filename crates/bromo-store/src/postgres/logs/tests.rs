//! The contract, run on PostgreSQL, and what only this backend promises: many nodes, days that go whole.

use std::time::Duration;

use bromo_rules::id::NodeId;
use bromo_rules::log::LogLine;
use bromo_testbed::{Database, Postgres};
use tokio_postgres::{Client, NoTls};

use super::{DAY_BITS, PostgresLogs, open_postgres_logs};
use crate::contract::logs::{keep, line};
use crate::contract::{NOW, Outcome};
use crate::postgres::PostgresSettings;
use crate::postgres::tests::walks::{self, Watched};
use crate::{LogFilter, Logs};

const DAY: Duration = Duration::from_secs(86_400);

async fn with_logs(test: impl AsyncFnOnce(&dyn Logs) -> Outcome) {
    let database = Postgres::shared().database().unwrap();
    walks::write_down(&database);
    let logs = open(&database).await;
    let watched = Watched::begin(&database).await;
    test(&logs).await.unwrap();
    watched.end().await;
}

mod contract {
    crate::logs_contract!(super::super::with_logs);
}

async fn open(database: &Database<'_>) -> PostgresLogs {
    let logs = open_postgres_logs(PostgresSettings::new(database.url(), NodeId::from_random(1))).unwrap();
    logs.wait_ready().await.unwrap();
    logs
}

async fn beside(database: &Database<'_>) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// All lines above this cursor, the oldest first.
async fn tail(logs: &PostgresLogs, after: u64) -> Vec<(u64, LogLine)> {
    let filter = LogFilter { after: Some(after), ..LogFilter::default() };
    let page = logs.read(&filter, None, 100_000, Duration::MAX).await.unwrap();
    page.lines.into_iter().rev().map(|stored| (stored.cursor, stored.line)).collect()
}

#[tokio::test]
async fn who_follows_the_log_misses_nothing_of_what_many_nodes_append() {
    let database = Postgres::shared().database().unwrap();
    let nodes = [open(&database).await, open(&database).await, open(&database).await];
    let append = async |node: u32| {
        for batch in 0..40 {
            let first = (node * 40 + batch) * 7;
            nodes[node as usize].append((first..first + 7).map(line).collect(), None).await.unwrap();
        }
    };
    let follow = async {
        let mut seen: Vec<(u64, LogLine)> = Vec::new();
        while seen.len() < 3 * 40 * 7 {
            let after = seen.last().map_or(0, |(cursor, _)| *cursor);
            seen.extend(tail(&nodes[0], after).await);
        }
        seen
    };
    let (seen, ..) = tokio::join!(follow, append(0), append(1), append(2));
    let mut requests: Vec<_> = seen.iter().map(|(_, line)| line.request).collect();
    requests.sort_unstable();
    let expected: Vec<_> = (0..3 * 40 * 7).map(|number| line(number).request).collect();
    assert_eq!(requests, expected);
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
}

/// As if all that was appended so far had been a day earlier.
async fn make_a_day_pass(client: &Client) {
    let day: i64 = client.query_one("SELECT max(last_seq) >> 36 FROM blocks", &[]).await.unwrap().get(0);
    let (ago, one) = (day - 1, 1_i64 << DAY_BITS);
    client
        .batch_execute(&format!(
            "ALTER TABLE blocks DETACH PARTITION blocks_{day};
             ALTER TABLE blocks_{day} RENAME TO blocks_{ago};
             UPDATE blocks_{ago} SET first_seq = first_seq - {one}, last_seq = last_seq - {one};
             ALTER TABLE blocks ATTACH PARTITION blocks_{ago} FOR VALUES FROM ({}) TO ({});
             UPDATE runs SET first_seq = first_seq - {one}, last_seq = last_seq - {one};
             UPDATE appended SET last_seq = last_seq - {one}",
            ago << DAY_BITS,
            day << DAY_BITS,
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_day_that_is_too_old_is_dropped_whole() {
    let database = Postgres::shared().database().unwrap();
    let (logs, client) = (open(&database).await, beside(&database).await);
    logs.append((0..100).map(line).collect(), None).await.unwrap();
    make_a_day_pass(&client).await;
    let young = LogLine { at: NOW.plus(DAY * 2), ..line(100) };
    logs.append(vec![young.clone()], None).await.unwrap();
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'blocks'::regclass";
    let count = async || client.query_one(partitions, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count().await, 2);
    assert_eq!(logs.trim(&keep(NOW.plus(DAY / 2), u64::MAX)).await.unwrap(), 100);
    assert_eq!(count().await, 1);
    // Dropped, not emptied row by row.
    let left = tail(&logs, 0).await;
    assert_eq!(left.into_iter().map(|(_, line)| line).collect::<Vec<_>>(), [young]);
    assert_eq!(logs.trim(&keep(NOW.plus(DAY * 3), 0)).await.unwrap(), 1);
    // Today's stays: lines go on coming.
    assert_eq!(count().await, 1);
    logs.append((0..10).map(line).collect(), None).await.unwrap();
    assert_eq!(tail(&logs, 0).await.len(), 10);
}

#[tokio::test]
async fn a_past_day_goes_with_the_last_of_its_lines() {
    let database = Postgres::shared().database().unwrap();
    let (logs, client) = (open(&database).await, beside(&database).await);
    logs.append((0..20_000).map(line).collect(), None).await.unwrap();
    logs.append((20_000..30_000).map(line).collect(), None).await.unwrap();
    make_a_day_pass(&client).await;
    logs.append(vec![line(30_000)], None).await.unwrap();
    let sql = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'blocks'::regclass";
    let partitions = async || client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    let bytes: i64 = client.query_one("SELECT sum(bytes)::bigint FROM runs", &[]).await.unwrap().get(0);
    // Counts take some of it.
    let most = u64::try_from(bytes - 1).unwrap();
    assert_eq!(logs.trim(&keep(NOW, most)).await.unwrap(), 20_000);
    assert_eq!(partitions().await, 2);
    assert_eq!(logs.trim(&keep(NOW, 0)).await.unwrap(), 10_001);
    assert_eq!(partitions().await, 1);
}
