//! What a list of log lines is narrowed to: read from an address, shown as chips, handed to the store.

use bromo_rules::account::Key;
use bromo_rules::credit::Way;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::outcome::Outcome;
use bromo_rules::problem::Problem;
use bromo_rules::time::Timestamp;
use bromo_store::{LogFilter, RequestMatch, Rollup, StatusMatch};

use crate::chart::{OutcomeCounts, Steps};
use crate::form::Form;
use crate::moment::Zone;
use crate::range::Range;
use crate::series;

/// Names of everything that narrows the list, but the range.
const NAMES: [&str; 8] = ["endpoint", "status", "code", "key", "way", "took", "charged", "request"];

/// A filter in force, with the way out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chip {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The list without it.
    pub(crate) without: String,
    /// It was not understood, and is not applied.
    pub(crate) fault: Option<String>,
}

/// What the list is narrowed to.
#[derive(Debug, Clone)]
pub(crate) struct LogQuery {
    pub(crate) account: AccountId,
    pub(crate) range: Range,
    pub(crate) filter: LogFilter,
    pub(crate) chips: Vec<Chip>,
    /// What is wrong with the range.
    pub(crate) fault: Option<String>,
    form: Form,
}

impl LogQuery {
    pub(crate) fn of(form: &Form, account: AccountId, keys: &[Key], zone: &Zone, now: Timestamp) -> Self {
        let (range, fault) = Range::of(form, zone, now);
        let until = if range.is_live() { None } else { Some(range.until) };
        let filter =
            LogFilter { account: Some(account), from: Some(range.from), until, ..LogFilter::default() };
        let mut query = Self { account, range, filter, chips: Vec::new(), fault, form: form.clone() };
        for (name, value) in form.pairs() {
            let value = value.trim();
            if value.is_empty() || !NAMES.contains(&name.as_str()) {
                continue;
            }
            let fault = query.apply(name, value, keys).err();
            let shown = match name.as_str() {
                "key" => key_name(keys, value),
                _ => value.to_owned(),
            };
            let without = format!("/logs?{}", query.form_without(name, value));
            query.chips.push(Chip { name: name.clone(), value: shown, without, fault });
        }
        query
    }

    fn apply(&mut self, name: &str, value: &str, keys: &[Key]) -> Result<(), String> {
        let filter = &mut self.filter;
        match name {
            "endpoint" => {
                let endpoint = value.parse::<Endpoint>().map(Endpoint::route);
                filter.routes.push(endpoint.map_or_else(|_| value.to_owned(), str::to_owned));
            }
            "status" => {
                let fault = || "a status is 100 to 599, or a class such as 4xx".to_owned();
                let class = value.strip_suffix("xx").map(|class| class.parse().map(StatusMatch::Class));
                let status =
                    class.unwrap_or_else(|| value.parse().map(StatusMatch::Exact)).map_err(|_| fault())?;
                filter.statuses.push(status);
            }
            "code" => filter.codes.push(if value == "none" { String::new() } else { value.to_owned() }),
            "key" => {
                let by_id = value.parse::<KeyId>().ok();
                let named = |key: &&Key| key.name.as_deref() == Some(value) || key.last4 == value;
                let key = by_id.or_else(|| keys.iter().find(named).map(|key| key.id));
                filter.keys.push(key.ok_or("the account has no such key")?);
            }
            "way" => match value {
                "now" => filter.way = Some(Way::Now),
                "task" => filter.way = Some(Way::Later),
                _ => return Err("a way is `now` or `task`".to_owned()),
            },
            "took" => filter.took_min_us = Some(micros(value).ok_or("a time such as `500ms` or `5s`")?),
            "charged" => filter.charged = true,
            _ => {
                let request = RequestMatch::parse(value);
                filter.request = Some(request.ok_or("an id, or at least four of its first digits")?);
                // An id says when; the range need not.
                (filter.from, filter.until) = (None, None);
            }
        }
        Ok(())
    }

    /// Whether anything but the range narrows the list.
    pub(crate) fn is_narrowed(&self) -> bool {
        !self.chips.is_empty()
    }

    /// Whether the chart counts more than the list shows: counts know nothing of these.
    pub(crate) fn chart_is_wider(&self) -> bool {
        let filter = &self.filter;
        filter.way.is_some() || filter.took_min_us.is_some() || filter.charged || filter.request.is_some()
    }

    /// The query with another range.
    pub(crate) fn with_range(&self, word: &str) -> String {
        self.form.with(&["range", "from", "to", "before", "after"], &[("range", word)])
    }

    /// The query with one more filter.
    pub(crate) fn and(&self, name: &str, value: &str) -> String {
        self.form.with(&[name, "before", "after"], &[(name, value)])
    }

    /// The query without its range: a bar of the chart adds its own.
    pub(crate) fn form_without_range(&self) -> String {
        self.form.with(&["range", "from", "to", "before", "after"], &[])
    }

