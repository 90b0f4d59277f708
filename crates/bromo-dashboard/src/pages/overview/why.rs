//! Why calls were refused in the last hour, in sentences, and what would help at what price.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use bromo_rules::credit::Credits;
use bromo_rules::id::KeyId;
use bromo_rules::log::LogLine;
use bromo_rules::outcome::Outcome;
use bromo_rules::plan::Plan;
use bromo_rules::problem::Problem;
use bromo_rules::time::Timestamp;
use bromo_store::Rollup;

use super::count::{Lines, Sums};
use crate::moment::Zone;
use crate::text::{counted, number};

/// Keys and endpoints that are named.
const NAMED: usize = 3;
const MINUTE_MS: i64 = 60_000;
const SECOND_MS: i64 = 1000;

/// Words, some of which lead somewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Sentence(Vec<Piece>);

#[derive(Debug, Clone)]
struct Piece {
    text: String,
    link: Option<String>,
}

impl Sentence {
    fn pieces(&self) -> &[Piece] {
        &self.0
    }

    fn text(mut self, text: impl Into<String>) -> Self {
        self.0.push(Piece { text: text.into(), link: None });
        self
    }

    fn link(mut self, text: impl Into<String>, link: impl Into<String>) -> Self {
        self.0.push(Piece { text: text.into(), link: Some(link.into()) });
        self
    }

    /// `a, b and c`.
    fn list(mut self, parts: Vec<(String, String)>) -> Self {
        let last = parts.len().saturating_sub(1);
        for (at, (text, link)) in parts.into_iter().enumerate() {
            self = match at {
                0 => self,
                at if at == last => self.text(" and "),
                _ => self.text(", "),
            };
            self = self.link(text, link);
        }
        self
    }
}

/// What the last hour was like at the limits.
#[derive(Debug, Clone, Default)]
pub(super) struct Hour {
    sums: Sums,
    /// Tasks turned away at a full queue.
    queue: u64,
    keys: Vec<(KeyId, u64)>,
    endpoints: Vec<(&'static str, u64)>,
    worst_minute: Option<(Timestamp, u64)>,
    /// The fine step in which most calls found no slot.
    worst: Option<Timestamp>,
    step: Duration,
    /// About how long all slots were taken.
    pub(super) full: Duration,
    /// Most slots in use, and calls refused in the same second, together.
    pub(super) wanted: Option<u64>,
}

/// Whether a count is of refusals that this page explains: every 429, and credits.
fn is_limit(status: u16, code: &str) -> bool {
    status == Problem::RATE_LIMIT.status || Outcome::of(status, code) == Outcome::Credits
}

impl Hour {
    /// What rows of fine steps say.
    pub(super) fn of(rows: &[Rollup], step: Duration) -> Self {
        let mut hour = Self { sums: Sums::of(rows), step, ..Self::default() };
        let (mut keys, mut endpoints, mut minutes, mut steps) =
            (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        let mut slots: HashMap<Timestamp, (u32, Option<(Timestamp, u32)>)> = HashMap::new();
        for row in rows {
            let refused = row.outcomes.iter().filter(|count| is_limit(count.status, count.code));
            for count in refused {
                *keys.entry(row.key).or_insert(0) += count.lines;
                *endpoints.entry(row.route).or_insert(0) += count.lines;
                let minute = row.start.millis().div_euclid(MINUTE_MS) * MINUTE_MS;
                *minutes.entry(Timestamp::from_millis(minute)).or_insert(0) += count.lines;
                if Outcome::of(count.status, count.code) == Outcome::NoSlot {
                    *steps.entry(row.start).or_insert(0) += count.lines;
                }
                if count.code == Problem::QUEUE_LIMIT.code {
                    hour.queue += count.lines;
                }
            }
            let (peak, last) = slots.entry(row.start).or_default();
            *peak = row.slots_peak.map_or(*peak, |seen| seen.max(*peak));
            let seen = row.slots_last.map(|(at, standing)| (at, standing.limit));
            *last = seen.max(*last);
        }
        hour.keys = most(keys);
        hour.endpoints = most(endpoints);
        hour.worst_minute = most(minutes).first().copied();
        hour.worst = most(steps).first().map(|(at, _)| *at);
        let is_full = |(peak, last): &&(u32, Option<(Timestamp, u32)>)| {
            last.is_some_and(|(_, limit)| limit > 0 && *peak >= limit)
        };
        let full = slots.values().filter(is_full).count();
        hour.full = step * u32::try_from(full).unwrap_or(u32::MAX);
        hour.wanted = slots.values().map(|(peak, _)| u64::from(*peak)).max().filter(|peak| *peak > 0);
        hour
    }

    /// The fine step in which most calls found no slot: its beginning and its end.
    pub(super) fn worst_step(&self) -> Option<(Timestamp, Timestamp)> {
        self.worst.map(|from| (from, from.plus(self.step)))
    }

    /// Adds what the lines of the worst step say: who was refused in a second wanted a slot in it.
    pub(super) fn refine<'a>(&mut self, refused: impl IntoIterator<Item = &'a LogLine>) {
        self.wanted = self.wanted.max(peak_wanted(refused));
    }

