//! The contract, run on SQLite; the block format; and how many blocks small batches leave.

use std::time::Duration;

use async_trait::async_trait;
use bromo_rules::credit::Way;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{SqliteLogs, open_sqlite_logs};
use crate::contract::NOW;
use crate::contract::logs::{keep, line};
use crate::logs::bytes::Garbage;
use crate::logs::decode::{Block, Columns, Wanted};
use crate::logs::encode::{BLOCK_LINES_MAX, Builder, Packed};
use crate::logs::line::{Line, Outcome, request_millis};
use crate::{
    KeptText, KeyUse, Level, LogFilter, LogGap, LogKeep, LogPage, Logs, RequestMatch, Rollup, StoreError,
};

async fn with_logs(test: impl AsyncFnOnce(&dyn Logs) -> crate::contract::Outcome) {
    let folder = TempDir::new().unwrap();
    let logs = open_sqlite_logs(folder.path()).unwrap();
    test(&logs).await.unwrap();
}

mod contract {
    crate::logs_contract!(super::super::with_logs);
}

/// The same log, but no line ever waits to be counted.
struct AllRolled(SqliteLogs);

#[async_trait]
impl Logs for AllRolled {
    async fn append(&self, lines: Vec<LogLine>, gap: Option<LogGap>) -> Result<(), StoreError> {
        self.0.append(lines, gap).await?;
        self.0.writer.run(super::roll::roll).await
    }

    async fn read(
        &self,
        filter: &LogFilter,
        before: Option<u64>,
        count: u32,
        budget: Duration,
    ) -> Result<LogPage, StoreError> {
        self.0.read(filter, before, count, budget).await
    }

    async fn rollups(
        &self,
        account: AccountId,
        level: Level,
        step: Duration,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Rollup>, StoreError> {
        self.0.rollups(account, level, step, from, until).await
    }

    async fn key_uses(&self, account: AccountId) -> Result<Vec<KeyUse>, StoreError> {
        self.0.key_uses(account).await
    }

    async fn gaps(&self, from: Timestamp, until: Timestamp, count: u32) -> Result<Vec<LogGap>, StoreError> {
        self.0.gaps(from, until, count).await
    }

    async fn append_texts(&self, texts: Vec<KeptText>) -> Result<(), StoreError> {
        self.0.append_texts(texts).await
    }

    async fn lookup_text(
        &self,
        account: AccountId,
        request: RequestId,
    ) -> Result<Option<KeptText>, StoreError> {
        self.0.lookup_text(account, request).await
    }

    async fn trim(&self, keep: &LogKeep) -> Result<u64, StoreError> {
        self.0.trim(keep).await
    }
}

async fn with_all_rolled(test: impl AsyncFnOnce(&dyn Logs) -> crate::contract::Outcome) {
    let folder = TempDir::new().unwrap();
    let logs = AllRolled(open_sqlite_logs(folder.path()).unwrap());
    test(&logs).await.unwrap();
}

mod contract_rolled {
    crate::logs_contract!(super::super::with_all_rolled);
}

#[tokio::test]
async fn fine_steps_are_kept_for_some_hours_and_coarse_ones_with_the_log() {
    let folder = TempDir::new().unwrap();
    let logs = open_sqlite_logs(folder.path()).unwrap();
    let hours = |hours: u32| NOW.plus(Duration::from_secs(3600) * hours);
    for hour in 0..10 {
        logs.append(vec![LogLine { at: hours(hour), ..line(1) }], None).await.unwrap();
    }
    logs.writer.run(super::roll::roll).await.unwrap();
    logs.trim(&keep(NOW, u64::MAX)).await.unwrap();
    for (level, kept) in [(Level::Fine, 8), (Level::Coarse, 10)] {
        let found = logs.rollups(line(1).account, level, level.step(), NOW, hours(99)).await.unwrap();
        assert_eq!(found.len(), kept, "{level:?}");
    }
}

#[tokio::test]
async fn lines_of_an_older_program_are_read_and_not_counted() {
    let folder = TempDir::new().unwrap();
    let logs = open_sqlite_logs(folder.path()).unwrap();
    logs.append(vec![line(1)], None).await.unwrap();
    let back = "DROP TABLE rollups; DROP TABLE key_uses; DROP TABLE rolled; DROP TABLE texts;
        DROP TABLE text_bytes; DELETE FROM migrations WHERE number > 1";
    logs.writer.run(move |c| Ok(c.execute_batch(back)?)).await.unwrap();
    drop(logs);
    let logs = open_sqlite_logs(folder.path()).unwrap();
    logs.append(vec![line(4)], None).await.unwrap();
    assert_eq!(logs.read(&LogFilter::default(), None, 9, Duration::MAX).await.unwrap().lines.len(), 2);
    let until = NOW.plus(Duration::from_secs(1));
    let found = logs.rollups(line(1).account, Level::Fine, Duration::ZERO, NOW, until).await.unwrap();
    assert_eq!(found.iter().map(|rollup| rollup.outcomes[0].lines).sum::<u64>(), 1);
}

async fn counts(logs: &SqliteLogs) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM blocks)";
    let read = logs.readers.run(|c| Ok(c.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?));
    read.await.unwrap()
}