    /// The query for an export, its range fixed.
    pub(crate) fn exported(&self) -> String {
        let (from, to) = (self.range.from.to_string(), self.range.until.to_string());
        self.form.with(&["range", "from", "to", "before", "after"], &[("from", &from), ("to", &to)])
    }

    fn form_without(&self, name: &str, value: &str) -> String {
        let kept = self.form.pairs().iter().filter(|(other, its)| {
            !(other == name && its.trim() == value)
                && other != "before"
                && other != "after"
                && !its.is_empty()
        });
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
    }

    /// Leaves in the counts what the statuses and codes of the filter let pass.
    pub(crate) fn narrow(&self, counts: &mut [Option<OutcomeCounts>], steps: &Steps, rows: &[Rollup]) {
        let filter = &self.filter;
        if filter.statuses.is_empty() && filter.codes.is_empty() {
            return;
        }
        for step in counts.iter_mut().flatten() {
            *step = OutcomeCounts::default();
        }
        for row in rows {
            let Some(step) = series::step_of(steps, row.start) else { continue };
            for count in &row.outcomes {
                let status = filter.statuses.is_empty()
                    || filter.statuses.iter().any(|wanted| wanted.is(count.status));
                let code = filter.codes.is_empty() || filter.codes.iter().any(|wanted| wanted == count.code);
                if status && code {
                    counts[step].get_or_insert_default()
                        [series::place(Outcome::of(count.status, count.code))] += count.lines;
                }
            }
        }
    }
}

fn key_name(keys: &[Key], value: &str) -> String {
    let found = keys.iter().find(|key| key.id.to_string() == value);
    found
        .map_or_else(|| value.to_owned(), |key| key.name.clone().unwrap_or_else(|| format!("…{}", key.last4)))
}

/// `500ms`, `5s`, or plain milliseconds, with a `>` before it or not.
fn micros(text: &str) -> Option<u64> {
    let text = text.trim_start_matches(['>', '=', '≥']);
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1e3),
        (None, Some(number)) => (number, 1e6),
        (None, None) => (text, 1e3),
    };
    let number: f64 = number.trim().parse().ok().filter(|number: &f64| (0.0..1e9).contains(number))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within range by the line above"
    )]
    Some((number * unit) as u64)
}

/// Choices of the code filter: every problem a request can end with.
pub(crate) fn codes() -> Vec<&'static str> {
    let mut codes: Vec<_> = Problem::ALL.iter().map(|problem| problem.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// The query of typed words: `status:429 endpoint:chatgpt took:>5s key:"batch worker"`. A word without a name is an id.
pub(crate) fn from_words(form: &Form) -> String {
    let words = words(form.text("q"));
    let pairs: Vec<(&str, &str)> = words
        .iter()
        .map(|word| match word.split_once(':') {
            Some((name, value)) if NAMES.contains(&name) || name == "range" => (name, value),
            _ => ("request", word.as_str()),
        })
        .collect();
    // A range that is typed takes the place of the one there was.
    let ranged = pairs.iter().any(|(name, _)| *name == "range");
    let without: &[&str] =
        if ranged { &["q", "before", "after", "range", "from", "to"] } else { &["q", "before", "after"] };
    form.with(without, &pairs)
}

/// Words, those in quotes with their spaces.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            space if space.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> LogQuery {
        let now = Timestamp::from_millis(1_764_000_000_000);
        LogQuery::of(&Form::parse(query.as_bytes()), AccountId::from_random(1), &[], &Zone::default(), now)
    }

    #[test]
    fn typed_words_become_the_same_filters_as_fields() {
        let form =
            Form::parse("q=status%3A429+endpoint%3Achatgpt+took%3A%3E5s+key%3A%22batch+worker%22".as_bytes());
        assert_eq!(from_words(&form), "status=429&endpoint=chatgpt&took=%3E5s&key=batch+worker");
        assert_eq!(from_words(&Form::parse(b"range=1h&q=range%3A24h")), "range=24h");
        let query = of("status=429&status=5xx&endpoint=chatgpt&took=%3E5s");
        assert_eq!(query.filter.statuses, [StatusMatch::Exact(429), StatusMatch::Class(5)]);
        assert_eq!(query.filter.routes, ["monitor/chatgpt"]);
        assert_eq!(query.filter.took_min_us, Some(5_000_000));
        assert_eq!(query.chips.len(), 4);
        assert_eq!(query.chips[1].without, "/logs?status=429&endpoint=chatgpt&took=%3E5s");
    }

    #[test]
    fn a_filter_that_is_not_understood_says_so_and_the_rest_is_applied() {
        let query = of("status=many&way=now&request=xyz");
        assert_eq!(query.chips.iter().filter(|chip| chip.fault.is_some()).count(), 2);
        assert_eq!(query.filter.way, Some(Way::Now));
        assert!(query.filter.statuses.is_empty() && query.filter.request.is_none());
    }
}