    /// 429s, and refusals for want of credits.
    pub(super) fn refused(&self) -> u64 {
        self.slots() + self.sums.get(Outcome::Rate) + self.sums.get(Outcome::Credits) + self.queue
    }

    fn slots(&self) -> u64 {
        self.sums.get(Outcome::NoSlot)
    }
}

/// Highest count first; of equal ones the lowest name.
fn most<K: Ord>(counts: HashMap<K, u64>) -> Vec<(K, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    counts
}

/// Slots in use and calls that found none, at most within one second.
fn peak_wanted<'a>(refused: impl IntoIterator<Item = &'a LogLine>) -> Option<u64> {
    let mut seconds: HashMap<i64, (u64, u64)> = HashMap::new();
    for line in refused {
        let Some(slots) = line.slots else { continue };
        let (used, refused) = seconds.entry(line.at.millis().div_euclid(SECOND_MS)).or_default();
        *used = (*used).max(slots.current.into());
        *refused += 1;
    }
    seconds.values().map(|(used, refused)| used + refused).max()
}

/// A stretch of whole fine steps: `45 s`, `4 min 15 s`, `1 h`.
pub(super) fn about(stretch: Duration) -> String {
    let seconds = stretch.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (60.., _) => "1 h".to_owned(),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// The plain answer.
#[derive(Template)]
#[template(path = "parts/overview_why.html")]
pub(super) struct Why {
    sentences: Vec<Sentence>,
    cures: Vec<Sentence>,
}

/// What the answer is made from, besides the hour.
pub(super) struct Facts<'a> {
    pub(super) lines: &'a Lines,
    pub(super) names: &'a HashMap<KeyId, String>,
    pub(super) zone: &'a Zone,
    /// The plan table, cheapest first.
    pub(super) plans: Vec<&'a Plan>,
    pub(super) slots: u32,
    pub(super) surcharge: Credits,
    pub(super) left: Credits,
    pub(super) cycle_ends: Timestamp,
}

impl Why {
    pub(super) fn of(hour: &Hour, facts: &Facts<'_>) -> Self {
        if hour.refused() == 0 {
            let sentence = Sentence::default().text("No call was refused in the last hour.");
            return Self { sentences: vec![sentence], cures: Vec::new() };
        }
        Self { sentences: sentences(hour, facts), cures: cures(hour, facts) }
    }

    /// Whether there is anything to explain.
    fn is_trouble(&self) -> bool {
        !self.cures.is_empty()
    }

    #[cfg(test)]
    fn said(&self) -> String {
        let said = self.sentences.iter().chain(&self.cures);
        said.map(|sentence| sentence.0.iter().map(|piece| piece.text.as_str()).collect::<String>() + "\n")
            .collect()
    }
}

/// The refusals by limit: how many, in words, and what the log calls them.
fn kinds(hour: &Hour) -> impl Iterator<Item = (u64, &'static str, Problem)> {
    let kinds = [
        (hour.slots(), "because all slots were taken", Problem::CONCURRENCY_LIMIT),
        (hour.sums.get(Outcome::Rate), "by the rate limit", Problem::RATE_LIMIT),
        (hour.queue, "because the queue was full", Problem::QUEUE_LIMIT),
        (hour.sums.get(Outcome::Credits), "for want of credits", Problem::INSUFFICIENT_CREDITS),
    ];
    kinds.into_iter().filter(|(count, ..)| *count > 0)
}

