//! Schemas that are older and newer than the program.

use bromo_testbed::Postgres;

use super::{open, settings};
use crate::postgres::{PostgresSettings, migrate_postgres, migrations, open_postgres};

#[test]
fn migrations_are_numbered_from_one_without_gaps_and_need_no_more_than_there_is() {
    for schema in [&migrations::STORE, &migrations::LOGS] {
        let expected: Vec<i32> = (1..).take(schema.numbers().len()).collect();
        assert_eq!(schema.numbers(), expected);
        assert!(schema.needs().iter().zip(expected).all(|(needs, number)| *needs <= number));
    }
}

#[tokio::test]
async fn a_schema_that_must_not_be_changed_is_refused_and_the_command_that_changes_it_named() {
    let database = Postgres::shared().database().unwrap();
    let strict = PostgresSettings { migrate: false, ..settings(database.url(), 1) };
    let refused = open_postgres(strict.clone()).unwrap().wait_ready().await.unwrap_err().to_string();
    assert!(refused.contains("bromo migrate"), "{refused}");
    let applied = migrate_postgres(&database.url()).await.unwrap();
    assert_eq!(applied.first(), Some(&"first"));
    assert_eq!(migrate_postgres(&database.url()).await.unwrap(), [] as [&str; 0]);
    open_postgres(strict).unwrap().wait_ready().await.unwrap();
}

#[tokio::test]
async fn many_nodes_that_start_at_once_migrate_once() {
    let database = Postgres::shared().database().unwrap();
    let stores: Vec<_> = (1..=4).map(|node| open_postgres(settings(database.url(), node)).unwrap()).collect();
    for store in &stores {
        store.wait_ready().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_only_if_it_says_so() {
    let database = Postgres::shared().database().unwrap();
    drop(open(&database).await);
    database.execute("INSERT INTO migrations VALUES ('store', 9998, 'adds', 1)").unwrap();
    drop(open(&database).await);
    database.execute("INSERT INTO migrations VALUES ('store', 9999, 'changes', 9999)").unwrap();
    let store = open_postgres(settings(database.url(), 1)).unwrap();
    let refused = store.wait_ready().await.unwrap_err().to_string();
    assert!(refused.contains("use a newer bromo"), "{refused}");
}
