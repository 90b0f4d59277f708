//! Figures of the log, by key.

use std::collections::HashMap;
use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::time::Timestamp;
use bromo_store::{KeyUse, Level, Rollup};

use crate::Dashboard;
use crate::error::PageError;

/// The figures are of so long.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a key did in the last 24 hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyFigures {
    /// The latest use, however long ago.
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) calls: u64,
    /// 429s among them.
    pub(crate) refused: u64,
    pub(crate) credits: Credits,
}

/// The figures of every key that was used.
pub(crate) async fn key_figures(
    dashboard: &Dashboard,
    account: AccountId,
) -> Result<HashMap<KeyId, KeyFigures>, PageError> {
    let until = dashboard.engine.clock().now();
    let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    let from = Timestamp::from_millis(until.millis().saturating_sub(day));
    // The step that holds `from` is counted whole: one step more holds everything in one row.
    let step = DAY + Level::Coarse.step();
    let logs = &dashboard.logs;
    let rows = logs.rollups(account, Level::Coarse, step, from, until).await?;
    Ok(sum(&rows, &logs.key_uses(account).await?))
}

fn sum(rows: &[Rollup], uses: &[KeyUse]) -> HashMap<KeyId, KeyFigures> {
    let mut figures: HashMap<KeyId, KeyFigures> = HashMap::new();
    for row in rows {
        let figures = figures.entry(row.key).or_default();
        for count in &row.outcomes {
            figures.calls += count.lines;
            if count.status == 429 {
                figures.refused += count.lines;
            }
        }
        figures.credits += row.charged;
    }
    for used in uses {
        figures.entry(used.key).or_default().last_at = Some(used.last_at);
    }
    figures
}

#[cfg(test)]
mod tests {
    use bromo_rules::histogram::Histogram;
    use bromo_store::StatusCount;

    use super::*;

    #[test]
    fn a_key_has_the_sum_of_all_its_routes_and_its_latest_use() {
        let (key, idle) = (KeyId::from_random(1), KeyId::from_random(2));
        let row = |route, status, code, lines| Rollup {
            start: Timestamp::from_millis(0),
            route,
            key,
            outcomes: vec![StatusCount { status, code, lines }],
            charged: Credits::new(7),
            took: Histogram::default(),
            slots_peak: None,
            slots_last: None,
            busy_us: 0,
        };
        let rows =
            [row("monitor/chatgpt", 200, "", 5), row("monitor/gemini", 429, "CONCURRENCY_LIMIT_EXCEEDED", 2)];
        let at = Timestamp::from_millis(9);
        let figures = sum(&rows, &[KeyUse { key, last_at: at }, KeyUse { key: idle, last_at: at }]);
        let expected = KeyFigures { last_at: Some(at), calls: 7, refused: 2, credits: Credits::new(14) };
        assert_eq!(figures[&key], expected);
        assert_eq!(figures[&idle], KeyFigures { last_at: Some(at), ..KeyFigures::default() });
    }
}
