//! The table: medians with their ends, ratios of the same round, and what was to be reached.

use crate::latency::Spread;

/// A failing gate is this share of what is to be reached: single runs move more than that.
const GATE: f64 = 0.6;

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }

    fn passes_gate(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal * GATE,
            Self::AtMost(goal) => value <= goal / GATE,
        }
    }
}

/// One line of the table.
pub(crate) struct Row {
    what: &'static str,
    bromo: Spread,
    nginx: Option<Spread>,
    ratio: Option<Spread>,
    goal: Option<(Goal, Judged)>,
}

/// Which number a goal speaks of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Judged {
    Bromo,
    Ratio,
}

impl Row {
    /// A number of bromo's alone.
    pub(crate) fn alone(what: &'static str, bromo: impl IntoIterator<Item = f64>) -> Self {
        Self { what, bromo: Spread::of(bromo), nginx: None, ratio: None, goal: None }
    }

    /// A number of both, by rounds: bromo's and nginx's.
    pub(crate) fn beside(what: &'static str, rounds: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let rounds: Vec<(f64, f64)> = rounds.into_iter().collect();
        let ratios = rounds.iter().map(|(bromo, nginx)| bromo / nginx);
        Self {
            what,
            bromo: Spread::of(rounds.iter().map(|(bromo, _)| *bromo)),
            nginx: Some(Spread::of(rounds.iter().map(|(_, nginx)| *nginx))),
            ratio: Some(Spread::of(ratios)),
            goal: None,
        }
    }

    /// bromo's own number is to reach this.
    pub(crate) fn reaching(mut self, goal: Goal) -> Self {
        self.goal = Some((goal, Judged::Bromo));
        self
    }

    /// The ratio is to reach this.
    pub(crate) fn ratio_reaching(mut self, goal: Goal) -> Self {
        self.goal = Some((goal, Judged::Ratio));
        self
    }

    /// Whether it is far from what is to be reached.
    pub(crate) fn fails_gate(&self) -> bool {
        self.judged().is_some_and(|(goal, value)| !goal.passes_gate(value))
    }

    fn judged(&self) -> Option<(Goal, f64)> {
        let (goal, judged) = self.goal?;
        let spread = match judged {
            Judged::Bromo => self.bromo,
            Judged::Ratio => self.ratio?,
        };
        Some((goal, spread.median))
    }

    fn line(&self) -> String {
        let shown = |spread: Option<Spread>| spread.map(show).unwrap_or_default();
        let goal = self.goal.map(|(goal, judged)| {
            let (sign, value) = match goal {
                Goal::AtLeast(value) => (">=", value),
                Goal::AtMost(value) => ("<=", value),
            };
            format!("{sign} {}{}", number(value), if judged == Judged::Ratio { " x" } else { "" })
        });
        let verdict = match self.judged() {
            None => "",
            Some((goal, value)) if goal.is_reached(value) => "PASS",
            Some(_) => "MISS",
        };
        format!(
            "| {} | {} | {} | {} | {} | {verdict} |",
            self.what,
            show(self.bromo),
            shown(self.nginx),
            shown(self.ratio),
            goal.unwrap_or_default(),
        )
    }
}

/// The table as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = "| what | bromo | nginx | bromo / nginx | to reach | |\n|---|---|---|---|---|---|\n";
    rows.iter().fold(head.to_owned(), |table, row| table + &row.line() + "\n")
}

fn show(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    if min == max {
        return number(median);
    }
    format!("{} ({}–{})", number(median), number(min), number(max))
}

/// Three digits, or all before the point.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        0.0 => 0,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_by_the_median() {
        let row = Row::beside("x", [(40.0, 100.0), (60.0, 100.0), (70.0, 100.0)])
            .ratio_reaching(Goal::AtLeast(0.5));
        assert_eq!(row.line(), "| x | 60 (40–70) | 100 | 0.6 (0.4–0.7) | >= 0.5 x | PASS |");
        assert!(!row.fails_gate());
    }

    #[test]
    fn the_gate_fails_far_below_the_goal() {
        assert!(!Row::alone("x", [3.1]).reaching(Goal::AtLeast(5.0)).fails_gate());
        assert!(Row::alone("x", [2.9]).reaching(Goal::AtLeast(5.0)).fails_gate());
        assert!(Row::alone("x", [9.0]).reaching(Goal::AtMost(5.0)).fails_gate());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([54_321.4, 12.34, 0.5, 0.0176, 0.0].map(number), ["54321", "12.3", "0.5", "0.0176", "0"]);
    }
}
