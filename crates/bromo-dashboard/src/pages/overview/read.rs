//! What the overview is made from: counts of the page's stretch, of the last hour and of the credits' cycle.

use std::collections::HashMap;
use std::time::Duration;

use bromo_rules::account::Key;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::KeyId;
use bromo_rules::problem::Problem;
use bromo_rules::task::Depth;
use bromo_rules::time::Timestamp;
use bromo_store::{Level, LogFilter, LogGap, ROLLUPS_MAX, Rollup};

use super::count::Lines;
use super::credit;
use super::why::Hour;
use crate::chart::Steps;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::pages::logs;
use crate::range::{self, Range};
use crate::visitor::Visitor;
use crate::{Dashboard, series};

/// Gaps that are looked at for one page.
const GAPS_MAX: u32 = 200;
/// Refused lines that are looked at to tell how many slots were wanted, and for how long.
const REFUSED_MAX: u32 = 2000;
const REFUSED_BUDGET: Duration = Duration::from_millis(50);

/// What the page is made from.
pub(super) struct Counted {
    pub(super) frame: Frame,
    pub(super) range: Range,
    pub(super) fault: Option<String>,
    pub(super) keys: Vec<Key>,
    pub(super) names: HashMap<KeyId, String>,
    pub(super) bars: Steps,
    /// Rows of the range, of every endpoint and key.
    pub(super) all: Vec<Rollup>,
    /// Those that the page is narrowed to, if it is.
    pub(super) narrowed: Option<Vec<Rollup>>,
    pub(super) lines: Lines,
    pub(super) hour: Hour,
    pub(super) hour_lines: Lines,
    pub(super) gaps: Vec<LogGap>,
    pub(super) depth: Depth,
    pub(super) credit_steps: Steps,
    pub(super) charged: Vec<i64>,
    /// Whether any key was ever used.
    pub(super) is_used: bool,
    /// Since when lines are kept.
    pub(super) kept_since: Timestamp,
}

impl Counted {
    /// Reads the counts: of the range, of the last hour where that is another stretch, and of the credits' cycle.
    pub(super) async fn read(
        dashboard: &Dashboard,
        visitor: Visitor,
        query: &Form,
    ) -> Result<Self, PageError> {
        let account = visitor.account.id;
        let _turn = dashboard.bounds.read(account).await?;
        let frame = Frame::new(dashboard, visitor, "/", "Overview", query).await;
        let (zone, now) = (&frame.look.zone, frame.now);
        let (keys, names) = logs::key_names(dashboard, account).await?;
        let (range, mut fault) = Range::of(query, zone, now);
        let bars = steps(&range, range.bar_step(), series::steps(&range, range.bar_step(), zone, now));
        let from = series::bounds(&bars).0;
        let until = series::bounds(&steps(&range, range.line_step(), bars)).1;
        let last = Range::last(range::CHOICES[0], now);
        let fine = last.line_step();
        let is_hour = range.choice == last.choice;
        let hour_from = if is_hour { from } else { series::bounds(&series::steps(&last, fine, zone, now)).0 };
        let credit_steps = credit::steps(&frame.account, zone, now);
        let (credit_from, credit_until) = series::bounds(&credit_steps);
        // Coarse counts of the page's stretch serve here too.
        let shares = range.is_live() && range.level() == Level::Coarse;
        let credit_until = if shares { credit_until.min(from) } else { credit_until };
        let logs = &dashboard.logs;
        // One read for lines and bars: the steps of bars are made of those of lines.
        let (all, other_hour, other_days) = tokio::try_join!(
            logs.rollups(account, range.level(), range.line_step(), from, until),
            async {
                if is_hour {
                    return Ok(Vec::new());
                }
                logs.rollups(account, Level::Fine, fine, hour_from, now.plus(fine)).await
            },
            async {
                if credit_until <= credit_from {
                    return Ok(Vec::new());
                }
                logs.rollups(account, Level::Coarse, credit::STEP, credit_from, credit_until).await
            },
        )?;
        let (gaps, uses, depth) = tokio::try_join!(
            logs.gaps(from, until, GAPS_MAX),
            logs.key_uses(account),
            dashboard.engine.store().depth(account),
        )?;
        let mut hour = Hour::of(if is_hour { &all } else { &other_hour }, fine);
        if let Some((worst, end)) = hour.worst_step() {
            let filter = LogFilter {
                account: Some(account),
                from: Some(worst),
                until: Some(end),
                codes: vec![Problem::CONCURRENCY_LIMIT.code.to_owned()],
                ..LogFilter::default()
            };
            let found = logs.read(&filter, None, REFUSED_MAX, REFUSED_BUDGET).await?;
            hour.refine(found.lines.iter().map(|stored| &stored.line));
        }
        let filter = Filter::of(query, &keys, &mut fault);
        let narrowed = filter.narrow(&all);
        let lines = Lines { from, until: until.min(now), narrowed: filter.pairs };
        Ok(Self {
            charged: credit::charged(&credit_steps, [&other_days, if shares { &all } else { &[] }]),
            hour_lines: Lines { from: hour_from, until: now, narrowed: Vec::new() },
            is_used: !uses.is_empty(),
            kept_since: logs::kept_since(dashboard, frame.account.created_at),
            frame,
            range,
            fault,
            keys,
            names,
            bars,
            all,
            narrowed,
            lines,
            hour,
            gaps,
            depth,
            credit_steps,
        })
    }

