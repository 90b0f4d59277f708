//! An installation from a real folder into a real database.

mod installation;
mod seen;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use bromo_rules::id::NodeId;
use bromo_rules::task::TaskState;
use bromo_testbed::{Database, Postgres};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use self::installation::{RICH, fill, id};
use self::seen::{Seen, everything};
use super::{Bounds, MoveError, Moved, Moving, carry, move_installation, part};
use crate::contract::{NOW, account, claim_next, claim_one, end, keyed, later, queue, request, task, whole};
use crate::deliveries::Deliveries;
use crate::ledger::Ledger;
use crate::{
    End, Ended, Ender, Lane, LogFilter, Logs, PostgresLogs, PostgresSettings, PostgresStore, StoreError,
    Submitted, Tasks, open_postgres, open_postgres_logs, open_sqlite, open_sqlite_logs,
};

/// So small that each part takes several pages.
const SMALL: Bounds = Bounds { rows: 3, bytes: 1_000_000 };

async fn filled() -> TempDir {
    let folder = TempDir::new().unwrap();
    fill(folder.path()).await;
    folder
}

/// Moves on, told nothing.
async fn go_on(from: &TempDir, to: &Database<'_>) -> Result<Moved, MoveError> {
    carry(from.path(), &to.url(), SMALL, &mut |_: &Moving| ControlFlow::Continue(())).await
}

/// Moves on until `stops` says so.
async fn go_on_until(
    from: &TempDir,
    to: &Database<'_>,
    stops: impl Fn(&Moving) -> bool,
) -> Result<Moved, MoveError> {
    let mut told = |moving: &Moving| {
        if stops(moving) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    carry(from.path(), &to.url(), SMALL, &mut told).await
}

/// What the folder's own program says of it. It looks at a copy: opening it changes it.
async fn seen_before(folder: &TempDir) -> Seen {
    let copy = TempDir::new().unwrap();
    for name in ["bromo.db", "logs.db"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let (store, logs) = (open_sqlite(copy.path()).unwrap(), open_sqlite_logs(copy.path()).unwrap());
    everything(&store, &logs).await.unwrap()
}

async fn serve(database: &Database<'_>) -> Result<(PostgresStore, PostgresLogs), StoreError> {
    let settings = PostgresSettings::new(database.url(), NodeId::from_random(1));
    let logs = open_postgres_logs(settings.clone())?;
    let store = open_postgres(settings)?;
    store.wait_ready().await?;
    logs.wait_ready().await?;
    Ok((store, logs))
}

async fn seen_after(database: &Database<'_>) -> Seen {
    let (store, logs) = serve(database).await.unwrap();
    let seen = everything(&store, &logs).await.unwrap();
    store.leave().await.unwrap();
    seen
}

async fn beside(database: &Database<'_>) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[track_caller]
fn assert_same(before: &Seen, after: &Seen) {
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
}

#[track_caller]
fn assert_whole(moved: &Moved) {
    let wrong: Vec<_> = moved.figures.iter().filter(|figure| !figure.agrees()).collect();
    assert!(moved.is_whole() && wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn all_that_can_be_read_reads_the_same_after_the_move() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    let before = seen_before(&folder).await;
    let told = &mut |_: &Moving| ControlFlow::Continue(());
    let moved = move_installation(folder.path(), &database.url(), told).await.unwrap();
    assert_whole(&moved);
    // Something of everything was there to be moved.
    for part in part::parts() {
        let counted = moved.figures.iter().find(|figure| figure.part == part.name).unwrap();
        assert!(counted.source > 0, "{counted:?}");
    }
    assert_same(&before, &seen_after(&database).await);
}

#[tokio::test]
async fn a_move_that_is_stopped_after_every_page_and_started_again_ends_the_same() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    let before = seen_before(&folder).await;
    let mut stops = 0;
    let moved = loop {
        match go_on_until(&folder, &database, |_| true).await {
            Ok(moved) => break moved,
            Err(MoveError::Stopped) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(stops > 50, "{stops}");
    assert_whole(&moved);
    assert_same(&before, &seen_after(&database).await);
}

#[tokio::test]
async fn a_move_that_loses_its_connection_goes_on_when_it_is_started_again() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    let before = seen_before(&folder).await;
    for part in ["ledger", "tasks", "delivery attempts", "log lines"] {
        let cut = |moving: &Moving| {
            if moving.part == part {
                database
                    .execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE datname = current_database() AND pid <> pg_backend_pid()",
                    )
                    .unwrap();
            }
            false
        };
        let lost = go_on_until(&folder, &database, cut).await;
        assert!(matches!(lost, Err(MoveError::Store(StoreError::Unavailable { .. }))), "{part}: {lost:?}");
    }
    assert_whole(&go_on(&folder, &database).await.unwrap());
    assert_same(&before, &seen_after(&database).await);
}

#[tokio::test]
async fn a_page_and_how_far_it_has_come_are_written_together_or_not_at_all() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    let before = seen_before(&folder).await;
    go_on_until(&folder, &database, |moving| moving.part == "accounts").await.unwrap_err();
    // The second page of each part is copied, and then it cannot be said.
    database
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON move_parts FOR EACH ROW EXECUTE FUNCTION refuse();",
        )
        .unwrap();
    for _ in 0..2 {
        let refused = go_on(&folder, &database).await.unwrap_err().to_string();
        assert!(refused.contains("not now"), "{refused}");
    }
    database.execute("DROP TRIGGER refuse ON move_parts").unwrap();
    assert_whole(&go_on(&folder, &database).await.unwrap());
    assert_same(&before, &seen_after(&database).await);
}

#[tokio::test]
async fn a_folder_is_only_read() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let before = ["bromo.db", "logs.db"].map(bytes);
    assert_whole(&go_on(&folder, &database).await.unwrap());
    assert!(before == ["bromo.db", "logs.db"].map(bytes));
}

