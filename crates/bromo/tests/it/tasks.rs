//! docs/tasks.md, and the promises Q1 to Q3.

use std::collections::BTreeSet;
use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::key::KeyKind;
use serde_json::{Value, json};

use crate::support::{Bromo, Customer, Upstream, found, task, until};

const SHORT_SHUTDOWN: &str = "[listen]\nshutdown_ms = 50\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_accepted_answered_and_charged_without_the_surcharge() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let created = customer.create("hello", json!({ "idempotencyKey": "job-1", "priority": 3 })).await;
    assert_eq!((created.status, &created.body["success"]), (200, &json!(true)), "{created:?}");
    let task = &created.body["task"];
    assert_eq!((&task["taskType"], &task["status"]), (&json!("CHATGPT"), &json!("QUEUED")));
    assert_eq!((&task["priority"], &task["idempotencyKey"]), (&json!(3), &json!("job-1")));
    assert_eq!((&task["latencyMs"], &task["queuePosition"]), (&Value::Null, &json!(1)));
    assert_eq!(created.body["credits"], json!({ "creditsToCharge": 5, "creditsCharged": null }));
    assert_eq!((created.number("x-ratelimit-remaining"), created.slots().0), (999_999, 10));
    let id = task["id"].as_str().unwrap();
    let ended = customer.ended(id).await;
    assert_eq!(ended["task"]["status"], "COMPLETED");
    assert_eq!(ended["credits"], json!({ "creditsToCharge": 5, "creditsCharged": 5 }));
    assert!(ended["task"]["latencyMs"].is_u64() && ended.get("success").is_none());
    assert!(ended["response"]["text"].is_string(), "the bare result object: {ended}");
    assert_eq!(ended["response"]["provider"], "sandbox");
    assert!(ended.get("webhook").is_none());
    assert_eq!(bromo.account(&customer).await.balance.total(), Credits::new(37_500 - 5));
    for path in ["tasks/", "task/", "async/task/"] {
        assert_eq!(customer.get(&format!("{path}{id}")).await.body["task"]["id"], id);
    }
    assert_eq!(customer.read("job-1").await.body["task"]["id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_share_the_accounts_slots_with_calls() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    let first = customer.task("one", json!({})).await;
    let second = customer.task("two", json!({})).await;
    until("the first runs", || upstream.running() == 1).await;
    assert_eq!(customer.status(&first).await, "PROCESSING");
    assert_eq!(customer.status(&second).await, "QUEUED");
    let refused = customer.ask("three").await;
    assert_eq!((refused.code(), refused.slots()), ("CONCURRENCY_LIMIT_EXCEEDED", (1, 1, 0)));
    let status = customer.get("async/status").await;
    assert_eq!(
        status.body,
        json!({
            "queuedTasks": 1, "processingTasks": 1,
            "priorityBreakdown": [{ "priority": 1, "count": 1 }],
            "concurrency": { "used": 1, "max": 1 },
        })
    );
    upstream.release();
    assert_eq!(customer.ended(&second).await["task"]["status"], "COMPLETED");
    assert_eq!(upstream.most(), 1, "never more than the one slot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_lets_a_waiting_task_start() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    let asking = customer.clone();
    let call = tokio::spawn(async move { asking.ask("now").await });
    until("the call runs", || upstream.running() == 1).await;
    let id = customer.task("later", json!({})).await;
    assert_eq!(customer.status(&id).await, "QUEUED");
    upstream.release();
    assert_eq!(call.await.unwrap().status, 200);
    assert_eq!(customer.ended(&id).await["task"]["status"], "COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_starts_waiting_tasks_at_once() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    for number in 0..12 {
        customer.task(&format!("task {number}"), json!({})).await;
    }
    until("one runs", || upstream.running() == 1).await;
    bromo.engine().set_plan(customer.account, "lite").await.unwrap();
    until("ten run", || upstream.running() == 10).await;
    upstream.release();
    until("all have run", || upstream.begun() == 12).await;
    assert_eq!(upstream.most(), 10);
}

/// The account's charges, in their order.
async fn charged(bromo: &Bromo, customer: &Customer) -> Vec<String> {
    let entries = bromo.engine().store().list_entries(customer.account, 0, 1000).await.unwrap();
    entries.into_iter().filter_map(|entry| Some(entry.request?.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priority_goes_first_and_within_one_first_in_first_out() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    let mut ids = vec![customer.task("first", json!({})).await];
    until("the first runs", || upstream.running() == 1).await;
    for (prompt, priority) in [("a", 1), ("b", 10), ("c", 5), ("d", 10), ("e", 1)] {
        ids.push(customer.task(prompt, json!({ "priority": priority })).await);
    }
    let position = customer.read(&ids[1]).await.body["task"]["queuePosition"].as_u64().unwrap();
    assert!((4..=5).contains(&position), "an upper bound: {position}");
    upstream.release();
    customer.completes(&ids).await;
    let expected: Vec<_> = [0, 2, 4, 3, 1, 5].map(|index: usize| ids[index].clone()).to_vec();
    // One slot: what was charged first had started first.
    assert_eq!(charged(&bromo, &customer).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_a_long_queue_does_not_delay_the_first_task_of_another() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let busy = bromo.customer("lite").await;
    for _ in 0..4 {
        let batch: Vec<_> = (0..500).map(|number| task(&format!("{number}"), json!({}))).collect();
        assert_eq!(busy.post("async/task/batch", json!(batch).to_string()).await.status, 200);
    }
    until("all slots of the busy one are used", || upstream.running() == 10).await;
    let other = bromo.customer("free").await;
    let id = other.task("mine", json!({})).await;
    until("the other one's task runs too", || upstream.running() == 11).await;
    assert_eq!(other.status(&id).await, "PROCESSING");
    assert_eq!(busy.delete("async/queue").await.body, json!({ "success": true, "cleared": 1990 }));
    upstream.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_room_holds_up_its_own_tasks_alone() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before_with(&upstream, "parallel_max = 1\nline_max = 100\n");
    let customer = bromo.customer("lite").await;
    let full = [customer.task("one", json!({})).await, customer.task("two", json!({})).await];
    until("one runs", || upstream.running() == 1).await;
    let gemini = json!({ "taskType": "GEMINI" });
    let other = customer.task("three", gemini).await;
    assert_eq!(customer.ended(&other).await["task"]["status"], "COMPLETED");
    assert_eq!(customer.status(&full[1]).await, "QUEUED");
    until("a task that cannot run holds no slot", || bromo.in_use() == 1).await;
    upstream.release();
    customer.completes(&full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_keys_task_does_not_wait_for_a_live_endpoint() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before_with(&upstream, "parallel_max = 1\nline_max = 0\n");
    let customer = bromo.customer("lite").await;
    let live = [customer.task("one", json!({})).await, customer.task("two", json!({})).await];
    until("one runs", || upstream.running() == 1).await;
    let test = bromo.key(&customer, KeyKind::Test).await;
    let id = test.task("three", json!({})).await;
    assert_eq!(test.ended(&id).await["task"]["status"], "COMPLETED");
    assert_eq!(customer.status(&live[1]).await, "QUEUED");
    upstream.release();
    customer.completes(&live).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_runs_no_more_tasks_at_once_than_it_may() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before_with(&upstream, "[tasks]\nrunning_max = 3\n");
    let (one, other) = (bromo.customer("lite").await, bromo.customer("lite").await);
    let mut ids = Vec::new();
    for number in 0..4 {
        for customer in [&one, &other] {
            ids.push((customer.clone(), customer.task(&number.to_string(), json!({})).await));
        }
    }
    until("three run", || upstream.running() == 3).await;
    upstream.release();
    for (customer, id) in &ids {
        assert_eq!(customer.ended(id).await["task"]["status"], "COMPLETED");
    }
    assert_eq!(upstream.most(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_waits_in_the_queue_without_a_slot_and_succeeds_later() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let id = customer.task("[sandbox fail=broken times=2] hi", json!({})).await;
    let retried = || bromo.engine().later().counters.retried.get();
    for failures in 1..=2 {
        until("the attempt failed", || retried() == failures).await;
        until("its slot is free", || bromo.in_use() == 0).await;
        assert_eq!(customer.status(&id).await, "QUEUED");
        assert_eq!(customer.get("async/status").await.body["queuedTasks"], 1);
        bromo.advance(Duration::from_secs(60));
    }
    let ended = customer.ended(&id).await;
    assert_eq!(
        (&ended["task"]["status"], &ended["credits"]["creditsCharged"]),
        (&json!("COMPLETED"), &json!(5))
    );
    assert!(ended["task"]["latencyMs"].as_u64().unwrap() >= 60_000, "waits between attempts count: {ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_fails_after_its_last_attempt_and_costs_nothing() {
    let bromo = Bromo::with("[tasks]\nattempts_max = 3\n");
    let customer = bromo.customer("free").await;
    let id = customer.task("[sandbox fail=timeout] hi", json!({ "idempotencyKey": "k" })).await;
    for failures in 1..=2 {
        until("the attempt failed", || bromo.engine().later().counters.retried.get() == failures).await;
        bromo.advance(Duration::from_secs(60));
    }
    let ended = customer.ended(&id).await;
    assert_eq!(ended["task"]["status"], "FAILED");
    assert_eq!(ended["credits"], json!({ "creditsToCharge": 5, "creditsCharged": 0 }));
    let message = "Task failed after max retries";
    assert_eq!(
        ended["response"],
        json!({ "error": { "code": "INTERNAL_SERVER_ERROR", "message": message } })
    );
    assert_eq!(customer.create("again", json!({ "idempotencyKey": "k" })).await.status, 409);
    assert_eq!(bromo.account(&customer).await.balance.total(), Credits::new(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_no_retry_can_help_ends_the_task_at_once() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let refused = customer.ended(&customer.task("[sandbox fail=refused] hi", json!({})).await).await;
    assert_eq!(refused["response"]["error"]["code"], "INTERNAL_SERVER_ERROR");
    let invalid = customer.ended(&customer.task("[sandbox fail=typo] hi", json!({})).await).await;
    assert_eq!(invalid["response"]["error"]["code"], "VALIDATION_ERROR");
    assert_eq!(invalid["response"]["error"]["details"][0]["field"], "payload.prompt");
    assert_eq!(bromo.engine().later().counters.retried.get(), 0);
    let panicked = customer.task("[sandbox fail=panic times=1] hi", json!({})).await;
    until("the panic counts as a failed attempt", || bromo.engine().later().counters.retried.get() == 1)
        .await;
    bromo.advance(Duration::from_secs(60));
    assert_eq!(customer.ended(&panicked).await["task"]["status"], "COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_keys_at_once_make_exactly_one_task() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let creating: Vec<_> = (0..100)
        .map(|_| {
            let customer = customer.clone();
            tokio::spawn(async move { customer.create("hi", json!({ "idempotencyKey": "same" })).await })
        })
        .collect();
    let (mut made, mut refused) = (BTreeSet::new(), Vec::new());
    for reply in creating {
        let reply = reply.await.unwrap();
        match reply.status {
            200 => assert!(made.insert(reply.body["task"]["id"].as_str().unwrap().to_owned())),
            _ => refused.push(reply),
        }
    }
    assert_eq!((made.len(), refused.len()), (1, 99));
    for reply in refused {
        assert_eq!((reply.status, reply.code()), (409, "RESOURCE_ALREADY_EXISTS"));
        let details = &reply.body["error"]["details"];
        assert_eq!((&details["field"], &details["value"]), (&json!("idempotencyKey"), &json!("same")));
        assert!(made.contains(details["id"].as_str().unwrap()) && details["status"].is_string());
    }
    let other = bromo.customer("lite").await;
    assert_eq!(
        other.create("hi", json!({ "idempotencyKey": "same" })).await.status,
        200,
        "keys are an account's own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_there_is_told_even_where_another_would_not_fit_or_be_paid() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before_with(&upstream, "[limits]\nqueued_tasks_max = 1\n[prices]\nchatgpt = 300\n");
    let customer = bromo.customer("free").await; // 500 credits.
    customer.task("runs", json!({ "idempotencyKey": "one" })).await;
    until("it runs", || upstream.running() == 1).await;
    customer.task("waits", json!({ "idempotencyKey": "two" })).await;
    assert_eq!(
        customer.create("again", json!({ "idempotencyKey": "two" })).await.status,
        409,
        "the queue is full"
    );
    upstream.release();
    customer.ended("one").await;
    customer.ended("two").await; // Failed: 200 credits are left.
    assert_eq!(customer.create("again", json!({ "idempotencyKey": "one" })).await.status, 409);
    assert_eq!(customer.create("new", json!({})).await.code(), "INSUFFICIENT_CREDITS");
    let batch = json!([
        task("again", json!({ "idempotencyKey": "one" })),
        task("new", json!({ "taskType": "GEMINI" })),
    ]);
    let reply = customer.post("async/task/batch", batch.to_string()).await;
    let results = &reply.body["results"];
    assert_eq!(results[0]["error"]["code"], "RESOURCE_ALREADY_EXISTS");
    assert_eq!(results[1]["success"], true, "a key that is taken uses up no balance: {results}");
    customer.ended(results[1]["task"]["id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_succeeds_item_by_item_in_order() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let batch = json!([
        task("one", json!({ "idempotencyKey": "k" })),
        { "taskType": "CHATGPT", "payload": { "prompt": "", "country": "US" } },
        task("two", json!({ "idempotencyKey": "k" })),
        task("three", json!({})),
    ]);
    let reply = customer.post("async/task/batch", batch.to_string()).await;
    assert_eq!((reply.status, &reply.body["success"]), (200, &json!(true)), "{reply:?}");
    assert_eq!(reply.body["summary"], json!({ "total": 4, "succeeded": 2, "failed": 2 }));
    let results = reply.body["results"].as_array().unwrap();
    for (index, (result, good)) in results.iter().zip([true, false, false, true]).enumerate() {
        assert_eq!((&result["index"], &result["success"]), (&json!(index), &json!(good)), "{result}");
    }
    assert_eq!(results[1]["error"]["code"], "VALIDATION_ERROR");
    assert_eq!(results[1]["error"]["message"], "Invalid task at index 1");
    assert_eq!(results[1]["error"]["details"]["errors"][0]["field"], "payload.prompt");
    assert_eq!(results[2]["error"]["code"], "RESOURCE_ALREADY_EXISTS");
    for index in [0, 3] {
        let id = results[index]["task"]["id"].as_str().unwrap();
        assert_eq!(customer.ended(id).await["task"]["status"], "COMPLETED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_an_array_of_1_to_500() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let many = |count: usize| json!((0..count).map(|n| task(&n.to_string(), json!({}))).collect::<Vec<_>>());
    for bad in [json!([]), many(501), json!({}), json!("x"), task("one", json!({}))] {
        let reply = customer.post("async/task/batch", bad.to_string()).await;
        assert_eq!((reply.status, reply.code()), (400, "VALIDATION_ERROR"));
    }
    let reply = customer.post("task/batch", many(500).to_string()).await;
    assert_eq!(reply.body["summary"], json!({ "total": 500, "succeeded": 500, "failed": 0 }));
    customer.delete("async/queue").await;
    until("nothing runs", || bromo.in_use() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_are_followed_task_by_task_within_a_batch() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await; // 500 credits: a hundred tasks.
    let batch: Vec<_> = (0..102).map(|number| task(&number.to_string(), json!({}))).collect();
    let reply = customer.post("async/task/batch", json!(batch).to_string()).await;
    assert_eq!(reply.body["summary"], json!({ "total": 102, "succeeded": 100, "failed": 2 }));
    assert_eq!(reply.body["results"][101]["error"]["code"], "INSUFFICIENT_CREDITS");
    customer.delete("async/queue").await;
    upstream.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_takes_a_batch_whole_or_not_at_all() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before_with(&upstream, "[limits]\nqueued_tasks_max = 5\n");
    let customer = bromo.customer("free").await;
    customer.task("runs", json!({})).await;
    until("it runs", || upstream.running() == 1).await;
    let many = |count: usize| json!((0..count).map(|n| task(&n.to_string(), json!({}))).collect::<Vec<_>>());
    assert_eq!(customer.post("async/task/batch", many(3).to_string()).await.status, 200);
    let refused = customer.post("async/task/batch", many(3).to_string()).await;
    assert_eq!((refused.status, refused.code()), (429, "QUEUE_LIMIT_EXCEEDED"));
    let details = &refused.body["error"]["details"];
    assert_eq!(
        (&details["limit"], &details["queuedCount"], &details["remainingCapacity"]),
        (&json!(5), &json!(3), &json!(2))
    );
    assert!(refused.number("retry-after") >= 1);
    assert_eq!(customer.post("async/task/batch", many(2).to_string()).await.status, 200);
    assert_eq!(customer.create("one more", json!({})).await.code(), "QUEUE_LIMIT_EXCEEDED");
    assert_eq!(customer.delete("async/queue").await.body["cleared"], 5);
    assert_eq!(customer.delete("async/queue").await.body["cleared"], 0);
    assert_eq!(customer.create("fits", json!({})).await.status, 200);
    customer.delete("async/queue").await;
    upstream.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_the_queue_leaves_what_runs_and_frees_keys() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    let running = customer.task("runs", json!({})).await;
    until("it runs", || upstream.running() == 1).await;
    let waiting = customer.task("waits", json!({ "idempotencyKey": "k" })).await;
    assert_eq!(customer.delete("async/queue").await.body, json!({ "success": true, "cleared": 1 }));
    assert_eq!(customer.read(&waiting).await.code(), "RESOURCE_NOT_FOUND");
    let again = customer.task("waits again", json!({ "idempotencyKey": "k" })).await;
    upstream.release();
    customer.completes(&[running, again]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_cancelled_by_its_state() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    let running = customer.task("runs", json!({})).await;
    until("it runs", || upstream.running() == 1).await;
    let waiting = customer.task("waits", json!({ "idempotencyKey": "k" })).await;
    // Queued: deleted.
    let deleted = customer.delete("async/task/k").await;
    assert_eq!((deleted.status, &deleted.body["task"]["id"]), (200, &json!(waiting)));
    assert_eq!(customer.read(&waiting).await.status, 404);
    // Processing: cut, failed, free.
    let cut = customer.delete(&format!("async/task/{running}")).await;
    assert_eq!((cut.status, &cut.body["task"]["status"]), (200, &json!("FAILED")), "{cut:?}");
    assert_eq!(cut.body["response"]["error"]["code"], "REQUEST_CANCELED");
    assert_eq!(cut.body["credits"]["creditsCharged"], 0);
    until("the provider's socket is closed and the slot free", || {
        upstream.running() == 0 && bromo.in_use() == 0
    })
    .await;
    // Final: too late.
    let late = customer.delete(&format!("async/task/{running}")).await;
    assert_eq!((late.status, late.code()), (409, "RESOURCE_CONFLICT"));
    assert_eq!(late.body["error"]["details"]["status"], "FAILED");
    assert_eq!(customer.delete("async/task/unknown").await.status, 404);
    assert_eq!(bromo.account(&customer).await.balance.total(), Credits::new(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_account_cannot_pay_fails_before_it_starts() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await; // 500 credits, one slot.
    let batch: Vec<_> = (0..60).map(|number| task(&number.to_string(), json!({}))).collect();
    for _ in 0..2 {
        // Each batch is covered by the balance; both together are not.
        let reply = customer.post("async/task/batch", json!(batch).to_string()).await;
        assert_eq!(reply.body["summary"]["succeeded"], 60);
    }
    upstream.release();
    until("all have ended", || {
        let counters = &bromo.engine().later().counters;
        counters.completed.get() + counters.failed.get() == 120
    })
    .await;
    assert_eq!(bromo.engine().later().counters.completed.get(), 100);
    let failed = customer.get("async/tasks?status=FAILED").await;
    assert_eq!(failed.body["tasks"].as_array().unwrap().len(), 20);
    let id = failed.body["tasks"][0]["task"]["id"].as_str().unwrap();
    let failed = customer.read(id).await.body;
    assert_eq!(failed["response"]["error"]["code"], "INSUFFICIENT_CREDITS");
    assert_eq!(
        (&failed["task"]["latencyMs"], &failed["credits"]["creditsCharged"]),
        (&Value::Null, &json!(0))
    );
    assert_eq!(bromo.account(&customer).await.balance.total(), Credits::ZERO);
    assert_eq!(customer.create("broke", json!({})).await.code(), "INSUFFICIENT_CREDITS");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_newest_first_page_by_page_and_filtered() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let more = if number % 2 == 0 { json!({}) } else { json!({ "taskType": "GEMINI" }) };
        ids.push(customer.task(&number.to_string(), more).await);
        bromo.advance(Duration::from_millis(5));
    }
    for id in &ids {
        customer.ended(id).await;
    }
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = customer.get(&format!("async/tasks?limit=2{cursor}")).await.body;
        let tasks = page["tasks"].as_array().unwrap();
        listed.extend(tasks.iter().map(|task| task["task"]["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    ids.reverse();
    assert_eq!(listed, ids);
    let gemini = customer.get("async/tasks?taskType=GEMINI&status=COMPLETED").await.body;
    assert_eq!(gemini["tasks"].as_array().unwrap().len(), 2);
    let bad = customer.get("async/tasks?status=done&limit=0&taskType=x&cursor=y").await;
    assert_eq!(bad.body["error"]["details"].as_array().unwrap().len(), 4);
    let other = bromo.customer("lite").await;
    assert_eq!(other.get("async/tasks").await.body, json!({ "tasks": [], "nextCursor": null }));
    assert_eq!(other.read(&ids[0]).await.status, 404);
    assert_eq!(other.delete(&format!("async/task/{}", ids[0])).await.status, 404);
    assert_eq!(other.get(&format!("async/task/{}/deliveries", ids[0])).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_task_and_its_key_are_gone_after_a_day() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let id = customer.task("hi", json!({ "idempotencyKey": "k" })).await;
    customer.ended(&id).await;
    bromo.advance(Duration::from_secs(86_399));
    bromo.engine().expire().await.unwrap();
    assert_eq!(customer.read(&id).await.status, 200);
    bromo.advance(Duration::from_secs(2));
    bromo.engine().expire().await.unwrap();
    let gone = customer.read(&id).await;
    assert_eq!((gone.status, &gone.body["error"]["details"]), (404, &json!({ "id": id })));
    assert_eq!(customer.create("hi", json!({ "idempotencyKey": "k" })).await.status, 200);
    until("it has run", || bromo.engine().later().counters.completed.get() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_keys_task_is_answered_by_the_sandbox_for_nothing() {
    let bromo = Bromo::bare();
    let customer = bromo.customer("free").await;
    let live = customer.create("hi", json!({})).await;
    assert_eq!((live.status, live.code()), (503, "SERVICE_UNAVAILABLE"));
    assert!(live.body["error"]["message"].as_str().unwrap().contains("endpoints.chatgpt.provider"));
    let test = bromo.key(&customer, KeyKind::Test).await;
    let ended = test.ended(&test.task("hi", json!({})).await).await;
    assert_eq!(ended["credits"], json!({ "creditsToCharge": 0, "creditsCharged": 0 }));
    assert_eq!(ended["response"]["provider"], "sandbox");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_hands_running_tasks_back_and_the_next_start_runs_them() {
    let upstream = Upstream::holding().await;
    let mut bromo = Bromo::before_with(&upstream, SHORT_SHUTDOWN);
    let customer = bromo.customer("lite").await;
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(customer.task(&number.to_string(), json!({})).await);
    }
    until("ten run", || upstream.running() == 10).await;
    bromo.restart();
    assert_eq!(bromo.engine().store().recovered(), 0, "they were handed back, not found");
    let customer = bromo.again(&customer);
    until("they run again", || upstream.begun() >= 20).await;
    upstream.release();
    customer.completes(&ids).await;
    assert_eq!(bromo.account(&customer).await.balance.total(), Credits::new(37_500 - 12 * 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_leaves_a_log_line_of_the_later_way() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let id = customer.task("[sandbox fail=broken times=1] hi", json!({})).await;
    until("the attempt failed", || bromo.engine().later().counters.retried.get() == 1).await;
    bromo.advance(Duration::from_secs(60));
    customer.ended(&id).await;
    let lines = found("both lines", async || {
        let mut lines = crate::admin::log_lines(&bromo, &customer).await;
        lines.retain(|line| line["request"] == id);
        (lines.len() == 2).then_some(lines)
    })
    .await;
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["way"].as_str().unwrap(),
                line["status"].as_u64().unwrap(),
                line["attempts"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [("later", 200, 2), ("later", 500, 1)]);
    assert_eq!(lines[0]["route"], "monitor/chatgpt");
}