#[tokio::test]
async fn small_batches_leave_few_blocks() {
    let folder = TempDir::new().unwrap();
    let logs = open_sqlite_logs(folder.path()).unwrap();
    for number in 0..3000 {
        logs.append(vec![line(number)], None).await.unwrap();
    }
    let (runs, blocks) = counts(&logs).await;
    assert!(runs <= 4 * 7 && blocks <= runs * 3, "{runs} runs, {blocks} blocks");
}

#[tokio::test]
async fn the_log_and_the_store_share_a_folder_and_each_has_one_opener() {
    let folder = TempDir::new().unwrap();
    let _store = crate::open_sqlite(folder.path()).unwrap();
    let logs = open_sqlite_logs(folder.path()).unwrap();
    logs.append(vec![line(1)], None).await.unwrap();
    assert!(matches!(open_sqlite_logs(folder.path()), Err(StoreError::Unavailable { .. })));
    drop(logs);
    let logs = open_sqlite_logs(folder.path()).unwrap();
    assert_eq!(
        logs.read(&LogFilter::default(), None, 10, Duration::MAX).await.unwrap().lines[0].line,
        line(1)
    );
}

#[tokio::test]
async fn a_corrupt_block_is_told_to_readers_and_does_not_stop_appending() {
    let folder = TempDir::new().unwrap();
    let logs = open_sqlite_logs(folder.path()).unwrap();
    logs.append(vec![line(0)], None).await.unwrap();
    let spoil = logs.writer.run(|c| Ok(c.execute("UPDATE blocks SET data = x'0105ff'", [])?));
    assert_eq!(spoil.await.unwrap(), 1);
    for number in 1..20 {
        logs.append(vec![line(number * 3)], None).await.unwrap();
    }
    assert_eq!(logs.read(&LogFilter::default(), None, 19, Duration::MAX).await.unwrap().lines.len(), 19);
    let error = logs.read(&LogFilter::default(), None, 20, Duration::MAX).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(counts(&logs).await.1 < 12);
}

#[tokio::test]
async fn room_made_by_trimming_is_used_again() {
    let folder = TempDir::new().unwrap();
    let logs = open_sqlite_logs(folder.path()).unwrap();
    let pages = async || {
        let read =
            logs.readers.run::<i64, _>(|c| Ok(c.query_row("PRAGMA page_count", [], |row| row.get(0))?));
        read.await.unwrap()
    };
    let mut highest = 0;
    for round in 0..10 {
        logs.append((0..20_000).map(line).collect(), None).await.unwrap();
        logs.trim(&keep(Timestamp::from_millis(0), 800_000)).await.unwrap();
        if round == 4 {
            highest = pages().await;
        }
    }
    // Counts of one and the same step take a few bytes more as they grow.
    assert!(pages().await <= highest + highest / 50, "{} > {highest}", pages().await);
}

