//! The stretch of time that a page is about, and the steps that its charts take through it.

use std::time::Duration;

use bromo_rules::time::Timestamp;
use bromo_store::Level;

use crate::form::Form;
use crate::moment::Zone;

/// A stretch that can be chosen by its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Its word in addresses.
    pub(crate) word: &'static str,
    /// `1 hour`.
    pub(crate) title: &'static str,
    pub(crate) length: Duration,
    /// Steps of lines, and of bars and percentiles.
    line: Duration,
    bar: Duration,
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;

/// The default first.
pub(crate) const CHOICES: [Choice; 5] = [
    Choice {
        word: "1h",
        title: "1 hour",
        length: minutes(HOUR),
        line: Duration::from_secs(15),
        bar: minutes(1),
    },
    Choice { word: "6h", title: "6 hours", length: minutes(6 * HOUR), line: minutes(1), bar: minutes(5) },
    Choice { word: "24h", title: "24 hours", length: minutes(DAY), line: minutes(5), bar: minutes(30) },
    Choice {
        word: "7d",
        title: "7 days",
        length: minutes(7 * DAY),
        line: minutes(30),
        bar: minutes(2 * HOUR),
    },
    Choice {
        word: "30d",
        title: "30 days",
        length: minutes(30 * DAY),
        line: minutes(2 * HOUR),
        bar: minutes(12 * HOUR),
    },
];

/// Fine counts are kept for so long.
const FINE: Duration = minutes(6 * HOUR);
/// No page is about more than this.
const LONGEST: Duration = minutes(400 * DAY);

/// The stretch of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// The word that was chosen; none for a stretch of its own.
    pub(crate) choice: Option<&'static str>,
    steps: Choice,
}

impl Range {
    /// What `query` asks for: `range=6h`, or `from` and `to` as a date field writes them; else the last hour.
    /// What cannot be understood is named.
    pub(crate) fn of(query: &Form, zone: &Zone, now: Timestamp) -> (Self, Option<String>) {
        let bound = |name: &str| match query.text(name) {
            "" => Ok(None),
            text => match (text.parse::<Timestamp>().ok()).or_else(|| zone.parse_field(text)) {
                Some(at) => Ok(Some(at)),
                None => Err(format!("{name}: not a time, for example {}", zone.field(now))),
            },
        };
        let (from, until) = match (bound("from"), bound("to")) {
            (Ok(from), Ok(until)) => (from, until),
            (Err(fault), _) | (_, Err(fault)) => return (Self::last(CHOICES[0], now), Some(fault)),
        };
        if from.is_some() || until.is_some() {
            let until = until.unwrap_or(now).min(now);
            let from = from.unwrap_or_else(|| before(until, CHOICES[0].length));
            if from >= until {
                let fault = "from: must lie before until, and before now".to_owned();
                return (Self::last(CHOICES[0], now), Some(fault));
            }
            let from = from.max(before(until, LONGEST));
            return (Self::between(from, until, now), None);
        }
        match query.text("range") {
            "" => (Self::last(CHOICES[0], now), None),
            word => match CHOICES.iter().find(|choice| choice.word == word) {
                Some(choice) => (Self::last(*choice, now), None),
                None => (Self::last(CHOICES[0], now), Some(format!("range: no stretch {word:?}"))),
            },
        }
    }

    /// The last so long.
    pub(crate) fn last(choice: Choice, now: Timestamp) -> Self {
        Self { from: before(now, choice.length), until: now, choice: Some(choice.word), steps: choice }
    }

    fn between(from: Timestamp, until: Timestamp, now: Timestamp) -> Self {
        let length = until.since(from);
        let longest = CHOICES[CHOICES.len() - 1];
        let fits = |choice: &&Choice| choice.length >= length;
        let mut steps = *CHOICES.iter().find(fits).unwrap_or(&longest);
        // Fine counts of long ago are gone.
        if now.since(from) > FINE && steps.length <= FINE {
            steps = CHOICES[2];
        }
        // Longer than the longest choice: steps grow with it.
        let times =
            u32::try_from(length.as_secs().div_ceil(longest.length.as_secs())).unwrap_or(u32::MAX).max(1);
        let steps = Choice { line: steps.line * times, bar: steps.bar * times, ..steps };
        Self { from, until, choice: None, steps }
    }

    /// Whether it reaches until now.
    pub(crate) const fn is_live(&self) -> bool {
        self.choice.is_some()
    }

    /// The counts that its charts are made of.
    pub(crate) fn level(&self) -> Level {
        if self.steps.line < minutes(5) { Level::Fine } else { Level::Coarse }
    }

    /// The step of lines.
    pub(crate) const fn line_step(&self) -> Duration {
        self.steps.line
    }

    /// The step of bars and percentiles.
    pub(crate) const fn bar_step(&self) -> Duration {
        self.steps.bar
    }

    /// `the last hour`, or from when until when.
    pub(crate) fn label(&self, zone: &Zone) -> String {
        match self.choice {
            Some(_) => format!("the last {}", self.steps.title.trim_start_matches("1 ")),
            None => format!("{} to {}", zone.short(self.from), zone.short(self.until)),
        }
    }
}

fn before(at: Timestamp, length: Duration) -> Timestamp {
    let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.millis().saturating_sub(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> (Range, Option<String>) {
        let now = Timestamp::from_millis(1_764_000_000_000);
        Range::of(&Form::parse(query.as_bytes()), &Zone::default(), now)
    }

    #[test]
    fn no_words_mean_the_last_hour() {
        let (range, fault) = of("");
        assert_eq!((range.choice, fault), (Some("1h"), None));
        assert_eq!(range.until.since(range.from), minutes(60));
    }

    #[test]
    fn a_typo_is_named_and_the_default_stands() {
        assert!(of("range=2h").1.unwrap().contains("2h"));
        assert!(of("from=yesterday").1.unwrap().starts_with("from:"));
        assert_eq!(of("from=yesterday").0.choice, Some("1h"));
    }

    #[test]
    fn a_stretch_of_its_own_has_no_more_points_than_a_chosen_one() {
        for query in
            ["from=2025-11-24T00:00&to=2025-11-24T10:00", "from=2025-01-01T00:00", "from=2025-11-24T15:59"]
        {
            let (range, fault) = of(query);
            assert_eq!(fault, None, "{query}");
            let length = range.until.since(range.from).as_millis();
            assert!(
                length / range.line_step().as_millis() <= 400 && length / range.bar_step().as_millis() <= 84,
                "{query}"
            );
        }
    }
}