#[tokio::test]
async fn a_folder_that_is_served_or_none_at_all_is_refused() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    let server = open_sqlite(folder.path()).unwrap();
    let refused = go_on(&folder, &database).await.unwrap_err().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(server);
    let empty = TempDir::new().unwrap();
    let refused = go_on(&empty, &database).await;
    assert!(matches!(refused, Err(MoveError::NoFolder { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_database_with_other_accounts_is_refused_and_left_alone() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    let (store, _logs) = serve(&database).await.unwrap();
    let other = account(&store, 77).await.unwrap();
    store.leave().await.unwrap();
    let refused = go_on(&folder, &database).await;
    assert!(matches!(refused, Err(MoveError::NotEmpty)), "{refused:?}");
    let (store, _logs) = serve(&database).await.unwrap();
    assert_eq!(store.list_entries(other, 0, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_unfinished_move_goes_on_only_with_its_own_folder_as_it_stood() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    go_on_until(&folder, &database, |moving| moving.part == "ledger").await.unwrap_err();
    let other = TempDir::new().unwrap();
    drop(open_sqlite(other.path()).unwrap());
    let refused = go_on(&other, &database).await;
    assert!(matches!(refused, Err(MoveError::AnotherFolder)), "{refused:?}");
    // Whatever was done there meanwhile, if anything.
    drop(open_sqlite(folder.path()).unwrap());
    let refused = go_on(&folder, &database).await;
    assert!(matches!(refused, Err(MoveError::AnotherFolder)), "{refused:?}");
}

#[tokio::test]
async fn what_was_moved_is_not_moved_again() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    assert_whole(&go_on(&folder, &database).await.unwrap());
    let again = go_on(&folder, &database).await;
    assert!(matches!(again, Err(MoveError::Finished)), "{again:?}");
}

#[tokio::test]
async fn nodes_and_a_move_keep_out_of_each_others_way() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    let (store, _logs) = serve(&database).await.unwrap();
    let refused = go_on(&folder, &database).await;
    assert!(matches!(refused, Err(MoveError::NodesLive { nodes: 1 })), "{refused:?}");
    store.leave().await.unwrap();
    go_on_until(&folder, &database, |moving| moving.part == "queued tasks").await.unwrap_err();
    let refused = serve(&database).await.unwrap_err().to_string();
    assert!(refused.contains("bromo move"), "{refused}");
    let looker = beside(&database).await;
    assert_eq!(number(&looker, "SELECT count(*) FROM nodes").await, 0);
    // A program that knows nothing of moves is told that it knows too little.
    let needs = "SELECT max(needs)::bigint FROM migrations WHERE schema = 'store'";
    assert!(number(&looker, needs).await > 2);
    assert_whole(&go_on(&folder, &database).await.unwrap());
    assert_eq!(number(&looker, needs).await, 1);
    serve(&database).await.unwrap();
}

/// A node that has left, and whose process lives on, may drop the partition of an old day before it is filled.
#[tokio::test]
async fn tasks_of_a_day_that_lie_with_the_rest_stay_there_when_the_move_goes_on() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    go_on_until(&folder, &database, |moving| moving.part == "queued tasks").await.unwrap_err();
    let lay_with_the_rest = "DO $$ DECLARE day text; BEGIN
            SELECT DISTINCT tableoid::regclass::text INTO STRICT day FROM tasks
                WHERE tableoid <> 'tasks_rest'::regclass LIMIT 1;
            EXECUTE format('ALTER TABLE tasks DETACH PARTITION %I', day);
            EXECUTE format('INSERT INTO tasks SELECT * FROM %I', day);
            EXECUTE format('DROP TABLE %I', day);
        END $$";
    database.execute(lay_with_the_rest).unwrap();
    assert_whole(&go_on(&folder, &database).await.unwrap());
}

/// Each is a change of one row that its sums alone would not show.
#[tokio::test]
async fn one_changed_row_is_found_and_the_database_stays_unfinished() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    go_on_until(&folder, &database, |moving| moving.part == "kept texts" && moving.done).await.unwrap_err();
    let changes = [
        ("keys", "UPDATE keys SET last4 = reverse(last4) WHERE revoked_at IS NULL AND id = (SELECT max(id) FROM keys
            WHERE revoked_at IS NULL)"),
        ("accounts", "UPDATE accounts SET balance_plan = balance_plan + 1 WHERE id = (SELECT min(id) FROM accounts)"),
        ("results", "UPDATE results SET response = sha256(response) WHERE seq = (SELECT min(seq) FROM results)"),
        ("kept texts", "DELETE FROM texts WHERE request = (SELECT min(request::text)::uuid FROM texts)"),
    ];
    let mut wrong = Vec::new();
    for (part, sql) in changes {
        database.execute(sql).unwrap();
        wrong.push(part);
        let moved = go_on(&folder, &database).await.unwrap();
        assert!(!moved.is_whole());
        let found = moved.figures.iter().filter(|figure| !figure.agrees()).map(|figure| figure.part);
        for part in found.clone() {
            assert!(wrong.contains(&part), "{part}");
        }
        assert!(found.clone().any(|found| found == part), "{part} in {:?}", found.collect::<Vec<_>>());
    }
    assert!(serve(&database).await.is_err());
}

#[tokio::test]
async fn moved_tasks_go_on_where_they_were() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    assert_whole(&go_on(&folder, &database).await.unwrap());
    let (store, _logs) = serve(&database).await.unwrap();
    let rich = id(RICH);
    // A key is taken as long as its task is kept, whatever became of it.
    let Submitted::Each(outcomes) = store.submit(rich, vec![keyed(rich, 700, "k\0 4")], 99).await.unwrap()
    else {
        panic!()
    };
    let taken = outcomes[0].unwrap_err();
    assert_eq!((taken.id, taken.state), (request(4), whole(&store, rich, 4).await.unwrap().task.state));
    // A new task comes after those that were there.
    queue(&store, &[task(rich, 701)]).await.unwrap();
    let claimed = claim_next(&store, rich, 99).await.unwrap();
    let order: Vec<_> = claimed.iter().map(|one| one.id).collect();
    let expected = [43, 47, 42, 46, 41, 45, 49, 40, 44, 48, 30, 31, 32, 33, 701];
    assert_eq!(order, expected.map(request));
    let newest = claimed.iter().max_by_key(|one| one.claim.seq).map(|one| one.id);
    assert_eq!(newest, Some(request(701)));
    let ran = claimed.iter().find(|one| one.id == request(30)).unwrap();
    assert_eq!((ran.attempt, ran.cuts), (1, 2));
    let paid = store.end_task(End { charge: None, ..end(Ender::Claim(ran.claim)) }).await.unwrap();
    assert_eq!(paid, Ended::Done { paid: None });
    assert_eq!(whole(&store, rich, 30).await.unwrap().task.state, TaskState::Failed);
    // What waits for its time runs then.
    let (accounts, _) = store.end_waits(later(500)).await.unwrap();
    assert_eq!(accounts, [rich]);
    let late = claim_one(&store, rich).await.unwrap();
    assert_eq!((late.id, late.attempt), (request(20), 2));
    let due = store.take_due(Lane::Fresh, later(9), &|_, _| 99, 99).await.unwrap();
    assert_eq!(due.len(), 3);
    let retries = store.take_due(Lane::Retry, later(9999), &|_, _| 99, 99).await.unwrap();
    assert_eq!(retries.iter().map(|due| due.attempt).collect::<Vec<_>>(), [2, 2, 2]);
    let looker = beside(&database).await;
    let wrong = looker.query(crate::postgres::COUNTERS_WRONG, &[]).await.unwrap();
    assert_eq!(wrong.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [0; 4]);
    let in_days = "SELECT count(*) FROM tasks WHERE tableoid <> 'tasks_rest'::regclass";
    assert_eq!(number(&looker, in_days).await, number(&looker, "SELECT count(*) FROM tasks").await);
    // Nothing is kept longer than it was to be.
    assert!(store.expire_tasks(later(9_999_999), 0, 9999).await.unwrap() > 15);
}

