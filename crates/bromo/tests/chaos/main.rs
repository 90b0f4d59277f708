//! Three nodes, PostgreSQL, Redis and many clients; a seeded schedule of everything that can go wrong; a history of all
//! that was observed; and a checker over it. Anyone can run it: `make chaos`, or for a night
//! `make chaos LENGTH=28800 SEED=7`.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]
#![expect(clippy::print_stdout, reason = "says what it does, and the seed to repeat it with")]

mod checker;
mod clients;
mod cluster;
#[path = "../faults/mod.rs"]
mod faults;
mod history;
mod node;
mod operator;
mod provider;
mod recorder;
mod schedule;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures_util::future::join_all;

use crate::clients::{Clients, Customer};
use crate::cluster::{Cluster, NODES, POOR, POOR_SLOTS, plan_of};
use crate::faults::receiver::{Post, Receiver};
use crate::history::{History, LinkState, Opening, What};
use crate::operator::Operator;
use crate::provider::Provider;
use crate::recorder::Recorder;
use crate::schedule::{Act, Step};

/// For every task to end and every webhook to be told, once all is well.
const REST: Duration = Duration::from_secs(90);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(100);
/// Faults that are shown with their slice of history.
const SHOWN_MAX: usize = 5;

/// Hurts three nodes and their servers and checks that every promise held.
#[derive(Parser)]
struct Arguments {
    /// How long things go wrong
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Of every random choice here; the order of what happens at once is the machine's
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the history and what the nodes said also if all is well
    #[arg(long)]
    keep: bool,
    /// What `cargo test` passes on to every test binary is not for this one
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

fn main() -> ExitCode {
    let Arguments { seconds, seed, keep: is_kept, .. } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let history = runtime.block_on(run(folder.path(), Duration::from_secs(seconds), seed));
    let faults = checker::check(&history);
    if is_kept || !faults.is_empty() {
        keep(folder.path(), &history, seed);
    }
    for (number, fault) in faults.iter().enumerate() {
        let at = fault.at.map_or_else(String::new, |at| format!(" at {:.4}", at.as_secs_f64()));
        println!("FAULT{at}: {}", fault.words);
        if number < SHOWN_MAX {
            println!("{}", checker::slice(&history, fault));
        }
    }
    let verdict = if faults.is_empty() { "ok. 1 passed; 0 failed" } else { "FAILED. 0 passed; 1 failed" };
    let calls = history.events.iter().filter(|event| matches!(event.what, What::CallBegan { .. })).count();
    println!("{calls} provider calls in {} events", history.events.len());
    println!("test result: {verdict} (chaos, {seconds} s, seed {seed})");
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Who calls, and with how many clients.
const CUSTOMERS: [(&str, u32, usize, usize); 4] =
    [("steady", 2, 4, 2), ("changing", 4, 6, 2), (POOR, POOR_SLOTS, 2, 1), ("asking", 3, 6, 0)];
const CHANGING: usize = 1;
const POOR_ONE: usize = 2;

async fn run(folder: &Path, length: Duration, seed: u64) -> History {
    let mut random = fastrand::Rng::with_seed(seed);
    let recorder = Arc::new(Recorder::start());
    let provider = Provider::start(Arc::clone(&recorder), random.fork()).await;
    let receiver = Receiver::start(random.fork(), hear(&recorder)).await;
    let cluster = Arc::new(Cluster::start(folder, &provider, Arc::clone(&recorder)).await);
    let mut customers = Vec::new();
    for (name, slots, askers, submitters) in CUSTOMERS {
        let plan = if name == POOR { POOR.to_owned() } else { plan_of(slots) };
        let account = cluster.create_account(name, &plan).await;
        customers.push(Customer { account, askers, submitters });
    }
    receiver.knows(&customers.iter().map(|customer| customer.account.clone()).collect::<Vec<_>>());
    let clients = Clients::new(Arc::clone(&cluster), customers, Arc::clone(&recorder), receiver.url());
    let mut operator = Operator::new(Arc::clone(&clients), Arc::clone(&recorder));

    let steps = schedule::schedule(&mut random, length);
    for Step { at, lasts, act } in &steps {
        println!("{:>7.2} s: {act:?} for {:.2} s", at.as_secs_f64(), lasts.as_secs_f64());
    }
    let running = clients.start(&mut random);
    // All in this one future, and so on the main thread: nodes end with the thread that started them.
    let all = join_all(steps.iter().map(|step| act(&cluster, *step)));
    let mut operators_random = random.fork();
    let hurting = async {
        tokio::join!(all, operator.work(length, CHANGING, POOR_ONE, &mut operators_random));
        recorder.record(What::Healed);
    };
    let supervising = join_all(cluster.nodes.iter().map(node::Node::supervise));
    tokio::pin!(supervising);
    tokio::select! {
        () = hurting => {}
        _ = &mut supervising => unreachable!("it never ends"),
    }
    println!("healed; {} tasks acknowledged", clients.acknowledged());
    clients.stop();
    provider.behave();
    receiver.behave();
    tokio::select! {
        () = rest(&cluster, &clients, &mut operator, &recorder, running) => {}
        _ = supervising => unreachable!("it never ends"),
    }
    for account in 0..CUSTOMERS.len() {
        operator.read_books(account).await;
    }
    for name in ["bromo_charges_short_total", "bromo_slot_repairs_total"] {
        println!("{name}: {:?}", cluster.figure(name).await);
    }
    join_all(cluster.nodes.iter().map(node::Node::end)).await;
    let accounts = CUSTOMERS.map(|(name, slots, ..)| Opening { name, slots }).to_vec();
    History { accounts, events: recorder.events() }
}

/// All that is left to be done once nothing goes wrong any more.
async fn rest(
    cluster: &Cluster,
    clients: &Arc<Clients>,
    operator: &mut Operator,
    recorder: &Recorder,
    running: Vec<tokio::task::JoinHandle<()>>,
) {
    let deadline = tokio::time::Instant::now() + REST;
    cluster.all_ready().await;
    let slots = CUSTOMERS[CHANGING].1;
    let in_time = || tokio::time::Instant::now() < deadline;
    while in_time() && !operator.set_plan(0, CHANGING, slots).await {
        tokio::time::sleep(AGAIN).await;
    }
    while in_time() && !operator.grant_plenty(1, POOR_ONE).await {
        tokio::time::sleep(AGAIN).await;
    }
    for client in running {
        client.await.unwrap();
    }
    let probes = join_all((0..CUSTOMERS.len()).map(async |account| {
        let slots = CUSTOMERS[account].1;
        let mut node = 0;
        while !clients.is_drained(node % NODES, account).await && tokio::time::Instant::now() < deadline {
            node += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        recorder.record(What::Drained { account });
        while tokio::time::Instant::now() < deadline {
            let answered = clients.probe(account, slots).await;
            recorder.record(What::Probed { account, slots, answered });
            if answered == slots {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }));
    clients.settle(deadline).await;
    probes.await;
    clients.read_all(deadline).await;
}

async fn act(cluster: &Cluster, Step { at, lasts, act }: Step) {
    tokio::time::sleep(at).await;
    match act {
        Act::Kill(node) => {
            cluster.nodes[node].kill();
            tokio::time::sleep(lasts).await;
            cluster.nodes[node].start().await;
        }
        Act::Freeze(node) => {
            cluster.nodes[node].freeze();
            tokio::time::sleep(lasts).await;
            cluster.nodes[node].wake();
        }
        Act::Restart(node) => {
            cluster.nodes[node].end().await;
            cluster.nodes[node].start().await;
        }
        Act::Link(node, link, state) => {
            cluster.nodes[node].set(link, state);
            tokio::time::sleep(lasts).await;
            cluster.nodes[node].set(link, LinkState::Whole);
        }
        Act::Redis => cluster.restart_redis(lasts).await,
        Act::EmptyRedis => cluster.empty_redis().await,
        Act::Postgres => cluster.restart_postgres(lasts).await,
    }
}

fn hear(recorder: &Arc<Recorder>) -> faults::receiver::Hear {
    let recorder = Arc::clone(recorder);
    Box::new(move |Post { body, signed_by, taken }| {
        let task = body["task"]["id"].as_str().unwrap_or_default().to_owned();
        recorder.record(What::Posted { task, signed_by, taken, end: clients::end(&body) });
    })
}

/// Keeps the whole history and what the nodes said, for who looks for the reason.
fn keep(folder: &Path, history: &History, seed: u64) {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
    drop(std::fs::remove_dir_all(&kept));
    std::fs::create_dir_all(&kept).unwrap();
    let lines: String = history.events.iter().map(|event| format!("{event}\n")).collect();
    std::fs::write(kept.join("history"), lines).unwrap();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), kept.join(entry.file_name())).unwrap();
        }
    }
    println!("history and logs: {}", kept.display());
}