fn pack(lines: &[Line<'_>]) -> Vec<Packed> {
    let mut builder = Builder::default();
    let mut blocks = Vec::new();
    for line in lines {
        if !builder.push(line) {
            blocks.extend(builder.finish());
            assert!(builder.push(line));
        }
    }
    blocks.extend(builder.finish());
    blocks
}

/// Reads a block in every way there is; answers how many lines it has.
fn unpack(data: &[u8]) -> Result<usize, Garbage> {
    let block = Block::unpack(data)?;
    let columns = Columns::read(&block)?;
    let request = Some(RequestMatch::Exact(RequestId::from_bytes([1; 16])));
    let keys = vec![KeyId::from_random(1)];
    for filter in [
        LogFilter::default(),
        LogFilter { request, ..LogFilter::default() },
        LogFilter { took_min_us: Some(1), charged: true, keys, ..LogFilter::default() },
    ] {
        columns.search(&Wanted { filter: &filter, after: 0, before: u64::MAX, count: 10 })?;
    }
    columns.lines().collect::<Result<Vec<_>, _>>().map(|lines| lines.len())
}

#[test]
fn more_outcomes_than_a_list_holds_begin_another_block() {
    let lines: Vec<_> = (0..1000)
        .map(|number| {
            let line = Line::new(u64::from(number) + 1, &line(number));
            Line { outcome: Outcome { status: u16::try_from(number).unwrap(), ..line.outcome }, ..line }
        })
        .collect();
    assert_eq!(pack(&lines).iter().map(|block| block.lines).collect::<Vec<_>>(), [256, 256, 256, 232]);
}

#[test]
fn a_text_too_long_is_clipped_between_characters() {
    let long = "ä".repeat(40);
    let line = Line::new(1, &line(1));
    let line = Line { outcome: Outcome { route: &long, ..line.outcome }, ..line };
    let [packed] = pack(&[line]).try_into().unwrap();
    let block = Block::unpack(&packed.data).unwrap();
    let columns = Columns::read(&block).unwrap();
    let read = columns.lines().next().unwrap().unwrap();
    assert_eq!(read.outcome.route, "ä".repeat(32));
}

#[test]
fn a_typical_line_takes_few_bytes() {
    let lines: Vec<LogLine> = (0..4096)
        .map(|number| LogLine {
            account: AccountId::from_random(1),
            took_us: fastrand::Rng::with_seed(number.into()).u64(1000..60_000_000),
            request: RequestId::new(
                line(number).at,
                fastrand::Rng::with_seed(number.into()).u128(..).to_be_bytes()[..10].try_into().unwrap(),
            ),
            ..line(number)
        })
        .collect();
    let lines: Vec<_> = lines.iter().zip(1..).map(|(line, seq)| Line::new(seq, line)).collect();
    let [packed] = pack(&lines).try_into().unwrap();
    assert!(packed.data.len() < BLOCK_LINES_MAX * 24, "{} bytes a line", packed.data.len() / BLOCK_LINES_MAX);
}

prop_compose! {
    fn any_line()(
        (step, request, at, key) in (1_u64..1000, any::<[u8; 16]>(), any::<i64>(), 0_i64..400),
        (later, route, status, code) in (any::<bool>(), "[a-z/ä]{0,20}", any::<u16>(), "[A-Z_]{0,3}"),
        (took_us, slots, charged, attempts) in (any::<u64>(), any::<Option<(u32, u32)>>(), any::<i64>(), any::<u8>()),
    ) -> (u64, RequestId, i64, i64, Way, String, u16, String, u64, Option<SlotStanding>, i64, u8) {
        let way = if later { Way::Later } else { Way::Now };
        let slots = slots.map(|(limit, current)| SlotStanding { limit, current });
        let request = RequestId::from_bytes(request);
        (step, request, at, key, way, route, status, code, took_us, slots, charged, attempts)
    }
}

proptest! {
    #[test]
    fn lines_come_out_of_blocks_as_they_went_in(given in vec(any_line(), 1..600)) {
        let mut seq = 0;
        let lines: Vec<Line<'_>> = given
            .iter()
            .map(|(step, request, at, key, way, route, status, code, took_us, slots, charged, attempts)| {
                seq += step;
                let outcome = Outcome { way: *way, status: *status, route, code };
                Line {
                    seq, request: *request, at: *at, key: *key, outcome,
                    took_us: *took_us, slots: *slots, charged: *charged, attempts: *attempts,
                }
            })
            .collect();
        let mut rest = lines.as_slice();
        for packed in pack(&lines) {
            let (expected, after) = rest.split_at(packed.lines);
            rest = after;
            let block = Block::unpack(&packed.data).unwrap();
            let columns = Columns::read(&block).unwrap();
            let read = columns.lines().collect::<Result<Vec<_>, _>>().unwrap();
            prop_assert_eq!(&read[..], expected);
            prop_assert_eq!((packed.first_seq, packed.last_seq), (expected[0].seq, expected[expected.len() - 1].seq));
            let instants = || expected.iter().flat_map(|line| [line.at, request_millis(&line.request)]);
            prop_assert_eq!((Some(packed.first_at), Some(packed.last_at)), (instants().min(), instants().max()));
            let filter = LogFilter { request: Some(RequestMatch::Exact(expected[0].request)), ..LogFilter::default() };
            let found = columns.search(&Wanted { filter: &filter, after: 0, before: u64::MAX, count: 1 }).unwrap();
            prop_assert_eq!(found, &expected[..1]);
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(mut data in vec(any::<u8>(), 0..2000)) {
        let _either = unpack(&data);
        if let Some(version) = data.first_mut() {
            *version = 1;
            let _either = unpack(&data);
        }
    }

    #[test]
    fn a_spoiled_block_is_never_a_panic(spoils in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()) {
        let lines: Vec<LogLine> = (0..50).map(line).collect();
        let lines: Vec<_> = lines.iter().zip(1..).map(|(line, seq)| Line::new(seq, line)).collect();
        let [packed] = pack(&lines).try_into().unwrap();
        prop_assert_eq!(unpack(&packed.data), Ok(50));
        let mut data = packed.data;
        prop_assert_eq!(unpack(&data[..cut.index(data.len())]), Err(Garbage));
        for (at, byte) in spoils {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let _either = unpack(&data);
    }
}
