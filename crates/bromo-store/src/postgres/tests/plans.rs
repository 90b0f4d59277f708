//! Plans that must not change with what a table holds.

use bromo_testbed::Postgres;

use super::open;
use crate::contract::{account, queue, task};
use crate::postgres::PostgresStore;
use crate::postgres::queue::HEADS;
use crate::postgres::rows::get;
use crate::postgres::tx::Tx;

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
