//! Which numbers log lines get. In the database a line's number begins with its day, so that a day's lines lie together;
//! what is left of it stays the number that the line had.

use crate::postgres::log_day_begins;

const DAY_MS: i64 = 86_400_000;

/// The days of the log: each with the first number that the folder gave on it, ascending.
#[derive(Debug, Default)]
pub(crate) struct Days(Vec<(i64, i64)>);

impl Days {
    /// The next run has lines from this number on, the last of them of this instant. Days never go back, and none is
    /// after `today`: the log would go on with it.
    pub(crate) fn add(&mut self, first_seq: i64, last_at: i64, today: i64) {
        let day = last_at.div_euclid(DAY_MS).clamp(0, today.max(0));
        if self.0.last().is_none_or(|(_, last)| day > *last) {
            self.0.push((first_seq, day));
        }
    }

    /// The number that a line of this number gets; 0 for one before all that are left.
    pub(crate) fn given(&self, seq: i64) -> i64 {
        let after = self.0.partition_point(|(first, _)| *first <= seq);
        let day = after.checked_sub(1).and_then(|at| self.0.get(at));
        day.map_or(0, |(_, day)| log_day_begins(*day) + seq)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|(_, day)| *day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_order_and_begin_with_their_day() {
        let mut days = Days::default();
        for (first_seq, day) in [(5, 100), (9, 100), (20, 102), (30, 101), (40, 900)] {
            days.add(first_seq, day * DAY_MS + 7, 103);
        }
        assert_eq!(days.all().collect::<Vec<_>>(), [100, 102, 103]);
        let given = [4, 5, 19, 20, 39, 40].map(|seq| days.given(seq));
        let begins = [100, 100, 102, 102, 103].map(log_day_begins);
        assert_eq!(given, [0, begins[0] + 5, begins[1] + 19, begins[2] + 20, begins[3] + 39, begins[4] + 40]);
        assert!(given.is_sorted());
    }
}
