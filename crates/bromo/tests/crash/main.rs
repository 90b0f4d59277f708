//! kill -9 at random moments under submits, runs and deliveries, again and again; then a checker over what clients,
//! provider and receiver recorded. Anyone can run it: `make crash-test`, or with more rounds
//! `cargo test -p bromo --test crash -- --rounds 100 --seed 7`.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]
#![expect(clippy::print_stdout, reason = "says what it does, and the seed to repeat it with")]

mod checker;
mod client;
#[path = "../faults/mod.rs"]
mod faults;
mod process;
mod provider;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;

use crate::client::Clients;
use crate::faults::receiver::{Post, Receiver};
use crate::faults::wire::Account;
use crate::process::Process;
use crate::provider::Provider;

/// Slots of each account: plan lite.
const SLOTS: u32 = 10;
/// Clients of each account.
const CLIENTS: usize = 4;

/// Ends and starts a server at random moments and checks that nothing was lost, doubled or overdrawn.
#[derive(Parser)]
struct Arguments {
    /// Ends of the server
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Of every random choice here; the moments themselves are the machine's
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What `cargo test` passes on to every test binary is not for this one
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let faults = runtime.block_on(run(arguments.rounds, arguments.seed));
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    let verdict = if faults.is_empty() { "ok. 1 passed; 0 failed" } else { "FAILED. 0 passed; 1 failed" };
    println!("test result: {verdict} (crash test, {} rounds, seed {})", arguments.rounds, arguments.seed);
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(rounds: u32, seed: u64) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let posts: Arc<Mutex<Vec<Post>>> = Arc::default();
    let hear = {
        let posts = Arc::clone(&posts);
        Box::new(move |post| posts.lock().unwrap().push(post))
    };
    let (provider, receiver) =
        (Provider::start(random.fork()).await, Receiver::start(random.fork(), hear).await);
    process::write_settings(folder.path(), &provider.base_url());
    let mut accounts: Vec<Account> = Vec::new();
    let clients = Arc::new(Clients::new(receiver.url()));
    for round in 1..=rounds {
        let process = Process::start(folder.path()).await;
        if accounts.is_empty() {
            for name in ["one", "two"] {
                accounts.push(process.create_account(folder.path(), name).await);
            }
            receiver.knows(&accounts);
        }
        let running = clients.start(&process, &accounts, CLIENTS, &mut random);
        tokio::time::sleep(Duration::from_millis(random.u64(50..900))).await;
        // One end in four is a gentle one.
        let gently = random.u8(..4) == 0;
        process.end(gently);
        for client in running {
            client.await.unwrap();
        }
        println!("round {round}: {} acknowledged", clients.acknowledged());
    }
    provider.behave();
    receiver.behave();
    let process = Process::start(folder.path()).await;
    // What was sent when the server died is asked for once more: a key tells whether it was taken.
    clients.settle(&process, &accounts).await;
    process.rest(&accounts, clients.acknowledged()).await;
    let tasks = clients.read_all(&process, &accounts).await;
    process.end(true);
    let posts = posts.lock().unwrap().clone();
    checker::check(&checker::History {
        folder: folder.path(),
        accounts: &accounts,
        tasks: &tasks,
        answered: &clients.answered(),
        calls: &provider.calls(),
        posts: &posts,
        slots: SLOTS,
    })
    .await
}
