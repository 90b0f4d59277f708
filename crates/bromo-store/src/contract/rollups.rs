//! What every backend tells charts of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::histogram::Histogram;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::problem::Problem;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;

use super::logs::{keep, line};
use super::{NOW, Outcome};
use crate::{KeyUse, Level, Logs, Rollup, StatusCount, StoreError};

/// A step of every level begins here.
const START: Timestamp = Timestamp::from_millis(NOW.millis() + 100_000);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// An answer of account 1 that arrived so many seconds after [`START`] and took so many.
fn call(after: u32, took: u64) -> LogLine {
    LogLine {
        at: START.plus(SECOND * after),
        account: AccountId::from_random(1),
        took_us: took * 1_000_000,
        slots: Some(SlotStanding { limit: 10, current: 1 }),
        ..line(1)
    }
}

/// The same, refused for want of a slot.
fn refusal(after: u32) -> LogLine {
    let problem = Problem::CONCURRENCY_LIMIT;
    let slots = Some(SlotStanding { limit: 10, current: 10 });
    LogLine {
        status: problem.status,
        code: problem.code,
        attempts: 0,
        charged: Credits::ZERO,
        slots,
        ..call(after, 0)
    }
}

/// Steps of account 1 in the first hour, as narrow as there are.
async fn rollups(logs: &dyn Logs, level: Level) -> Result<Vec<Rollup>, StoreError> {
    let until = START.plus(SECOND * 3600);
    logs.rollups(AccountId::from_random(1), level, level.step(), START, until).await
}

/// How many seconds after [`START`] it begins.
fn begins(rollup: &Rollup) -> i64 {
    (rollup.start.millis() - START.millis()) / 1000
}

fn lines(rollup: &Rollup) -> u64 {
    rollup.outcomes.iter().map(|counted| counted.lines).sum()
}

/// The same as by going through all of them.
pub async fn lines_are_counted_by_step_route_and_key(logs: &dyn Logs) -> Outcome {
    let given: Vec<LogLine> =
        (0..3000).map(|n| LogLine { at: START.plus(SECOND / 10 * n), slots: None, ..line(n) }).collect();
    for batch in given.chunks(700) {
        logs.append(batch.to_vec(), None).await?;
    }
    for level in Level::ALL {
        let step = i64::try_from(level.step().as_millis()).unwrap_or(1);
        let mut expected = BTreeMap::new();
        for line in given.iter().filter(|line| line.account == AccountId::from_random(1)) {
            let start = Timestamp::from_millis(line.at.millis() / step * step);
            let rollup = expected.entry((start, line.route, line.key)).or_insert_with(|| Rollup {
                start,
                route: line.route,
                key: line.key,
                outcomes: Vec::new(),
                charged: Credits::ZERO,
                took: Histogram::default(),
                slots_peak: None,
                slots_last: None,
                busy_us: 0,
            });
            match rollup.outcomes.iter_mut().find(|known| known.status == line.status) {
                Some(known) => known.lines += 1,
                None => {
                    let counted = StatusCount { status: line.status, code: line.code, lines: 1 };
                    rollup.outcomes.push(counted);
                }
            }
            rollup.outcomes.sort_unstable_by_key(|counted| counted.status);
            rollup.charged += line.charged;
            if line.status == 200 {
                rollup.took.add(line.took_us);
            }
        }
        assert_eq!(rollups(logs, level).await?, expected.into_values().collect::<Vec<_>>());
    }
    let nobody = AccountId::from_random(9);
    let until = START.plus(DAY);
    assert_eq!(logs.rollups(nobody, Level::Fine, SECOND, START, until).await?, []);
    Ok(())
}

/// And not when they were appended.
pub async fn late_lines_are_counted_at_their_arrival(logs: &dyn Logs) -> Outcome {
    for after in [0, 60, 1, 61, 2, 310] {
        logs.append(vec![call(after, 1)], None).await?;
    }
    let counted = |rollups: Vec<Rollup>| -> Vec<_> {
        rollups.iter().map(|rollup| (begins(rollup), lines(rollup), rollup.took.n())).collect()
    };
    assert_eq!(counted(rollups(logs, Level::Fine).await?), [(0, 3, 3), (60, 2, 2), (300, 1, 1)]);
    assert_eq!(counted(rollups(logs, Level::Coarse).await?), [(0, 5, 5), (300, 1, 1)]);
    Ok(())
}

/// What was refused, and what never asked for a slot, takes none of it.
pub async fn slot_time_is_spread_over_the_steps_it_covers(logs: &dyn Logs) -> Outcome {
    let asked_for_the_rate_alone = LogLine { attempts: 0, ..call(5, 3) };
    let undecided = LogLine { slots: None, ..call(5, 3) };
    logs.append(vec![call(10, 30), refusal(11), asked_for_the_rate_alone, undecided], None).await?;
    logs.append(vec![call(12, 1), call(290, 20)], None).await?;
    let busy = |rollups: Vec<Rollup>| -> Vec<_> {
        rollups.iter().map(|rollup| (begins(rollup), rollup.busy_us / 1_000_000, lines(rollup))).collect()
    };
    let fine = [(0, 6, 5), (15, 15, 0), (30, 10, 0), (285, 10, 1), (300, 10, 0)];
    assert_eq!(busy(rollups(logs, Level::Fine).await?), fine);
    assert_eq!(busy(rollups(logs, Level::Coarse).await?), [(0, 41, 6), (300, 10, 0)]);
    let (from, until) = (START.plus(SECOND * 16), START.plus(SECOND * 17));
    let account = AccountId::from_random(1);
    let middle = logs.rollups(account, Level::Fine, SECOND, from, until).await?;
    assert_eq!(busy(middle), fine[1..2]);
    Ok(())
}

