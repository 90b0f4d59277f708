//! Numbered SQL, forward only, compiled in. What was applied stands in the database itself.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;

/// One step of a schema. Never edited once released; the next change is the next number.
pub(super) struct Migration {
    number: u32,
    name: &'static str,
    sql: &'static str,
}

/// The steps of `bromo.db`.
pub(super) const STORE: &[Migration] = &[
    Migration { number: 1, name: "first", sql: include_str!("../../migrations/sqlite/0001_first.sql") },
    Migration { number: 2, name: "tasks", sql: include_str!("../../migrations/sqlite/0002_tasks.sql") },
    Migration { number: 3, name: "members", sql: include_str!("../../migrations/sqlite/0003_members.sql") },
];

/// The steps of `logs.db`.
pub(super) const LOGS: &[Migration] = &[
    Migration { number: 1, name: "first", sql: include_str!("../../migrations/sqlite-logs/0001_first.sql") },
    Migration {
        number: 2,
        name: "rollups",
        sql: include_str!("../../migrations/sqlite-logs/0002_rollups.sql"),
    },
    Migration { number: 3, name: "texts", sql: include_str!("../../migrations/sqlite-logs/0003_texts.sql") },
];

/// Applies what is missing, each step in its own transaction.
///
/// # Errors
/// [`StoreError::Unavailable`] if the database was written by a newer program: its tables may mean things
/// that this one does not know.
pub(super) fn apply(connection: &mut Connection, steps: &[Migration]) -> Result<(), StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;",
    )?;
    let applied: u32 =
        connection.query_row("SELECT coalesce(max(number), 0) FROM migrations", [], |row| row.get(0))?;
    let known = steps.last().map_or(0, |step| step.number);
    if applied > known {
        return Err(StoreError::Unavailable {
            reason: format!(
                "the database {} is at migration {applied}, this program knows {known}: use a newer bromo",
                connection.path().unwrap_or_default()
            ),
        });
    }
    for step in steps.iter().filter(|step| step.number > applied) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step.sql)?;
        transaction
            .execute("INSERT INTO migrations (number, name) VALUES (?1, ?2)", (step.number, step.name))?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_from_one_without_gaps_and_apply_once() {
        for steps in [STORE, LOGS] {
            let numbers: Vec<u32> = steps.iter().map(|step| step.number).collect();
            let expected: Vec<u32> = (1..).take(steps.len()).collect();
            assert_eq!(numbers, expected);
            let mut connection = Connection::open_in_memory().unwrap();
            apply(&mut connection, steps).unwrap();
            apply(&mut connection, steps).unwrap();
        }
    }

    #[test]
    fn a_ledger_that_was_there_is_found_in_its_new_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &STORE[..1]).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for (account, seq, at) in [(1, 1, 10), (2, 1, 11), (1, 2, 12), (2, 2, 12), (1, 3, 12)] {
            let sql = "INSERT INTO ledger VALUES (?1, ?2, 'grant', 5, 5 * ?2, NULL, ?3)";
            connection.execute(sql, (account, seq, at)).unwrap();
        }
        apply(&mut connection, STORE).unwrap();
        let seqs = |account: i64| {
            let mut statement =
                connection.prepare("SELECT seq FROM ledger WHERE account = ?1 ORDER BY place").unwrap();
            let seqs = statement.query_map([account], |row| row.get::<_, i64>(0)).unwrap();
            seqs.collect::<Result<Vec<_>, _>>().unwrap()
        };
        assert_eq!((seqs(1), seqs(2)), (vec![1, 2, 3], vec![1, 2]));
        let blocks: i64 =
            connection.query_row("SELECT count(*) FROM ledger_blocks", [], |row| row.get(0)).unwrap();
        assert_eq!(blocks, 2);
    }

    #[test]
    fn a_database_of_a_newer_program_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, STORE).unwrap();
        connection.execute("INSERT INTO migrations VALUES (9999, 'later')", []).unwrap();
        let error = apply(&mut connection, STORE).unwrap_err();
        assert!(error.to_string().contains("use a newer bromo"), "{error}");
    }
}
