//! Decisions on a real Redis, 50 callers in one process, beside an empty script over the same kind of connection.
//!
//! To reach (design section 10): 40,000 decisions/s, half of the empty script's rate, one round trip and 10 µs of Redis' CPU
//! a decision. An admitted call is two scripts: its decision and its release.
//!
//! `cargo bench -p bromo-admission --bench redis -- [SECONDS]`
#![expect(clippy::print_stdout, reason = "it reports")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bromo_admission::redis::{Redis, Settings};
use bromo_admission::{Admission, Ask, Decision, Facts, RouteIndex, Want};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, NodeId};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;

const CALLERS: u64 = 50;
const ACCOUNTS: u64 = 1000;
const THREADS: u64 = 2;
const ROUNDS: usize = 3;

fn ask(account: u64, slot: bool) -> Ask {
    let now = Timestamp::from_millis(1_760_000_000_000);
    let account = AccountId::from_random(account);
    Ask {
        facts: Facts { account, version: 1, slots: 100, balance: Credits::MAX, ledger_seq: 1 },
        key: KeyId::from_random(2),
        route: RouteIndex::new(3),
        rate: Limit { requests: u32::MAX },
        now,
        want: slot.then_some(Want { hold: Credits::new(7), usually_ends: now.plus(Duration::from_secs(3)) }),
    }
}

/// What the callers do, again and again.
#[derive(Clone)]
enum Work {
    Empty(redis::aio::MultiplexedConnection, String),
    Count(Arc<Redis>),
    AdmitAndRelease(Arc<Redis>),
    Refuse(Arc<Redis>),
}

impl Work {
    async fn once(&mut self, account: u64) {
        match self {
            Self::Empty(connection, sha) => {
                let mut cmd = redis::cmd("EVALSHA");
                cmd.arg(&*sha).arg(0);
                let _: i64 = cmd.query_async(connection).await.expect("Redis is there");
            }
            Self::Count(redis) => {
                let decision = redis.admit(&ask(account, false)).await;
                assert!(matches!(decision, Ok(Decision::Counted(_))), "{decision:?}");
            }
            Self::AdmitAndRelease(redis) => match redis.admit(&ask(account, true)).await {
                Ok(Decision::Admitted(_, permit)) => permit.release(None).await,
                other => panic!("not admitted: {other:?}"),
            },
            Self::Refuse(redis) => {
                let decision = redis.admit(&ask(ACCOUNTS, true)).await;
                assert!(matches!(decision, Ok(Decision::Denied(..))), "{decision:?}");
            }
        }
    }
}

struct Figures {
    per_second: f64,
    p50_us: u64,
    p99_us: u64,
}

/// Callers on two threads with a runtime each, as bromo's API threads are.
fn measure(work: &Work, seconds: u64) -> Figures {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (work, stop, done) = (work.clone(), Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || {
                runtime().block_on(async move {
                    let callers = (0..CALLERS / THREADS).map(|caller| {
                        let (mut work, stop, done) = (work.clone(), Arc::clone(&stop), Arc::clone(&done));
                        tokio::spawn(async move {
                            let (mut took, mut turn) = (Vec::new(), thread * 7919 + caller * 104_729);
                            while !stop.load(Ordering::Relaxed) {
                                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                                let began = Instant::now();
                                work.once((turn >> 33) % ACCOUNTS).await;
                                took.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                            took
                        })
                    });
                    let mut took = Vec::new();
                    for caller in callers.collect::<Vec<_>>() {
                        took.extend(caller.await.expect("no caller panics"));
                    }
                    took
                })
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(seconds));
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let per_second = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let mut took: Vec<u64> =
        threads.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect();
    took.sort_unstable();
    Figures { per_second, p50_us: took[took.len() / 2], p99_us: took[took.len() * 99 / 100] }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Redis' CPU in µs and scripts so far.
fn spent(server: &bromo_testbed::Redis) -> (f64, f64) {
    let info = |section: &str| server.command(&["INFO", section]).expect("Redis is there");
    let (cpu, stats) = (info("cpu"), info("commandstats"));
    let number = |text: &str, name: &str, end: char| -> f64 {
        let from = text.find(name).map(|at| &text[at + name.len()..]);
        from.and_then(|rest| rest.split(end).next())
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or(0.0)
    };
    let seconds = number(&cpu, "used_cpu_sys:", '\n') + number(&cpu, "used_cpu_user:", '\n');
    (
        seconds * 1e6,
        number(&stats, "cmdstat_evalsha:calls=", ',') + number(&stats, "cmdstat_fcall:calls=", ','),
    )
}

fn main() {
    let seconds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(4);
    let server = bromo_testbed::Redis::start().expect("the bench needs Redis");
    let node = NodeId::from_random(1);
    let settings = Settings::new(
        server.url(),
        node,
        Arc::new(move || Box::pin(async move { Ok(vec![node]) })),
        Arc::new(|account| Box::pin(async move { Ok(Some(Facts { account, ..ask(0, false).facts })) })),
    );
    let admission = Redis::open(settings).expect("good settings");
    let home = runtime();
    let (connection, sha) = home.block_on(async {
        admission.ready().await.expect("Redis will do");
        for account in 0..=ACCOUNTS {
            let slots = if account == ACCOUNTS { 1 } else { 100 };
            admission.open(Facts { slots, ..ask(account, false).facts }).await.expect("Redis is there");
        }
        let client = redis::Client::open(server.url()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
        let load = redis::cmd("SCRIPT").arg("LOAD").arg("return 1").query_async(&mut connection).await;
        (connection, load.expect("it is loaded"))
    });
    // The empty script's connection lives on a thread of its own too.
    std::thread::spawn(move || home.block_on(std::future::pending::<()>()));
    let filling = runtime().block_on(admission.admit(&ask(ACCOUNTS, true)));
    let works = [
        ("empty script", 1.0, Work::Empty(connection, sha)),
        ("rate alone", 1.0, Work::Count(Arc::clone(&admission))),
        ("admit and release", 2.0, Work::AdmitAndRelease(Arc::clone(&admission))),
        ("refused for slots", 1.0, Work::Refuse(Arc::clone(&admission))),
    ];
    println!("{CALLERS} callers, {ACCOUNTS} accounts, medians of {ROUNDS} rounds of {seconds} s");
    println!(
        "| what | per second | scripts/s | of the empty script | p50 / p99 us | scripts each | Redis CPU us a script |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut empty = 0.0;
    let mut rounds: Vec<Vec<(Figures, f64, f64)>> = works.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((_, _, work), rounds) in works.iter().zip(&mut rounds) {
            let (cpu, scripts) = spent(&server);
            let figures = measure(work, seconds);
            let (cpu_after, scripts_after) = spent(&server);
            let scripts = scripts_after - scripts;
            rounds.push((figures, scripts, (cpu_after - cpu) / scripts));
        }
    }
    for ((name, each, _), rounds) in works.iter().zip(&mut rounds) {
        rounds.sort_by(|one, other| one.0.per_second.total_cmp(&other.0.per_second));
        let (figures, scripts, cpu_us) = &rounds[ROUNDS / 2];
        let rate = figures.per_second * each;
        if *name == "empty script" {
            empty = rate;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let each = scripts / (figures.per_second * seconds as f64);
        println!(
            "| {name} | {:.0} | {rate:.0} | {:.2} | {} / {} | {each:.2} | {cpu_us:.1} |",
            figures.per_second,
            rate / empty,
            figures.p50_us,
            figures.p99_us,
        );
    }
    drop(filling);
}
