//! Numbered SQL, forward only, compiled in. What was applied stands in the database itself.
//!
//! Nodes of the program before this one may be at work while a step is applied, and go on afterwards: a step adds, and
//! what it adds is nothing that the program before needs to know. A step that cannot be so raises `needs`, and then the
//! program before refuses to start, and must be stopped before.

use tokio_postgres::error::SqlState;

use super::error::text;
use super::link::Link;
use crate::error::StoreError;

/// Held while steps are looked at and applied: "bromo mi" as a number.
const LOCK: i64 = 0x6272_6f6d_6f20_6d69;

/// Which tables the steps are of.
pub(super) struct Schema {
    name: &'static str,
    steps: &'static [Migration],
}

#[cfg(test)]
impl Schema {
    pub(super) fn numbers(&self) -> Vec<i32> {
        self.steps.iter().map(|step| step.number).collect()
    }

    pub(super) fn needs(&self) -> Vec<i32> {
        self.steps.iter().map(|step| step.needs).collect()
    }
}

/// One step of a schema. Never edited once released; the next change is the next number.
struct Migration {
    number: i32,
    name: &'static str,
    /// The last step that a program has to know to work with the tables as this step leaves them.
    needs: i32,
    sql: &'static str,
}

/// Everything but the log.
pub(super) const STORE: Schema = Schema {
    name: "store",
    steps: &[
        Migration {
            number: 1,
            name: "first",
            needs: 1,
            sql: include_str!("../../migrations/postgres/0001_first.sql"),
        },
        Migration {
            number: 2,
            name: "tasks",
            needs: 1,
            sql: include_str!("../../migrations/postgres/0002_tasks.sql"),
        },
        // While a move is under way its row here needs a program that knows of moves.
        Migration {
            number: 3,
            name: "moves",
            needs: 1,
            sql: include_str!("../../migrations/postgres/0003_moves.sql"),
        },
    ],
};

/// The request log.
pub(super) const LOGS: Schema = Schema {
    name: "logs",
    steps: &[Migration {
        number: 1,
        name: "logs",
        needs: 1,
        sql: include_str!("../../migrations/postgres-logs/0001_first.sql"),
    }],
};

/// Applies what is missing, all in one transaction; the names of what was applied. With `apply` false only looks.
///
/// # Errors
/// [`Stop::Refused`] if the database needs a newer program, or something is missing that is not to be applied; otherwise the
/// database could not be asked.
pub(super) async fn migrate(link: &Link, schema: &Schema, apply: bool) -> Result<Vec<&'static str>, Stop> {
    link.client.batch_execute("BEGIN").await?;
    let outcome = steps(link, schema, apply).await;
    link.client.batch_execute(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    outcome
}

/// Why there are no tables to work with.
#[derive(Debug)]
pub(super) enum Stop {
    /// The database could not be asked: trying again may help.
    Unavailable(String),
    /// Trying again is of no use.
    Refused(String),
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        let reason = text(&error);
        match error.code() {
            // No permission, or SQL that this server does not understand.
            Some(code) if code.code().starts_with("42") => Self::Refused(reason),
            _ => Self::Unavailable(reason),
        }
    }
}

impl From<Stop> for StoreError {
    fn from(stop: Stop) -> Self {
        let (Stop::Unavailable(reason) | Stop::Refused(reason)) = stop;
        Self::Unavailable { reason }
    }
}

async fn steps(link: &Link, schema: &Schema, apply: bool) -> Result<Vec<&'static str>, Stop> {
    let client = &link.client;
    // Another node may be at it for longer than a statement may take; its steps are ours too.
    client.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
    client.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let known = schema.steps.last().map_or(0, |step| step.number);
    let (applied, needs) = state(link, schema).await?;
    if needs > known {
        return Err(Stop::Refused(format!(
            "the database is at migration {applied} and needs a program that knows {needs}, this one knows {known}: \
             use a newer bromo"
        )));
    }
    let missing: Vec<&Migration> = schema.steps.iter().filter(|step| step.number > applied).collect();
    let Some(first) = missing.first() else { return Ok(Vec::new()) };
    if !apply {
        return Err(Stop::Refused(format!(
            "the database lacks migration {} ({}) and more are not applied by themselves: run `bromo migrate`",
            first.number, first.name
        )));
    }
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS migrations (
                 schema text NOT NULL, number int NOT NULL, name text NOT NULL, needs int NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (schema, number))",
        )
        .await?;
    for step in &missing {
        client.batch_execute(step.sql).await?;
        let sql = "INSERT INTO migrations (schema, number, name, needs) VALUES ($1, $2, $3, $4)";
        client.execute(sql, &[&schema.name, &step.number, &step.name, &step.needs]).await?;
    }
    Ok(missing.iter().map(|step| step.name).collect())
}

/// The last step that was applied, and the last that a program has to know.
async fn state(link: &Link, schema: &Schema) -> Result<(i32, i32), Stop> {
    let client = &link.client;
    // Read-only, so that a program that applies nothing needs no right to.
    if client.query_one("SELECT to_regclass('migrations') IS NULL", &[]).await?.get(0) {
        return Ok((0, 0));
    }
    let sql = "SELECT coalesce(max(number), 0), coalesce(max(needs), 0) FROM migrations WHERE schema = $1";
    let row = client.query_one(sql, &[&schema.name]).await.map_err(|error| match error.code() {
        Some(&SqlState::UNDEFINED_COLUMN) => {
            Stop::Refused("the table `migrations` of this database is not bromo's".to_owned())
        }
        _ => error.into(),
    })?;
    Ok((row.get(0), row.get(1)))
}
