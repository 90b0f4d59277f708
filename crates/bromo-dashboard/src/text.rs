//! Figures and names as people read them.

use std::borrow::Borrow;

use bromo_rules::credit::Credits;

/// A whole number of any size. Templates hand over references.
pub(crate) trait Whole {
    fn whole(&self) -> i128;
}

macro_rules! whole {
    ($($number:ty),*) => {
        $(impl Whole for $number {
            fn whole(&self) -> i128 {
                i128::from(*self)
            }
        })*
    };
}

whole!(u16, u32, i32, u64, i64, i128);

impl Whole for usize {
    fn whole(&self) -> i128 {
        i128::try_from(*self).unwrap_or(i128::MAX)
    }
}

impl<T: Whole> Whole for &T {
    fn whole(&self) -> i128 {
        (*self).whole()
    }
}

/// `1,234,567`, with a real minus before what is below 0.
pub(crate) fn number(number: impl Whole) -> String {
    let number = number.whole();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 3);
    if number < 0 {
        text.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Credits, grouped.
pub(crate) fn credits(credits: impl Borrow<Credits>) -> String {
    number(credits.borrow().get())
}

/// A share in percent: `99.4 %`; `—` of nothing.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "—".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let percent = part as f64 * 100.0 / whole as f64;
    // Neither 100.0 % of almost all, nor 0.0 % of hardly any.
    let shown = if part < whole { percent.min(99.9) } else { percent };
    let shown = if part > 0 { shown.max(0.1) } else { shown };
    if part == whole || part == 0 { format!("{shown:.0} %") } else { format!("{shown:.1} %") }
}

/// `1 task`, `2 tasks`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(-1_234_567), "−1,234,567");
    }

    #[test]
    fn almost_all_is_not_all() {
        assert_eq!(share(99_999, 100_000), "99.9 %");
        assert_eq!(share(1, 100_000), "0.1 %");
        assert_eq!(share(7, 7), "100 %");
        assert_eq!(share(0, 0), "—");
    }
}
