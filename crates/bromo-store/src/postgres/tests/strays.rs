//! What a lost connection leaves behind: rows that name a node which does not hold them.

use std::sync::Arc;

use bromo_testbed::Postgres;

use super::open;
use crate::contract::{NOW, account, claim_one, end, hooked, later, queue, task};
use crate::postgres::PostgresStore;
use crate::postgres::claim::{ClaimAsk, Take};
use crate::postgres::local::Hidden;
use crate::postgres::strays::Unheld;
use crate::postgres::take::{TakeAsk, Taking};
use crate::postgres::tx::Tx;
use crate::{Deliveries, Ender, Endpoints, Lane, Tasks};

const HOST: &str = "example.com:443";

async fn look(store: &PostgresStore) -> Unheld {
    let (local, node) = (Arc::clone(&store.parts.local), store.parts.node);
    let look = async move |tx: &Tx<'_>| Unheld::look(tx, &local, node).await;
    store.parts.others.run(look).await.unwrap()
}

#[tokio::test]
async fn a_claim_and_a_delivery_whose_answers_never_came_are_given_back_and_no_others() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    let id = account(&store, 1).await.unwrap();
    queue(&store, &[hooked(id, 1, "https://example.com/a"), hooked(id, 2, "https://example.com/b")])
        .await
        .unwrap();
    for _ in 0..2 {
        let claimed = claim_one(&store, id).await.unwrap();
        store.end_task(end(Ender::Claim(claimed.claim))).await.unwrap();
    }
    queue(&store, &[task(id, 3), task(id, 4)]).await.unwrap();
    // Held: one task, one delivery.
    let held = claim_one(&store, id).await.unwrap();
    let due = store.take_due(Lane::Fresh, NOW, &|_, _| 1, 1).await.unwrap();
    assert_eq!(due.len(), 1);
    // Written, and nobody heard of it.
    let head = store.heads(id, Endpoints::ALL, 1).await.unwrap()[0].seq;
    let local = Arc::clone(&store.parts.local);
    let tasks = Hidden::new(&local, vec![head]);
    let ask = ClaimAsk { tasks, now: NOW, node: store.parts.node, local: Arc::clone(&local) };
    store.parts.takes.ask(Take::Claim(ask)).await.unwrap();
    let receivers = vec![(id.to_i64(), HOST.as_bytes().to_vec(), 9)];
    let take = TakeAsk { node: store.parts.node, lane: 0, now: NOW, receivers, count: 9, local };
    assert_eq!(store.parts.dues.ask(Taking::Due(take)).await.unwrap().len(), 1);

    let first = look(&store).await;
    let strays = look(&store).await.also_in(&first);
    assert_eq!(strays, first);
    let node = store.parts.node;
    store.parts.others.run(async move |tx: &Tx<'_>| strays.give_back(tx, node).await).await.unwrap();
    assert!(look(&store).await.is_empty());
    // The task waits again as if nothing had been, the delivery is due, and what was held still is.
    let again = claim_one(&store, id).await.unwrap();
    assert_eq!((again.claim.seq, again.attempt, again.cuts), (head, 1, 0));
    assert_eq!(store.take_due(Lane::Fresh, NOW, &|_, _| 9, 9).await.unwrap().len(), 1);
    assert!(store.give_back(held.claim, crate::Back::Failed(later(5))).await.unwrap());
}

#[tokio::test]
async fn what_has_ended_or_was_put_back_is_held_no_longer() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    let id = account(&store, 1).await.unwrap();
    queue(&store, &[hooked(id, 1, "https://example.com/a"), task(id, 2)]).await.unwrap();
    let claimed = claim_one(&store, id).await.unwrap();
    store.end_task(end(Ender::Claim(claimed.claim))).await.unwrap();
    let claimed = claim_one(&store, id).await.unwrap();
    store.give_back(claimed.claim, crate::Back::Cut).await.unwrap();
    let due = store.take_due(Lane::Fresh, NOW, &|_, _| 9, 9).await.unwrap();
    store.put_back(&[due[0].seq]);
    let held = store.parts.local.held();
    assert!(held.tasks.is_empty() && held.deliveries.is_empty(), "{held:?}");
}
