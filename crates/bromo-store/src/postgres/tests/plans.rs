//! Plans that must not change with what a table holds.

use std::sync::Arc;

use bromo_rules::task::Priority;
use bromo_testbed::Postgres;

use super::walks::{Watched, write_down};
use super::{open, settings};
use crate::contract::{NOW, account, claim_one, end, hooked, queue, task};
use crate::postgres::queue::HEADS;
use crate::postgres::rows::get;
use crate::postgres::strays::Unheld;
use crate::postgres::tx::Tx;
use crate::postgres::{PostgresStore, floors, open_postgres};
use crate::{Deliveries, Ender, Lane, StoreError, Tasks};

/// When all tasks are one account's, the order of `queue_pkey` looks as good as the index in order; when there are few, a
/// bitmap does, and would visit every dead row behind a floor.
#[tokio::test]
async fn a_look_for_the_next_tasks_goes_by_the_index_in_order_whatever_the_statistics_say() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    for number in 1..=10 {
        let id = account(&store, number).await.unwrap();
        queue(&store, &[task(id, u16::try_from(number).unwrap())]).await.unwrap();
    }
    goes_by_the_index_in_order(&store).await;
    let id = account(&store, 11).await.unwrap();
    for batch in 1..=4 {
        let tasks: Vec<_> = (0..500).map(|number| task(id, batch * 500 + number)).collect();
        queue(&store, &tasks).await.unwrap();
    }
    goes_by_the_index_in_order(&store).await;
}

async fn goes_by_the_index_in_order(store: &PostgresStore) {
    let plan = store.parts.others.run(async |tx: &Tx<'_>| {
        tx.query("SELECT 1", &[]).await?;
        tx.batch(&format!("ANALYZE queue; ANALYZE queue_in; ANALYZE queue_out; PREPARE look AS {HEADS}"))
            .await?;
        let rows = tx.query("EXPLAIN EXECUTE look('{1}', '{10}', '{0,1,2,3,4,5,6,7,8}', '{1}')", &[]).await?;
        tx.batch("DEALLOCATE look").await?;
        rows.iter().map(|row| get::<String>(row, 0)).collect::<Result<Vec<_>, _>>()
    });
    let plan = plan.await.unwrap().join("\n");
    assert!(plan.contains("Index Scan using queue_in_order on queue"), "{plan}");
    let found_by = "Index Cond: ((account = w.account) AND (priority = i.priority) AND (line = l.line) AND ((seq + 0) >= i.floor))";
    assert!(plan.contains(found_by), "{plan}");
    assert!(!plan.contains("queue_pkey") && !plan.contains("Bitmap"), "{plan}");
}

/// All else is watched where the contract runs.
#[tokio::test]
async fn what_a_store_does_by_itself_walks_over_nothing_that_grows() {
    let database = Postgres::shared().database().unwrap();
    write_down(&database);
    let (one, other) = (open(&database).await, open_postgres(settings(database.url(), 2)).unwrap());
    other.wait_ready().await.unwrap();
    let watched = Watched::begin(&database).await;
    let id = account(&one, 1).await.unwrap();
    queue(&one, &[hooked(id, 1, "https://example.com/a"), task(id, 2), task(id, 3)]).await.unwrap();
    // An id that is taken is looked for when the task was refused.
    let taken = other.submit(id, vec![task(id, 2)], 99).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    let done = claim_one(&one, id).await.unwrap().claim;
    one.end_task(end(Ender::Claim(done))).await.unwrap();
    assert_eq!(one.take_due(Lane::Fresh, NOW, &|_, _| 9, 9).await.unwrap().len(), 1);
    claim_one(&one, id).await.unwrap();
    let floor = [(id.to_i64(), Priority::DEFAULT)];
    one.parts.others.run(async move |tx: &Tx<'_>| floors::raise(tx, &floor).await).await.unwrap();
    // As if nothing here held them.
    *one.parts.local.held() = Default::default();
    let (local, node) = (Arc::clone(&one.parts.local), one.parts.node);
    let give_back = async move |tx: &Tx<'_>| Unheld::look(tx, &local, node).await?.give_back(tx, node).await;
    one.parts.others.run(give_back).await.unwrap();
    // Another node gives them back where this one has left.
    assert_eq!(one.take_due(Lane::Fresh, NOW, &|_, _| 9, 9).await.unwrap().len(), 1);
    claim_one(&one, id).await.unwrap();
    one.leave().await.unwrap();
    assert_eq!(other.take_due(Lane::Fresh, NOW, &|_, _| 9, 9).await.unwrap().len(), 1);
    claim_one(&other, id).await.unwrap();
    watched.end().await;
}
