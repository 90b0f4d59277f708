//! Instants as people read them: in the zone they chose, with the exact instant beside.

use std::time::Duration;

use bromo_rules::time::Timestamp;
use jiff::tz::TimeZone;

/// The zone that a person reads times in.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    zone: TimeZone,
    name: String,
}

impl Default for Zone {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".to_owned() }
    }
}

impl Zone {
    /// The zone of this name, for example `Europe/Lisbon`.
    pub(crate) fn lookup(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        Some(Self { zone, name: name.to_owned() })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Minutes that its clocks are ahead of UTC at this instant.
    pub(crate) fn offset_minutes(&self, at: Timestamp) -> i32 {
        jiff(at).map_or(0, |at| self.zone.to_offset(at).seconds() / 60)
    }

    /// `UTC` or `Europe/Lisbon, UTC+1`.
    pub(crate) fn label(&self, at: Timestamp) -> String {
        let minutes = self.offset_minutes(at);
        if self.name == "UTC" {
            return self.name.clone();
        }
        let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
        let sign = if minutes < 0 { '−' } else { '+' };
        let rest = if rest == 0 { String::new() } else { format!(":{rest:02}") };
        format!("{}, UTC{sign}{hours}{rest}", self.name)
    }

    /// `14:03:07.214`.
    pub(crate) fn clock(&self, at: Timestamp) -> String {
        self.format("%H:%M:%S", at) + &format!(".{:03}", at.millis().rem_euclid(1000))
    }

    /// `24 Nov 14:03`.
    pub(crate) fn short(&self, at: Timestamp) -> String {
        self.format("%-d %b %H:%M", at)
    }

    /// `24 Nov 2026`.
    pub(crate) fn day(&self, at: Timestamp) -> String {
        self.format("%-d %b %Y", at)
    }

    /// `24 Nov 2026 14:03:07.214`.
    pub(crate) fn whole(&self, at: Timestamp) -> String {
        format!("{} {}", self.day(at), self.clock(at))
    }

    /// `2026-11-24T14:03:07.214+01:00`: for exports.
    pub(crate) fn iso(&self, at: Timestamp) -> String {
        self.format("%Y-%m-%dT%H:%M:%S", at)
            + &format!(".{:03}", at.millis().rem_euclid(1000))
            + &self.format("%:z", at)
    }

    /// `2026-11-24T14:03`: for date fields.
    pub(crate) fn field(&self, at: Timestamp) -> String {
        self.format("%Y-%m-%dT%H:%M", at)
    }

    /// What a date field says.
    pub(crate) fn parse_field(&self, text: &str) -> Option<Timestamp> {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        let at = self.zone.to_timestamp(civil).ok()?;
        Some(Timestamp::from_millis(at.as_millisecond()))
    }

    fn format(&self, format: &str, at: Timestamp) -> String {
        jiff(at).map_or_else(String::new, |at| {
            jiff::ZonedDateTime::new(at, self.zone.clone()).strftime(format).to_string()
        })
    }
}

fn jiff(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(at.millis()).ok()
}

/// An age: `< 1 min`, `7 min`, `3 h`, `12 d`.
pub(crate) fn age(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.since(at).as_secs();
    match seconds {
        0..60 => "< 1 min".to_owned(),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A stretch: `0.4 ms`, `38 ms`, `1.24 s`, `2 min 05 s`, `3 h 20 min`.
pub(crate) fn took(duration: Duration) -> String {
    let (micros, seconds) = (duration.as_micros(), duration.as_secs());
    if micros < 10_000 {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    } else if seconds == 0 {
        format!("{} ms", micros / 1000)
    } else if seconds < 60 {
        format!("{:.2} s", duration.as_secs_f64())
    } else if seconds < 3600 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else if seconds < 2 * 86_400 {
        format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60)
    } else {
        format!("{} d", seconds / 86_400)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_the_chosen_zone() {
        let at = Timestamp::from_millis(1_764_000_187_214);
        let zone = Zone::lookup("Asia/Kolkata").unwrap();
        assert_eq!(Zone::default().whole(at), "24 Nov 2025 16:03:07.214");
        assert_eq!(zone.whole(at), "24 Nov 2025 21:33:07.214");
        assert_eq!(zone.label(at), "Asia/Kolkata, UTC+5:30");
        assert_eq!(zone.iso(at), "2025-11-24T21:33:07.214+05:30");
        assert_eq!(zone.parse_field(&zone.field(at)), Some(Timestamp::from_millis(1_764_000_180_000)));
    }

    #[test]
    fn an_unknown_zone_is_none() {
        assert!(Zone::lookup("Middle/Earth").is_none());
    }

    #[test]
    fn stretches_read_well() {
        for (ms, text) in [
            (0, "0.0 ms"),
            (38, "38 ms"),
            (1240, "1.24 s"),
            (125_000, "2 min 05 s"),
            (12_000_000, "3 h 20 min"),
        ] {
            assert_eq!(took(Duration::from_millis(ms)), text);
        }
    }
}
