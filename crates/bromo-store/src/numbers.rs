//! The number that each word has in a database, whichever it is. Only ever appended to.

use bromo_rules::endpoint::Endpoint;
use bromo_rules::key::KeyKind;
use bromo_rules::task::TaskState;

const ENDPOINTS: [Endpoint; 8] = [
    Endpoint::Chatgpt,
    Endpoint::Gemini,
    Endpoint::Copilot,
    Endpoint::Perplexity,
    Endpoint::Grok,
    Endpoint::Aimode,
    Endpoint::Google,
    Endpoint::GoogleNews,
];
const KINDS: [KeyKind; 2] = [KeyKind::Live, KeyKind::Test];
/// From [`FIRST_STATE`] on.
const STATES: [TaskState; 4] =
    [TaskState::Queued, TaskState::Processing, TaskState::Completed, TaskState::Failed];
/// SQLite keeps 0 and 1 without taking any room, and a row that changes is to keep its size.
const FIRST_STATE: i16 = 2;

/// As a column keeps it.
pub(crate) fn of_endpoint(endpoint: Endpoint) -> i16 {
    number(&ENDPOINTS, endpoint)
}

/// As a column keeps it.
pub(crate) fn of_kind(kind: KeyKind) -> i16 {
    number(&KINDS, kind)
}

/// As a column keeps it.
pub(crate) fn of_state(state: TaskState) -> i16 {
    FIRST_STATE + number(&STATES, state)
}

/// The endpoint of this number.
pub(crate) fn endpoint(number: i64) -> Option<Endpoint> {
    numbered(&ENDPOINTS, number)
}

/// The kind of this number.
pub(crate) fn kind(number: i64) -> Option<KeyKind> {
    numbered(&KINDS, number)
}

/// The state of this number.
pub(crate) fn state(number: i64) -> Option<TaskState> {
    numbered(&STATES, number - i64::from(FIRST_STATE))
}

fn number<T: PartialEq>(all: &[T], one: T) -> i16 {
    // A test says that each is in there.
    all.iter().zip(0..).find(|(other, _)| **other == one).map_or(-1, |(_, number)| number)
}

fn numbered<T: Copy>(all: &[T], number: i64) -> Option<T> {
    usize::try_from(number).ok().and_then(|number| all.get(number)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_number_and_keeps_it() {
        assert_eq!(Endpoint::ALL.map(of_endpoint), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(TaskState::ALL.map(of_state), [2, 3, 4, 5]);
        assert_eq!([KeyKind::Live, KeyKind::Test].map(of_kind), [0, 1]);
        assert_eq!(Endpoint::ALL.map(|one| endpoint(of_endpoint(one).into())), Endpoint::ALL.map(Some));
        assert_eq!(TaskState::ALL.map(|one| state(of_state(one).into())), TaskState::ALL.map(Some));
        assert_eq!((endpoint(-1), endpoint(8), state(1), state(6), kind(2)), (None, None, None, None, None));
    }
}