#[tokio::test]
async fn a_moved_log_is_appended_to_and_trimmed() {
    let (folder, database) = (filled().await, Postgres::shared().database().unwrap());
    assert_whole(&go_on(&folder, &database).await.unwrap());
    let (_store, logs) = serve(&database).await.unwrap();
    let line = crate::contract::logs::line(900);
    logs.append(vec![line.clone()], None).await.unwrap();
    let any = LogFilter::default();
    let newest = logs.read(&any, None, 2, std::time::Duration::MAX).await.unwrap().lines;
    assert_eq!(newest[0].line, line);
    assert!(newest[0].cursor > newest[1].cursor);
    let looker = beside(&database).await;
    let counted = "SELECT a.lines - r.lines - (SELECT sum(lines) FROM blocks WHERE last_seq > r.seq)
        FROM appended a CROSS JOIN rolled r";
    assert_eq!(number(&looker, &format!("SELECT ({counted})::bigint")).await, 0);
    let from = NOW.plus(std::time::Duration::from_secs(8 * 86_400));
    assert_eq!(logs.trim(&crate::contract::logs::keep(from, u64::MAX)).await.unwrap(), 121 + 7);
    let left = logs.read(&any, None, 99, std::time::Duration::MAX).await.unwrap().lines;
    assert_eq!(left.len(), 14);
}

#[test]
fn a_folder_is_named_in_what_is_said_of_it() {
    let error = MoveError::NoFolder { folder: Path::new("/nowhere").to_owned() };
    assert_eq!(error.to_string(), "/nowhere is no data folder: it has no bromo.db");
}
