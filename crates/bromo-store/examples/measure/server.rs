//! The same parts on a PostgreSQL server, each in a database of its own.

use std::sync::Arc;

use bromo_rules::id::NodeId;
use bromo_store::{PostgresSettings, StoreError, open_postgres};
use tokio_postgres::NoTls;
use url::Url;

/// What runs if nothing is named.
const PARTS: [&str; 5] = ["ledger", "submit", "batch", "drain", "both"];

/// These parts, or all.
pub(crate) async fn measure(address: &str, parts: &[String]) -> Result<(), StoreError> {
    let all = PARTS.map(str::to_owned);
    for part in if parts.is_empty() { &all } else { parts } {
        println!("{part}");
        let database = fresh(address, part).await?;
        let node = NodeId::from_random(fastrand::u64(..));
        let store = Arc::new(open_postgres(PostgresSettings::new(database.as_str(), node))?);
        store.wait_ready().await?;
        crate::run(Arc::clone(&store) as _, part).await?;
        store.leave().await?;
        sizes(database.as_str()).await?;
    }
    Ok(())
}

async fn fresh(address: &str, part: &str) -> Result<Url, StoreError> {
    let unavailable = |reason: String| StoreError::Unavailable { reason };
    let mut url = Url::parse(address).map_err(|error| unavailable(error.to_string()))?;
    let failed = |error: tokio_postgres::Error| unavailable(error.to_string());
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    for sql in [format!("DROP DATABASE IF EXISTS measure_{part}"), format!("CREATE DATABASE measure_{part}")]
    {
        client.batch_execute(&sql).await.map_err(failed)?;
    }
    if let Ok(row) = client.query_one("SELECT pg_backend_pid()", &[]).await {
        crate::gauge::server_of(row.get(0));
    }
    connection.abort();
    url.set_path(&format!("measure_{part}"));
    Ok(url)
}

/// What lies there afterwards, of what changes often.
async fn sizes(database: &str) -> Result<(), StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::Unavailable { reason: error.to_string() };
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let sql = "SELECT relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid) / 1000000
        FROM pg_stat_user_tables WHERE relname IN ('queue', 'queue_in', 'queue_out', 'due', 'accounts') ORDER BY 1";
    for row in client.query(sql, &[]).await.map_err(failed)? {
        let (name, live, dead, size): (&str, i64, i64, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        println!("  {name}: {live} rows, {dead} dead, {size} MB");
    }
    connection.abort();
    Ok(())
}
