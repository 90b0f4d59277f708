//! What every backend does with the request log.

use std::time::Duration;

use bromo_rules::credit::{Credits, Way};
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::problem::Problem;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;

use super::{NOW, Outcome};
use crate::{LogFilter, LogGap, LogKeep, LogPage, Logs, RequestMatch, StatusMatch, StoreError, StoredLine};

const DAY: Duration = Duration::from_secs(86_400);
/// No limit of size for a trim.
const ANY_SIZE: u64 = u64::MAX;
/// No limit of time for a search.
const ANY_TIME: Duration = Duration::MAX;

/// A line a millisecond, of three accounts in turn; every fifth was refused.
pub fn line(number: u32) -> LogLine {
    let at = NOW.plus(Duration::from_millis(number.into()));
    let [a, b, c, d] = number.to_be_bytes();
    let refused = number.is_multiple_of(5);
    let problem = Problem::CONCURRENCY_LIMIT;
    LogLine {
        request: RequestId::new(at, [0, 0, 0, 0, 0, 0, a, b, c, d]),
        at,
        account: AccountId::from_random(u64::from(number % 3)),
        key: KeyId::from_random(u64::from(number % 7)),
        way: if number.is_multiple_of(2) { Way::Now } else { Way::Later },
        route: if number.is_multiple_of(4) { "monitor/google" } else { "monitor/chatgpt" },
        status: if refused { problem.status } else { 200 },
        code: if refused { problem.code } else { "" },
        took_us: u64::from(number) * 1000,
        slots: number.is_multiple_of(3).then_some(SlotStanding { limit: 10, current: number % 10 }),
        charged: Credits::new(if refused { 0 } else { 7 }),
        attempts: u8::from(!refused),
    }
}

/// What to keep of lines; all texts but those older.
pub fn keep(from: Timestamp, bytes_max: u64) -> LogKeep {
    LogKeep { from, bytes_max, text_bytes_max: ANY_SIZE }
}

fn lines(numbers: impl Iterator<Item = u32>) -> Vec<LogLine> {
    numbers.map(line).collect()
}

async fn append(logs: &dyn Logs, numbers: impl Iterator<Item = u32>) -> Outcome {
    logs.append(lines(numbers), None).await
}

/// A page, however long it takes.
async fn read(
    logs: &dyn Logs,
    filter: &LogFilter,
    before: Option<u64>,
    count: u32,
) -> Result<Vec<StoredLine>, StoreError> {
    let page = logs.read(filter, before, count, ANY_TIME).await?;
    assert_eq!(page.searched_to, None);
    Ok(page.lines)
}

/// Everything that matches, in pages of `count`.
async fn read_all(logs: &dyn Logs, filter: &LogFilter, count: u32) -> Result<Vec<StoredLine>, StoreError> {
    read_all_within(logs, filter, count, ANY_TIME).await
}

async fn read_all_within(
    logs: &dyn Logs,
    filter: &LogFilter,
    count: u32,
    budget: Duration,
) -> Result<Vec<StoredLine>, StoreError> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = logs.read(filter, before, count, budget).await?;
        assert!(page.lines.len() <= usize::try_from(count).unwrap_or(usize::MAX));
        all.extend(page.lines);
        if page.more.is_none() {
            return Ok(all);
        }
        assert!(before.is_none_or(|before| page.more < Some(before)), "{before:?} {:?}", page.more);
        before = page.more;
    }
}

#[track_caller]
fn assert_lines(found: Vec<StoredLine>, expected: impl Iterator<Item = u32>) {
    assert!(found.is_sorted_by(|newer, older| newer.cursor > older.cursor));
    let found: Vec<LogLine> = found.into_iter().map(|stored| stored.line).collect();
    assert_eq!(found, lines(expected));
}

