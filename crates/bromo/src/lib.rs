//! The program: wiring from top to bottom. Tests start it the same way as `main`.

mod admin;
mod catalog;
pub mod clock;
pub mod command;
pub mod config;
mod deployment;
mod later;
mod listener;
mod metrics;
mod nodes;
mod pages;
mod playground;
mod secret_file;
mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use bromo_api::{Api, BodyBudget, BodyLimits};
use bromo_engine::seal::Seal;
use bromo_engine::webhook_test::Tester;
use bromo_engine::{Engine, Parts, Settings};
use bromo_providers::client::Target;
use bromo_providers::gate::Gate;
use bromo_providers::webhook::Sender;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Clock;
use bromo_rules::window::Limit;
use bromo_store::{Logs, Store};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::deployment::Opened;
use crate::nodes::Node;
use crate::playground::Playground;

pub use crate::nodes::Broken;

/// A bromo that runs.
pub struct Running {
    /// Where customers call.
    pub api: SocketAddr,
    /// Where operators call.
    pub admin: SocketAddr,
    /// What answers them.
    pub engine: Arc<Engine>,
    /// The load balancer is told to look elsewhere.
    draining: CancellationToken,
    stop: CancellationToken,
    /// Those that serve the API, run tasks and send deliveries.
    threads: Vec<JoinHandle<()>>,
    background_stop: CancellationToken,
    /// Those that end after all others.
    background: Vec<JoinHandle<()>>,
    /// This process among others; leaves last.
    node: Option<Node>,
    broken: Broken,
}

/// Starts everything and returns as soon as it listens.
///
/// # Errors
/// What is wrong and with which setting: the data folder is in use, an address is taken, a plan that an
/// account is on has left the table.
pub fn start(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    let token = secret_file::admin_token(&config.token_file)?;
    let seal = Seal::new(&secret_file::seal_key(&config.seal_key_file)?);
    let plans = Arc::new(config.plans.clone());
    let Opened { store, logs, admission, bus, log, node } =
        deployment::open(&config.deployment, &plans, &*clock)?;
    let background = runtime()?;
    let broken = match &node {
        None => {
            background.block_on(check_plans(&*store, &plans))?;
            Broken::never()
        }
        Some(node) => node.join(&background, &plans, seal.fingerprint())?,
    };
    let listeners = listener::bind(config.listen.api, config.listen.threads)?;
    let admin_listener = listener::bind(config.listen.admin, 1)?.remove(0);
    let (api_address, admin_address) = (listeners[0].local_addr()?, admin_listener.local_addr()?);
    // Reads the system's certificates now and not within a call.
    Target::new(&config.goto_base, http::HeaderMap::new()).context("providers.goto.base_url")?;
    let tracker = TaskTracker::new();
    let engine = Arc::new(Engine::new(Parts {
        store: Arc::clone(&store),
        admission,
        bus,
        catalog: catalog::build(config)?,
        plans,
        prices: config.prices.clone(),
        clock: Arc::clone(&clock),
        log: Arc::new(log),
        settings: Settings {
            answer_deadline: config.answer_deadline,
            rate: Limit { requests: config.requests_per_second },
            page_ttl: config.api.page_ttl,
            tasks: config.tasks.clone(),
            webhooks: config.webhooks.clone(),
            public_url: config.api.public_url.clone().unwrap_or_else(|| format!("http://{api_address}")),
        },
        seal,
        tracker: tracker.clone(),
    }));
    let body_budget = Arc::new(BodyBudget::new(config.api.bodies_bytes_max));
    let body_limits = |bytes_max| BodyLimits {
        bytes_max,
        timeout: config.listen.body_timeout,
        total: Arc::clone(&body_budget),
    };
    let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
    let background_stop = CancellationToken::new();
    let (thread, pages_thread) = pages::start(&background_stop)?;
    let play = Arc::new(Playground::default());
    // Reads the system's certificates now and not within a delivery.
    let sender = Arc::new(Sender::new(config.egress.clone()));
    let pages = bromo_dashboard::router(
        bromo_dashboard::Parts {
            engine: Arc::clone(&engine),
            logs: Arc::clone(&logs),
            play: play.clone(),
            tester: Tester::new(Arc::clone(&sender)),
            settings: dashboard_settings(config, &engine),
            stop: stop.clone(),
            thread,
        },
        bromo_api::pages::router(&engine, config.api.strict, config.batch_tasks_max),
    );
    let api = Arc::new(Api {
        engine: Arc::clone(&engine),
        strict: config.api.strict,
        limits: body_limits(config.api.body_bytes_max),
        batch_limits: body_limits(config.api.batch_bytes_max),
        batch_tasks_max: config.batch_tasks_max,
        egress: Arc::new(config.egress.clone()),
        goto_base: config.goto_base.clone(),
        goto_gate: Gate::new(GOTO_PARALLEL_MAX, GOTO_LINE_MAX),
        pages,
    });
    play.connect(&api);
    let threads = listeners.into_iter().enumerate();
    let api_threads = threads.map(|(index, listener)| {
        let (api, stop, tracker) = (Arc::clone(&api), stop.clone(), tracker.clone());
        let (head_timeout, shutdown) = (config.listen.head_timeout, config.listen.shutdown);
        let runtime = runtime()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let serve = move || {
            runtime.block_on(async {
                let served = async {
                    bromo_api::serve::serve(listener, api, head_timeout, stop.clone()).await;
                    tracker.wait().await;
                };
                let deadline = async {
                    stop.cancelled().await;
                    tokio::time::sleep(shutdown).await;
                };
                tokio::select! {
                    () = served => {}
                    () = deadline => tracing::warn!("calls still run at the shutdown deadline, and are cut"),
                }
            });
            // A name that is being looked up would keep a plain drop waiting past the deadline.
            runtime.shutdown_background();
        };
        Ok(std::thread::Builder::new().name(format!("bromo-api-{index}")).spawn(serve)?)
    });
    let mut threads = api_threads.collect::<anyhow::Result<Vec<_>>>()?;
    threads.extend(later::start(&engine, sender, &stop, config.listen.shutdown)?);
    let admin = admin::router(Arc::clone(&engine), Arc::clone(&logs), &token, draining.clone());
    let background =
        background_thread(background, config, &engine, logs, admin, admin_listener, &background_stop)?;
    tracker.close();
    Ok(Running {
        api: api_address,
        admin: admin_address,
        engine,
        draining,
        stop,
        threads,
        background_stop,
        background: vec![background, pages_thread],
        node,
        broken,
    })
}

