//! Plain text and numbers as HTML, for the markup that is built outside templates. Knows no page and no store.

use std::fmt::Write as _;

/// Text made safe for element content and for attribute values in double quotes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A whole number with commas between thousands: `1,204`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A measured number: whole when it is whole, else one digit after the point.
#[must_use]
pub fn decimal(number: f64) -> String {
    let tenths = (number.max(0.0) * 10.0).round() as u64;
    let mut text = grouped(tenths / 10);
    if !tenths.is_multiple_of(10) {
        let _ = write!(text, ".{}", tenths % 10);
    }
    text
}

/// A length of time to two significant digits, as far as a histogram knows it: `810 ms`, `2.4 s`, `31 s`, `4.2 min`.
#[must_use]
pub fn duration(millis: f64) -> String {
    let two = |value: f64| {
        if value >= 9.95 { format!("{value:.0}") } else { format!("{value:.1}") }
    };
    match millis {
        ms if ms < 99.5 => format!("{ms:.0} ms"),
        ms if ms < 995.0 => format!("{:.0} ms", (ms / 10.0).round() * 10.0),
        ms if ms < 119_500.0 => format!("{} s", two(ms / 1_000.0)),
        ms => format!("{} min", two(ms / 60_000.0)),
    }
}
