//! What tests may rely on.

use bromo_testbed::Postgres;

#[test]
fn each_database_is_fresh_and_gone_when_it_is_dropped() {
    let server = Postgres::shared();
    let one = server.database().unwrap();
    one.execute("CREATE TABLE things (id int)").unwrap();
    let other = server.database().unwrap();
    other.execute("CREATE TABLE things (id int)").unwrap();
    let name = one.url().rsplit('/').next().unwrap().to_owned();
    drop(one);
    assert!(server.execute(&name, "SELECT 1").unwrap_err().to_string().contains("does not exist"));
    other.execute("SELECT * FROM things").unwrap();
}

#[test]
fn what_was_committed_outlives_a_stop_and_a_kill() {
    let server = Postgres::start().unwrap();
    let database = server.database().unwrap();
    database.execute("CREATE TABLE things (id int)").unwrap();
    server.stop().unwrap();
    assert!(database.execute("SELECT 1").is_err());
    server.start_again().unwrap();
    database
        .execute("INSERT INTO things SELECT 1 / count(*) FROM pg_class WHERE relname = 'things'")
        .unwrap();
    server.kill().unwrap();
    assert!(database.execute("SELECT 1").is_err());
    server.start_again().unwrap();
    database.execute("SELECT 1 / count(*) FROM things").unwrap();
}
