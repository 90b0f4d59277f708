//! What became of a request, in the few words that charts and filters count by.

use crate::problem::Problem;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// Refused: all slots of the account were in use.
    NoSlot,
    /// Refused: the rate window of its key and route was used up.
    Rate,
    /// Refused: the balance did not cover it.
    Credits,
    /// Refused for anything else: the request was at fault.
    Refused,
    /// It failed on this side.
    Failed,
    /// The client left before the end.
    Canceled,
}

impl Outcome {
    /// All of them, in the order in which charts stack them.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::NoSlot,
        Self::Rate,
        Self::Credits,
        Self::Refused,
        Self::Failed,
        Self::Canceled,
    ];

    /// What a log line of this status and code tells of.
    pub fn of(status: u16, code: &str) -> Self {
        let is = |problem: Problem| status == problem.status && code == problem.code;
        match status {
            _ if is(Problem::CONCURRENCY_LIMIT) => Self::NoSlot,
            _ if is(Problem::RATE_LIMIT) => Self::Rate,
            _ if is(Problem::INSUFFICIENT_CREDITS) => Self::Credits,
            _ if status == Problem::CANCELED.status => Self::Canceled,
            0..400 => Self::Answered,
            400..500 => Self::Refused,
            500.. => Self::Failed,
        }
    }

    /// Its word, as addresses of pages have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NoSlot => "no-slot",
            Self::Rate => "rate",
            Self::Credits => "credits",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_the_outcome_of_its_kind() {
        assert_eq!(Outcome::of(200, ""), Outcome::Answered);
        for problem in Problem::ALL {
            let expected = match problem.code {
                "CONCURRENCY_LIMIT_EXCEEDED" => Outcome::NoSlot,
                "RATE_LIMIT_EXCEEDED" => Outcome::Rate,
                "INSUFFICIENT_CREDITS" => Outcome::Credits,
                "REQUEST_CANCELED" => Outcome::Canceled,
                _ if problem.status < 500 => Outcome::Refused,
                _ => Outcome::Failed,
            };
            assert_eq!(Outcome::of(problem.status, problem.code), expected, "{}", problem.code);
        }
        assert_eq!(Outcome::of(429, "A_CODE_OF_NOBODY"), Outcome::Refused);
        assert_eq!(Outcome::of(503, Problem::CONCURRENCY_LIMIT.code), Outcome::Failed);
    }

    #[test]
    fn no_two_outcomes_have_one_word() {
        let words: std::collections::HashSet<_> = Outcome::ALL.map(Outcome::word).into();
        assert_eq!(words.len(), Outcome::ALL.len());
    }
}