/// The extremes of every field as well.
pub async fn a_line_reads_back_as_it_was(logs: &dyn Logs) -> Outcome {
    let extreme = LogLine {
        request: RequestId::from_bytes([0xff; 16]),
        at: Timestamp::from_millis(-1),
        account: AccountId::from_random(u64::MAX),
        key: KeyId::from_random(u64::MAX),
        way: Way::Later,
        route: "a/route/of/nobody/ä",
        status: u16::MAX,
        code: "A_CODE_OF_NOBODY",
        took_us: u64::MAX,
        slots: Some(SlotStanding { limit: u32::MAX, current: u32::MAX }),
        charged: Credits::MAX,
        attempts: u8::MAX,
    };
    logs.append(vec![line(0), extreme.clone(), line(1)], None).await?;
    let found = read(logs, &LogFilter::default(), None, 10).await?;
    let found: Vec<_> = found.into_iter().map(|stored| stored.line).collect();
    assert_eq!(found, [line(1), extreme, line(0)]);
    Ok(())
}

/// Whatever the size of the page.
pub async fn lines_come_newest_first_page_by_page(logs: &dyn Logs) -> Outcome {
    append(logs, 0..60).await?;
    append(logs, 60..100).await?;
    for count in [1, 7, 1000] {
        assert_lines(read_all(logs, &LogFilter::default(), count).await?, (0..100).rev());
    }
    assert_eq!(read(logs, &LogFilter::default(), None, 0).await?, []);
    Ok(())
}

/// A reader halfway down sees neither a line twice nor a hole, whatever is written meanwhile.
pub async fn a_cursor_stays_good_while_lines_arrive_and_blocks_merge(logs: &dyn Logs) -> Outcome {
    for number in 0..100 {
        append(logs, number..number + 1).await?;
    }
    let filter = LogFilter { account: Some(AccountId::from_random(1)), ..LogFilter::default() };
    let above = read(logs, &LogFilter::default(), None, 1).await?[0].cursor + 1;
    let (mut of_all, mut of_one) = (Vec::new(), Vec::new());
    for number in 100..400 {
        let before = of_all.last().map(|line: &StoredLine| line.cursor);
        of_all.extend(read(logs, &LogFilter::default(), before.or(Some(above)), 1).await?);
        let before = of_one.last().map(|line: &StoredLine| line.cursor);
        of_one.extend(read(logs, &filter, before.or(Some(above)), 1).await?);
        append(logs, number..number + 1).await?;
    }
    assert_lines(of_all, (0..100).rev());
    assert_lines(of_one, (0..100).rev().filter(|number| number % 3 == 1));
    Ok(())
}

/// An unknown account has none.
pub async fn one_accounts_lines_are_read_alone(logs: &dyn Logs) -> Outcome {
    append(logs, 0..100).await?;
    for account in 0..4 {
        let filter = LogFilter { account: Some(AccountId::from_random(account)), ..LogFilter::default() };
        let expected = (0..100).rev().filter(|number| u64::from(number % 3) == account);
        assert_lines(read_all(logs, &filter, 7).await?, expected);
    }
    Ok(())
}

/// Also when the id's instant is not the line's.
pub async fn a_request_is_found_with_and_without_its_account(logs: &dyn Logs) -> Outcome {
    let early = RequestId::new(NOW, [9; 10]);
    let odd = LogLine { request: early, at: NOW.plus(DAY), ..line(1) };
    append(logs, 0..50).await?;
    logs.append(vec![odd.clone()], None).await?;
    append(logs, 50..100).await?;
    for expected in [line(0), line(77), odd] {
        for account in [None, Some(expected.account)] {
            let filter = LogFilter {
                account,
                request: Some(RequestMatch::Exact(expected.request)),
                ..LogFilter::default()
            };
            let found = read(logs, &filter, None, 10).await?;
            assert!(found.len() == 1 && found[0].line == expected, "{found:?}");
        }
    }
    let other = Some(AccountId::from_random(2));
    let filter = LogFilter {
        account: other,
        request: Some(RequestMatch::Exact(line(0).request)),
        ..LogFilter::default()
    };
    assert_eq!(read(logs, &filter, None, 10).await?, []);
    Ok(())
}