fn dashboard_settings(config: &Config, engine: &Engine) -> bromo_dashboard::Settings {
    let config::DashboardConfig { sign_up, contact, upgrades, checkout } = config.dashboard.clone();
    let keep_days = u32::try_from(config.logs.keep.as_secs() / 86_400).unwrap_or(u32::MAX);
    let public_url = engine.settings().public_url.clone();
    bromo_dashboard::Settings { sign_up, contact, upgrades, checkout, public_url, keep_days }
}

/// Everything beside the API: the admin listener, the log's writer, what deletes old things.
fn background_thread(
    runtime: Runtime,
    config: &Config,
    engine: &Arc<Engine>,
    logs: Arc<dyn Logs>,
    admin: axum::Router,
    listener: std::net::TcpListener,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let (engine, stop) = (Arc::clone(engine), stop.clone());
    let keep = bromo_engine::log::Keep {
        age_max: config.logs.keep,
        bytes_max: config.logs.bytes_max,
        text_bytes_max: config.logs.bytes_max,
    };
    let work = move || {
        runtime.block_on(async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            let clock = engine.shared_clock();
            tokio::spawn(bromo_engine::expire::run(Arc::clone(&engine), stop.clone()));
            tokio::spawn(bromo_engine::in_force::run(Arc::clone(&engine), stop.clone()));
            tokio::spawn(bromo_engine::log::trim(Arc::clone(&logs), clock, keep, stop.clone()));
            let writer = tokio::spawn(Arc::clone(engine.log()).write(logs, stop.clone()));
            let served = axum::serve(listener, admin).with_graceful_shutdown({
                let stop = stop.clone();
                async move { stop.cancelled().await }
            });
            tokio::select! {
                served = served => if let Err(error) = served {
                    tracing::error!(%error, "the admin listener ended");
                },
                () = stop.cancelled() => {}
            }
            stop.cancelled().await;
            let _ = writer.await; // What is left in the queue is on disk now.
        });
    };
    Ok(std::thread::Builder::new().name("bromo-background".to_owned()).spawn(work)?)
}

impl Running {
    /// Ends it: no new connections, running calls and attempts end within the shutdown deadline or are cut, then the
    /// log is written. Returns at once; [`Running::wait`] waits for the end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// What [`Running::stop`] cancels, for signal handlers.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// What tells load balancers to look elsewhere while all else goes on, for signal handlers.
    pub fn draining_token(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Comes with the reason when this process cannot go on, and another has to be started in its place.
    pub fn broken(&self) -> Broken {
        self.broken.clone()
    }

    /// Waits until everything has ended.
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.background_stop.cancel();
        for thread in self.background.drain(..) {
            let _ = thread.join();
        }
        if let Some(node) = self.node.take() {
            node.leave();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        self.join();
    }
}

/// Google redirects that are resolved at once, and that wait for it: they hold no slot, so this is their bound.
const GOTO_PARALLEL_MAX: usize = 64;
const GOTO_LINE_MAX: usize = 256;

/// Threads of work that nobody waits for at the other end of a call have less of a busy machine.
const NICE: i32 = 5;

/// Lowers the priority of the calling thread.
pub(crate) fn give_way() {
    #[cfg(target_os = "linux")]
    // There this is a thread's own priority.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread runs at the priority of the rest");
    }
}

/// A runtime for one thread.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Accounts read in one go.
const ACCOUNTS_PAGE: u32 = 1000;

/// Every account's plan must stand in the table: an account without limits could not be served honestly.
pub(crate) async fn check_plans(store: &dyn Store, plans: &PlanTable) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let accounts = store.list_accounts(after, ACCOUNTS_PAGE).await?;
        for account in &accounts {
            let named = std::iter::once(&account.plan).chain(&account.next_plan);
            if let Some(plan) = named.into_iter().find(|plan| plans.lookup(plan).is_none()) {
                anyhow::bail!(
                    "account {:?} is on plan {plan:?}, which [[plans]] does not have",
                    account.name
                );
            }
        }
        match accounts.last() {
            Some(last) if accounts.len() == ACCOUNTS_PAGE as usize => after = Some(last.id),
            _ => return Ok(()),
        }
    }
}
