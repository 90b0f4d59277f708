//! The same tables without the store: one loop on one connection, rows in groups, nothing answered to anybody.

use std::path::Path;
use std::time::{Duration, Instant};

use bromo_rules::id::RequestId;
use bromo_store::contract::NOW;
use bromo_store::{StoreError, open_sqlite};
use rusqlite::{Connection, params};

use crate::gauge::random_tail;
use crate::{ACCOUNTS, SPELL};

/// Submits and drains in groups of 64 and 500.
pub(crate) fn measure(folder: &Path) -> Result<(), StoreError> {
    drop(open_sqlite(folder)?);
    let connection = Connection::open(folder.join("bromo.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000;
         PRAGMA cache_size = -65536;",
    )?;
    let mut seq = 0;
    for group in [64, 500] {
        let begin = Instant::now();
        let first = seq;
        while begin.elapsed() < SPELL / 2 {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for _ in 0..group {
                seq += 1;
                submit(&connection, seq)?;
            }
            connection.execute_batch("COMMIT")?;
        }
        let rate = (seq - first) as f64 / begin.elapsed().as_secs_f64();
        println!("  {group} rows a commit: {rate:.0} submits/s");
    }
    for group in [64, 500] {
        let (begin, mut ended) = (Instant::now(), 0);
        while begin.elapsed() < SPELL / 2 {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for _ in 0..group {
                ended += 1;
                end(&connection, ended * 10 % seq + ended * 10 / seq, ended)?;
            }
            connection.execute_batch("COMMIT")?;
        }
        let rate = ended as f64 / begin.elapsed().as_secs_f64();
        println!("  {group} rows a commit: {rate:.0} claims with their ends/s");
        connection.execute_batch(
            "DELETE FROM results; DELETE FROM deliveries; UPDATE tasks SET state = 2, end_seq = -1099511627776",
        )?;
    }
    Ok(())
}

fn submit(connection: &Connection, seq: i64) -> Result<(), StoreError> {
    let mut random = fastrand::Rng::with_seed(seq.unsigned_abs());
    let id = RequestId::new(NOW.plus(Duration::from_micros(seq.unsigned_abs())), random_tail(&mut random));
    let key: String = (0..36).map(|_| random.alphanumeric()).collect();
    let account = random.u64(1..=ACCOUNTS).cast_signed();
    connection
        .prepare_cached(
            "INSERT INTO tasks (seq, id, account, endpoint, kind, priority, price, clusters_max, created_at,
                 key_hash, attempts, cuts)
             VALUES (?1, ?2, ?3, 0, 0, 1, 5, 0, ?4, ?5, 0, 0)",
        )?
        .execute(params![seq, id.as_bytes(), account, NOW.millis(), random.i64(..)])?;
    connection
        .prepare_cached(
            "INSERT INTO questions (seq, key, payload, webhook, idempotency_key)
             VALUES (?1, ?2, ?3, 'https://host.example.com/hooks/bromo?token=abc', ?4)",
        )?
        .execute(params![seq, account, "x".repeat(200), key])?;
    Ok(())
}

/// Tasks of ten priorities end in another order than they came.
fn end(connection: &Connection, seq: i64, end_seq: i64) -> Result<(), StoreError> {
    for sql in [
        "INSERT INTO claims (seq, fence, attempt, cuts, started_at) VALUES (?1, ?2, 1, 0, 1760000000000)",
        "DELETE FROM claims WHERE seq = ?1 AND ?2 > 0",
        "UPDATE tasks SET state = 4, end_seq = 1099511627776 + ?2 WHERE seq = ?1",
        "INSERT OR REPLACE INTO deliveries (end_seq, seq, account, host, booked_at, due_at, attempts, round_attempts)
         VALUES (?2, ?1, 1, 'host.example.com:443', 1760000000000, 1760000000000, 0, 0)",
        "INSERT OR REPLACE INTO results (end_seq, seq, attempts, ended_at, charged, expires_at, response)
         VALUES (?2, ?1, 1, 1760000000000, 5, 1760086400000 + ?2, zeroblob(1024))",
    ] {
        connection.prepare_cached(sql)?.execute([seq, end_seq])?;
    }
    Ok(())
}