/// Each narrows what the others leave.
pub async fn filters_hold_together(logs: &dyn Logs) -> Outcome {
    append(logs, 0..500).await?;
    let at = |number: u32| line(number).at;
    let filter = LogFilter {
        from: Some(at(100)),
        until: Some(at(400)),
        statuses: vec![StatusMatch::Exact(429)],
        codes: vec![Problem::CONCURRENCY_LIMIT.code.to_owned()],
        routes: vec!["monitor/google".to_owned()],
        ..LogFilter::default()
    };
    assert_lines(read_all(logs, &filter, 3).await?, (100..400).rev().filter(|n| n % 20 == 0));
    let filter = LogFilter { account: Some(AccountId::from_random(0)), ..filter };
    assert_lines(read_all(logs, &filter, 3).await?, (100..400).rev().filter(|n| n % 60 == 0));
    let filter = LogFilter { codes: vec![String::new()], ..LogFilter::default() };
    assert_lines(read_all(logs, &filter, 100).await?, (0..500).rev().filter(|n| n % 5 != 0));
    let filter = LogFilter { routes: vec!["elsewhere".to_owned()], ..LogFilter::default() };
    assert_eq!(read_all(logs, &filter, 100).await?, []);
    Ok(())
}

/// Of a list any will do; empty ones let all pass.
pub async fn each_filter_lets_pass_what_it_names(logs: &dyn Logs) -> Outcome {
    append(logs, 0..700).await?;
    let key = |number| KeyId::from_random(number);
    let text = |text: &str| text.to_owned();
    let any = LogFilter::default;
    let (no_slot, ok) = (text(Problem::CONCURRENCY_LIMIT.code), text(""));
    let refused = |n: u32| n.is_multiple_of(5);
    type Passes<'a> = &'a dyn Fn(u32) -> bool;
    let cases: [(LogFilter, Passes<'_>); 12] = [
        (LogFilter { statuses: vec![StatusMatch::Class(4)], ..any() }, &refused),
        (LogFilter { statuses: vec![StatusMatch::Class(2), StatusMatch::Exact(429)], ..any() }, &|_| true),
        (LogFilter { statuses: vec![StatusMatch::Exact(428), StatusMatch::Class(5)], ..any() }, &|_| false),
        (LogFilter { codes: vec![ok, no_slot.clone()], ..any() }, &|_| true),
        (LogFilter { codes: vec![text("A_CODE_OF_NOBODY"), no_slot], ..any() }, &refused),
        (LogFilter { routes: vec![text("elsewhere"), text("monitor/google")], ..any() }, &|n| {
            n.is_multiple_of(4)
        }),
        (LogFilter { keys: vec![key(2), key(6), key(99)], ..any() }, &|n| n % 7 == 2 || n % 7 == 6),
        (LogFilter { keys: vec![key(99)], ..any() }, &|_| false),
        (LogFilter { way: Some(Way::Later), ..any() }, &|n| n % 2 == 1),
        (LogFilter { took_min_us: Some(600_000), ..any() }, &|n| n >= 600),
        (LogFilter { charged: true, ..any() }, &|n| !n.is_multiple_of(5)),
        (LogFilter { charged: true, keys: vec![key(3)], took_min_us: Some(300_000), ..any() }, &|n| {
            !n.is_multiple_of(5) && n % 7 == 3 && n >= 300
        }),
    ];
    for (filter, passes) in cases {
        assert_lines(read_all(logs, &filter, 50).await?, (0..700).rev().filter(|n| passes(*n)));
        let of_one = LogFilter { account: Some(AccountId::from_random(1)), ..filter };
        let expected = (0..700).rev().filter(|n| n % 3 == 1 && passes(*n));
        assert_lines(read_all(logs, &of_one, 1000).await?, expected);
    }
    Ok(())
}

/// With hyphens and without, inside the instant and past it.
pub async fn a_request_is_found_by_how_its_id_begins(logs: &dyn Logs) -> Outcome {
    let first = line(0);
    let second = LogLine { request: RequestId::new(first.at, [0xff; 10]), ..line(0) };
    let other = LogLine { request: RequestId::new(first.at.plus(DAY * 365), [7; 10]), ..line(0) };
    logs.append(vec![first.clone(), other.clone(), second.clone()], None).await?;
    for account in [None, Some(first.account)] {
        for (text, expected) in [
            (&first.request.to_string()[..13], vec![&second, &first]),
            (&first.request.to_string().replace('-', "")[..12], vec![&second, &first]),
            (&first.request.to_string()[..19], vec![&first]),
            (&second.request.to_string()[..24], vec![&second]),
            (&second.request.to_string(), vec![&second]),
            (&other.request.to_string()[..8], vec![&other]),
            ("00000000", vec![]),
        ] {
            let filter = LogFilter { account, request: RequestMatch::parse(text), ..LogFilter::default() };
            assert!(filter.request.is_some(), "{text}");
            let found = read(logs, &filter, None, 10).await?;
            assert_eq!(found.iter().map(|stored| &stored.line).collect::<Vec<_>>(), expected, "{text}");
        }
    }
    Ok(())
}

/// As a page that lives does: the newest of what is new, and where the rest begins.
pub async fn a_tail_reads_only_what_came_after(logs: &dyn Logs) -> Outcome {
    append(logs, 0..100).await?;
    let newest = read(logs, &LogFilter::default(), None, 1).await?[0].cursor;
    for account in [None, Some(AccountId::from_random(1))] {
        let tail = LogFilter { account, after: Some(newest), ..LogFilter::default() };
        assert_eq!(logs.read(&tail, None, 10, ANY_TIME).await?, LogPage::default());
    }
    append(logs, 100..130).await?;
    append(logs, 130..150).await?;
    for account in [None, Some(1)] {
        let expected = || (100..150).rev().filter(|n| account.is_none_or(|account| n % 3 == account));
        let account = account.map(|account| AccountId::from_random(account.into()));
        let tail = LogFilter { account, after: Some(newest), ..LogFilter::default() };
        assert_lines(read_all(logs, &tail, 100).await?, expected());
        assert_lines(read_all(logs, &tail, 7).await?, expected());
        let page = logs.read(&tail, None, 7, ANY_TIME).await?;
        assert_eq!(page.more, page.lines.last().map(|line| line.cursor));
        assert_lines(page.lines, expected().take(7));
    }
    Ok(())
}

/// No line twice, none left out, and it gets on however short the time.
pub async fn a_search_whose_time_is_up_can_go_on(logs: &dyn Logs) -> Outcome {
    for batch in 0..12 {
        append(logs, batch * 1000..(batch + 1) * 1000).await?;
    }
    let rare = LogFilter { took_min_us: Some(0), keys: vec![KeyId::from_random(3)], ..LogFilter::default() };
    let cut = logs.read(&rare, None, 10_000, Duration::ZERO).await?;
    assert!(cut.more.is_some() && cut.lines.len() < 1700, "{:?} {}", cut.more, cut.lines.len());
    let back_to = cut.searched_to.ok_or(StoreError::Unavailable { reason: "not told".to_owned() })?;
    assert!(back_to >= NOW && back_to < line(12_000).at, "{back_to}");
    for account in [None, Some(2)] {
        let expected = (0..12_000).rev().filter(|n| n % 7 == 3 && account.is_none_or(|a| n % 3 == a));
        let account = account.map(|account| AccountId::from_random(account.into()));
        for count in [50, 10_000] {
            let filter = LogFilter { account, ..rare.clone() };
            let found = read_all_within(logs, &filter, count, Duration::ZERO).await?;
            assert_lines(found, expected.clone());
        }
    }
    Ok(())
}

/// How lines came in does not show.
pub async fn many_small_batches_read_like_a_large_one(logs: &dyn Logs) -> Outcome {
    let mut next = 0;
    for size in (0..10).chain([100, 1, 300]).cycle().take(150) {
        append(logs, next..next + size).await?;
        next += size;
    }
    assert_lines(read_all(logs, &LogFilter::default(), 1000).await?, (0..next).rev());
    let filter = LogFilter { account: Some(AccountId::from_random(2)), ..LogFilter::default() };
    assert_lines(read_all(logs, &filter, 1000).await?, (0..next).rev().filter(|number| number % 3 == 2));
    Ok(())
}

/// In one transaction, with a route for every line as well.
pub async fn a_batch_larger_than_a_block_is_kept_whole(logs: &dyn Logs) -> Outcome {
    append(logs, 0..30_000).await?;
    assert_lines(read_all(logs, &LogFilter::default(), 10_000).await?, (0..30_000).rev());
    Ok(())
}

/// Newest first, and only those that touch the stretch.
pub async fn a_gap_is_kept_with_and_without_lines(logs: &dyn Logs) -> Outcome {
    let gap =
        |lines, days: u32| LogGap { lines, from: NOW.plus(DAY * days), until: NOW.plus(DAY * (days + 1)) };
    logs.append(lines(0..3), Some(gap(5, 0))).await?;
    logs.append(Vec::new(), Some(gap(7, 2))).await?;
    let until = NOW.plus(DAY * 9);
    assert_eq!(logs.gaps(NOW, until, 10).await?, [gap(7, 2), gap(5, 0)]);
    assert_eq!(logs.gaps(NOW, until, 1).await?, [gap(7, 2)]);
    assert_eq!(logs.gaps(NOW, NOW.plus(DAY * 2), 10).await?, [gap(5, 0)]);
    assert_eq!(logs.gaps(NOW.plus(DAY * 2), until, 10).await?, [gap(7, 2)]);
    assert_lines(read_all(logs, &LogFilter::default(), 10).await?, (0..3).rev());
    Ok(())
}

/// Gaps of that time as well.
pub async fn lines_too_old_are_trimmed(logs: &dyn Logs) -> Outcome {
    append(logs, 0..100).await?;
    let old = LogGap { lines: 1, from: NOW, until: NOW.plus(DAY / 2) };
    let young = LogGap { until: NOW.plus(DAY * 2), ..old };
    logs.append(Vec::new(), Some(old)).await?;
    let later = LogLine { at: NOW.plus(DAY), request: RequestId::new(NOW.plus(DAY), [1; 10]), ..line(0) };
    logs.append(vec![later.clone()], Some(young)).await?;
    assert_eq!(logs.trim(&keep(NOW, ANY_SIZE)).await?, 0);
    assert_eq!(logs.trim(&keep(NOW.plus(DAY), ANY_SIZE)).await?, 100);
    let left = read(logs, &LogFilter::default(), None, 10).await?;
    assert_eq!(left.into_iter().map(|stored| stored.line).collect::<Vec<_>>(), [later]);
    assert_eq!(logs.gaps(NOW, NOW.plus(DAY * 3), 10).await?, [young]);
    Ok(())
}

/// What is left is the newest, and there is something left.
pub async fn a_log_too_large_is_trimmed_from_the_old_end(logs: &dyn Logs) -> Outcome {
    for batch in 0..20 {
        append(logs, batch * 5000..(batch + 1) * 5000).await?;
    }
    let trimmed = logs.trim(&keep(Timestamp::from_millis(0), 800_000)).await?;
    assert!(trimmed > 0 && trimmed < 100_000, "{trimmed}");
    let trimmed = u32::try_from(trimmed).unwrap_or(u32::MAX);
    assert_lines(read_all(logs, &LogFilter::default(), 10_000).await?, (trimmed..100_000).rev());
    assert_eq!(logs.trim(&keep(Timestamp::from_millis(0), 800_000)).await?, 0);
    assert_eq!(logs.trim(&keep(Timestamp::from_millis(0), 0)).await?, u64::from(100_000 - trimmed));
    assert_eq!(read(logs, &LogFilter::default(), None, 10).await?, []);
    Ok(())
}

/// Not even after everything was trimmed.
pub async fn a_cursor_is_never_given_twice(logs: &dyn Logs) -> Outcome {
    append(logs, 0..10).await?;
    let newest = read(logs, &LogFilter::default(), None, 1).await?[0].cursor;
    logs.trim(&keep(NOW.plus(DAY), 0)).await?;
    append(logs, 10..11).await?;
    let found = read(logs, &LogFilter::default(), None, 10).await?;
    assert!(found.len() == 1 && found[0].cursor > newest);
    assert_eq!(read(logs, &LogFilter::default(), Some(newest + 1), 10).await?, []);
    Ok(())
}