    pub(super) fn working_keys(&self) -> u64 {
        let working = self.keys.iter().filter(|key| key.revoked_at.is_none());
        u64::try_from(working.count()).unwrap_or(u64::MAX)
    }

    pub(super) fn rows(&self) -> &[Rollup] {
        self.narrowed.as_deref().unwrap_or(&self.all)
    }

    /// The steps of lines: from the same instant as the bars, so that all of the page counts the same calls.
    pub(super) fn line_steps(&self) -> Steps {
        steps(&self.range, self.range.line_step(), self.bars)
    }

    /// Before this nothing was counted, or it is left out because there is too much of it.
    pub(super) fn since(&self) -> Timestamp {
        let created = self.kept_since;
        match self.all.first() {
            Some(first) if self.all.len() >= ROLLUPS_MAX => first.start.max(created),
            _ => created,
        }
    }
}

/// Steps from where `like` begin until the range ends; where it ends now, the last one is unfinished.
fn steps(range: &Range, step: Duration, like: Steps) -> Steps {
    let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    let last_ms = range.until.millis() - like.from_ms - i64::from(!range.is_live());
    let count = usize::try_from(last_ms.div_euclid(step_ms) + 1).unwrap_or(0);
    Steps { step_ms, count, ..like }
}

/// The endpoint and the key that the page is narrowed to.
struct Filter {
    route: Option<&'static str>,
    key: Option<KeyId>,
    /// The same, as addresses have them.
    pairs: Vec<(String, String)>,
}

impl Filter {
    /// What cannot be understood is named in `fault`, and not applied.
    fn of(query: &Form, keys: &[Key], fault: &mut Option<String>) -> Self {
        let mut filter = Self { route: None, key: None, pairs: Vec::new() };
        let (endpoint, key) = (query.text("endpoint"), query.text("key"));
        match endpoint.parse::<Endpoint>() {
            Ok(known) => {
                filter.route = Some(known.route());
                filter.pairs.push(("endpoint".to_owned(), endpoint.to_owned()));
            }
            Err(_) if endpoint.is_empty() => {}
            Err(error) => *fault = Some(error.to_string()),
        }
        match keys.iter().find(|known| known.id.to_string() == key) {
            Some(known) => {
                filter.key = Some(known.id);
                filter.pairs.push(("key".to_owned(), key.to_owned()));
            }
            None if key.is_empty() => {}
            None => *fault = Some("key: the account has no such key".to_owned()),
        }
        filter
    }

    fn narrow(&self, rows: &[Rollup]) -> Option<Vec<Rollup>> {
        if self.pairs.is_empty() {
            return None;
        }
        let passes = |row: &&Rollup| {
            self.route.is_none_or(|route| route == row.route) && self.key.is_none_or(|key| key == row.key)
        };
        Some(rows.iter().filter(passes).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::NOW;
    use super::*;
    use crate::moment::Zone;

    #[test]
    fn a_stretch_of_its_own_ends_where_it_says() {
        for (query, bars, lines) in [
            ("from=2026-11-24T12:10&to=2026-11-24T12:12", 2, 8),
            ("from=2026-11-24T06:10&to=2026-11-24T12:10", 13, 74),
            ("range=1h", 61, 241),
        ] {
            let (range, fault) = Range::of(&Form::parse(query.as_bytes()), &Zone::default(), NOW);
            assert_eq!(fault, None, "{query}");
            let like = series::steps(&range, range.bar_step(), &Zone::default(), NOW);
            let found = [range.bar_step(), range.line_step()].map(|step| steps(&range, step, like));
            assert_eq!(found.map(|steps| steps.count), [bars, lines], "{query}");
        }
    }
}
