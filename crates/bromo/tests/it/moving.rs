//! docs/scale-out.md: what one process served from its folder, several serve over PostgreSQL once it was moved.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Bromo, Cluster, Upstream, in_shared_servers};

/// What a call costs here, and a task.
const PRICES: (i64, i64) = (7, 5);
const KILLED_LATER: Duration = Duration::from_millis(10);

/// `bromo move`, told by the environment where to.
fn command(data: &Path, cluster: &Cluster) -> Command {
    let from = format!("sqlite://{}", data.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_bromo"));
    command.args(["move", "--json", "--from", &from]);
    command.env("BROMO__STORE__URL", cluster.store_url());
    command.env("BROMO__ADMISSION__URL", cluster.redis.url());
    command
}

fn move_from(data: &Path, cluster: &Cluster) -> Output {
    tokio::task::block_in_place(|| command(data, cluster).output()).unwrap()
}

/// Begins it again and again, and kills it each time a little later, until it has ended before that.
async fn move_under_fire(data: &Path, cluster: &Cluster) -> Output {
    for killed in 0.. {
        let mut moving =
            command(data, cluster).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        tokio::time::sleep(KILLED_LATER * killed).await;
        moving.kill().unwrap();
        let output = moving.wait_with_output().unwrap();
        if output.status.code().is_some() {
            assert!(killed > 2, "it was killed {killed} times");
            return output;
        }
    }
    unreachable!("it ends some day")
}

#[track_caller]
fn assert_refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(why), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_move_that_was_killed_again_and_again_keys_balances_and_tasks_go_on() {
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
    let moved = move_under_fire(&bromo.data(), &cluster).await;
    let was_killed_at_its_end = String::from_utf8_lossy(&moved.stderr).contains("already");
    assert!(moved.status.success() || was_killed_at_its_end, "{moved:?}");
    if moved.status.success() {
        let said: Value = serde_json::from_slice(&moved.stdout).unwrap();
        let rows = |part: &str| {
            let figures = said["figures"].as_array().unwrap().iter();
            let of = figures.filter(|figure| figure["part"] == part && figure["name"] == "rows");
            of.map(|figure| figure["target"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(
            (&said["whole"], rows("accounts"), rows("queued tasks")),
            (&json!(true), vec![1], vec![12])
        );
    }

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