/// They begin with the step that holds the first instant asked for.
pub async fn steps_are_as_wide_as_was_asked_for(logs: &dyn Logs) -> Outcome {
    logs.append((0..100).map(|number| call(number * 3, 0)).collect(), None).await?;
    let account = AccountId::from_random(1);
    for (wide, from, until, expected) in [
        (60, 0, 300, vec![(0, 20), (60, 20), (120, 20), (180, 20), (240, 20)]),
        (60, 20, 240, vec![(15, 20), (75, 20), (135, 20), (195, 15)]),
        (100, 0, 100, vec![(0, 30), (90, 5)]),
        (1000, 31, 299, vec![(30, 90)]),
        (0, 30, 31, vec![(30, 5)]),
    ] {
        let (from, until) = (START.plus(SECOND * from), START.plus(SECOND * until));
        let found = logs.rollups(account, Level::Fine, SECOND * wide, from, until).await?;
        let found: Vec<_> = found.iter().map(|rollup| (begins(rollup), lines(rollup))).collect();
        assert_eq!(found, expected, "{wide}");
    }
    let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
    let all = logs.rollups(account, Level::Coarse, Duration::MAX, first, last).await?;
    assert_eq!(all.iter().map(lines).collect::<Vec<_>>(), [100]);
    Ok(())
}

/// The last by its instant, however it came.
pub async fn a_rollup_tells_peak_and_last_slots(logs: &dyn Logs) -> Outcome {
    let with =
        |after, limit, current| LogLine { slots: Some(SlotStanding { limit, current }), ..call(after, 0) };
    logs.append(vec![with(3, 10, 4), with(9, 20, 6), with(5, 10, 9)], None).await?;
    logs.append(vec![with(2, 10, 8)], None).await?;
    let [rollup] = &rollups(logs, Level::Fine).await?[..] else { panic!("one step") };
    assert_eq!(rollup.slots_peak, Some(9));
    let last = (START.plus(SECOND * 9), SlotStanding { limit: 20, current: 6 });
    assert_eq!(rollup.slots_last, Some(last));
    Ok(())
}

/// By age and by size.
pub async fn rollups_of_deleted_lines_go_with_them(logs: &dyn Logs) -> Outcome {
    logs.append((0..100).map(|number| call(number, 1)).collect(), None).await?;
    let young = call(86_400, 1);
    let young = LogLine { request: RequestId::new(young.at, [1; 10]), ..young };
    logs.append(vec![young], None).await?;
    let account = AccountId::from_random(1);
    let counted = async || -> Result<Vec<_>, StoreError> {
        let until = START.plus(DAY * 2);
        let found = logs.rollups(account, Level::Coarse, SECOND, START, until).await?;
        Ok(found.iter().map(|rollup| (begins(rollup), lines(rollup))).collect())
    };
    assert_eq!(counted().await?, [(0, 100), (86_400, 1)]);
    logs.trim(&keep(START.plus(DAY), u64::MAX)).await?;
    assert_eq!(counted().await?, [(86_400, 1)]);
    logs.trim(&keep(START, 0)).await?;
    assert_eq!(counted().await?, []);
    Ok(())
}

/// While they wait to be counted, and after.
pub async fn each_line_counts_once_however_many_came(logs: &dyn Logs) -> Outcome {
    for batch in 0..20 {
        logs.append((batch * 10_000..(batch + 1) * 10_000).map(line).collect(), None).await?;
        let so_far = u64::from(batch + 1) * 10_000;
        for level in Level::ALL {
            let (mut found, mut longest) = (0, None);
            for account in 0..3 {
                let account = AccountId::from_random(account);
                let until = NOW.plus(DAY);
                let rollups = logs.rollups(account, level, SECOND, NOW, until).await?;
                found += rollups.iter().map(lines).sum::<u64>();
                longest = rollups.iter().filter_map(|rollup| rollup.took.max()).max().max(longest);
            }
            assert_eq!(found, so_far);
            assert_eq!(longest, Some(Duration::from_millis(so_far - 1)));
        }
    }
    Ok(())
}

/// By key, each account's alone.
pub async fn the_last_use_of_a_key_outlives_its_lines(logs: &dyn Logs) -> Outcome {
    let uses = |after: u32, key| LogLine { key: KeyId::from_random(key), ..call(after, 0) };
    logs.append(vec![uses(5, 2), uses(7, 1), uses(3, 2)], None).await?;
    logs.append(vec![uses(4, 2), line(0)], None).await?;
    let expected = [(1, 7), (2, 5)]
        .map(|(key, after)| KeyUse { key: KeyId::from_random(key), last_at: START.plus(SECOND * after) });
    let account = AccountId::from_random(1);
    assert_eq!(logs.key_uses(account).await?, expected);
    logs.trim(&keep(NOW.plus(DAY), 0)).await?;
    assert_eq!(logs.key_uses(account).await?, expected);
    logs.append(vec![uses(9, 1)], None).await?;
    let last = KeyUse { last_at: START.plus(SECOND * 9), ..expected[0] };
    assert_eq!(logs.key_uses(account).await?, [last, expected[1]]);
    assert_eq!(logs.key_uses(AccountId::from_random(5)).await?, []);
    Ok(())
}
