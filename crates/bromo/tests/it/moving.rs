//! docs/scale-out.md: what one process served from its folder, several serve over PostgreSQL once it was moved.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Bromo, Cluster, Upstream, in_shared_servers};

/// What a call costs here, and a task.
const PRICES: (i64, i64) = (7, 5);

/// `bromo move`, told by the environment where to.
fn move_from(data: &Path, cluster: &Cluster) -> Output {
    let from = format!("sqlite://{}", data.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_bromo"));
    command.args(["move", "--json", "--from", &from]);
    command.env("BROMO__STORE__URL", cluster.store_url());
    command.env("BROMO__ADMISSION__URL", cluster.redis.url());
    tokio::task::block_in_place(|| command.output()).unwrap()
}

#[track_caller]
fn assert_refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(why), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_was_moved_goes_on_with_its_keys_balances_and_tasks() {
    if in_shared_servers() {
        return; // There is no folder then.
    }
    let upstream = Upstream::start().await;
    let mut cluster = Cluster::before(&upstream, 0, "").await;
    let mut bromo = Bromo::with("[listen]\nshutdown_ms = 100\n");
    let customer = bromo.customer("free").await;
    assert_eq!(customer.ask("x").await.status, 200);
    // They take too long here: some run when the process ends, the others wait.
    let mut tasks = Vec::new();
    for number in 0..12 {
        let key = json!({ "idempotencyKey": format!("key {number}") });
        tasks.push(customer.task("[sandbox latency_ms=200000] x", key).await);
    }
    assert_refused(&move_from(&bromo.data(), &cluster), "in use by another process");
    bromo.end();
    std::fs::copy(bromo.data().join("seal-key"), cluster.folder().join("seal-key")).unwrap();
    let moved = move_from(&bromo.data(), &cluster);
    assert!(moved.status.success(), "{moved:?}");
    let said: Value = serde_json::from_slice(&moved.stdout).unwrap();
    let rows = |part: &str| {
        let figures = said["figures"].as_array().unwrap().iter();
        let of = figures.filter(|figure| figure["part"] == part && figure["name"] == "rows");
        of.map(|figure| figure["target"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((&said["whole"], rows("accounts"), rows("queued tasks")), (&json!(true), vec![1], vec![12]));

    cluster.add("");
    let customer = cluster.at(0, &customer);
    customer.completes(&tasks).await;
    let credits = customer.get("credits").await;
    assert_eq!(credits.body["remaining"], json!(500 - PRICES.0 - PRICES.1 * 12), "{credits:?}");
    let again = customer.create("x", json!({ "idempotencyKey": "key 3" })).await;
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(customer.ask("x").await.status, 200);
    assert_refused(&move_from(&bromo.data(), &cluster), "already");
}