fn sentences(hour: &Hour, facts: &Facts<'_>) -> Vec<Sentence> {
    let lines = facts.lines;
    let codes: Vec<_> = kinds(hour).map(|(_, _, problem)| ("code", problem.code)).collect();
    let refused = |name: &str, value: &str| {
        let filter: Vec<_> = codes.iter().copied().chain([(name, value)]).collect();
        lines.address(&filter)
    };
    let one = codes.len() == 1;
    let by_kind = kinds(hour).map(|(count, why, problem)| {
        let link = lines.address(&[("code", problem.code)]);
        let count = if one { String::new() } else { number(count) + " " };
        (format!("{count}{why} ({})", problem.status), link)
    });
    let by = if one { "" } else { " by a limit:" };
    let first =
        format!("In the last hour {} of {} refused{by} ", number(hour.refused()), counted_calls(hour));
    let mut said = vec![Sentence::default().text(first).list(by_kind.collect()).text(".")];
    let keys = hour.keys.iter().take(NAMED).map(|(key, count)| {
        let name = facts.names.get(key).cloned().unwrap_or_else(|| key.to_string());
        (format!("{name} ({})", number(*count)), refused("key", &key.to_string()))
    });
    let endpoints = hour.endpoints.iter().take(NAMED).map(|(route, count)| {
        let name = route.strip_prefix("monitor/").unwrap_or(route);
        (format!("{name} ({})", number(*count)), refused("endpoint", name))
    });
    let mostly = |all: usize| if all > NAMED { "mostly " } else { "" };
    said.push(
        Sentence::default()
            .text(format!("They came {}with ", mostly(hour.keys.len())))
            .list(keys.collect())
            .text(format!(", {}on ", mostly(hour.endpoints.len())))
            .list(endpoints.collect())
            .text("."),
    );
    if let Some((minute, count)) = hour.worst_minute {
        let worst = lines.between(minute, minute.plus(Duration::from_secs(60)));
        let shown = facts.zone.clock(minute);
        said.push(
            Sentence::default()
                .text("The worst minute was ")
                .link(shown.get(..5).unwrap_or_default(), worst.address(&codes))
                .text(format!(", with {}.", counted(count, "refusal"))),
        );
    }
    if !hour.full.is_zero() {
        let all = if facts.slots == 1 { "The one slot was" } else { "All slots were" };
        said.push(Sentence::default().text(format!("{all} taken for about {} of it.", about(hour.full))));
    }
    said
}

fn counted_calls(hour: &Hour) -> String {
    let calls = hour.sums.calls();
    if calls == 1 { "1 call was".to_owned() } else { format!("{} calls were", number(calls)) }
}

fn cures(hour: &Hour, facts: &Facts<'_>) -> Vec<Sentence> {
    let mut cures = Vec::new();
    if hour.slots() > 0 {
        cures.push(Sentence::default().text(format!(
            "Send at most {} at once, over all keys together. Price: nothing.",
            number(facts.slots)
        )));
        let price = match facts.surcharge.get() {
            0 => "Price: the same.".to_owned(),
            less => format!("Price: {} less an answer.", counted(less.unsigned_abs(), "credit")),
        };
        cures.push(
            Sentence::default()
                .text("Send them as ")
                .link("tasks", "/docs")
                .text(format!(": they wait for a slot instead of being refused. {price}")),
        );
        cures.extend(hour.wanted.map(|wanted| plan_cure(wanted, facts)));
    }
    if hour.sums.get(Outcome::Rate) > 0 {
        cures.push(
            Sentence::default()
                .text("The ")
                .link("rate limit", "/docs")
                .text(" counts the calls of one key on one route in each second: spread them, or come back after Retry-After. Price: nothing."),
        );
    }
    if hour.queue > 0 {
        cures.push(
            Sentence::default()
                .text("The queue takes new tasks as soon as others have started or are ")
                .link("cancelled", "/tasks")
                .text(". Price: nothing."),
        );
    }
    if hour.sums.get(Outcome::Credits) > 0 {
        cures.push(
            Sentence::default()
                .text(format!(
                    "{} left until {}; a ",
                    counted_credits(facts.left),
                    facts.zone.day(facts.cycle_ends)
                ))
                .link("larger plan", "/plan")
                .text(" adds its credits at once."),
        );
    }
    cures
}

fn counted_credits(left: Credits) -> String {
    match left.get() {
        1 => "1 credit is".to_owned(),
        left => format!("{} credits are", number(left)),
    }
}

/// The cheapest plan whose slots would have covered what was wanted.
fn plan_cure(wanted: u64, facts: &Facts<'_>) -> Sentence {
    let peak = format!("At the peak about {} wanted a slot at once: ", number(wanted));
    let sentence = Sentence::default().text(peak);
    if u64::from(facts.slots) >= wanted {
        return sentence
            .text(format!("the {} of today would have sufficed.", counted(facts.slots.into(), "slot")));
    }
    match facts.plans.iter().find(|plan| u64::from(plan.slots) >= wanted) {
        Some(plan) => sentence
            .link(format!("{} with {}", plan.title, counted(plan.slots.into(), "slot")), "/plan")
            .text(format!(" would have sufficed. Price: ${} a month.", number(plan.usd_per_month))),
        None => sentence.text("more than any ").link("plan", "/plan").text(" has."),
    }
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
