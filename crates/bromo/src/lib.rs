//! The program: wiring from top to bottom. Tests start it the same way as `main`.

mod admin;
mod catalog;
pub mod clock;
pub mod command;
pub mod config;
mod later;
mod listener;
mod metrics;
mod pages;
mod playground;
mod secret_file;
mod telemetry;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use bromo_admission::{Alone, Local};
use bromo_api::{Api, BodyBudget, BodyLimits};
use bromo_engine::seal::Seal;
use bromo_engine::webhook_test::Tester;
use bromo_engine::{Engine, LogQueue, Parts, Settings};
use bromo_providers::client::Target;
use bromo_providers::gate::Gate;
use bromo_providers::webhook::Sender;
use bromo_rules::time::Clock;
use bromo_rules::window::Limit;
use bromo_store::{Logs, Store, StoreError};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::playground::Playground;

/// A bromo that runs.
pub struct Running {
    /// Where customers call.
    pub api: SocketAddr,
    /// Where operators call.
    pub admin: SocketAddr,
    /// What answers them.
    pub engine: Arc<Engine>,
    stop: CancellationToken,
    /// Those that serve the API, run tasks and send deliveries.
    threads: Vec<JoinHandle<()>>,
    background_stop: CancellationToken,
    /// Those that end after all others.
    background: Vec<JoinHandle<()>>,
}

/// Starts everything and returns as soon as it listens.
///
/// # Errors
/// What is wrong and with which setting: the data folder is in use, an address is taken, a plan that an
/// account is on has left the table.
pub fn start(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    let token = secret_file::admin_token(&config.token_file)?;
    let seal_key = secret_file::seal_key(&config.seal_key_file)?;
    let store: Arc<dyn Store> = Arc::new(
        bromo_store::open_sqlite(&config.data)
            .with_context(|| format!("cannot open {}", config.data.display()))?,
    );
    let logs = open_logs(&config.data, &*clock)?;
    let background = runtime()?;
    background.block_on(check_plans(&*store, config))?;
    let listeners = listener::bind(config.listen.api, config.listen.threads)?;
    let admin_listener = listener::bind(config.listen.admin, 1)?.remove(0);
    let (api_address, admin_address) = (listeners[0].local_addr()?, admin_listener.local_addr()?);
    // Reads the system's certificates now and not within a call.
    Target::new(&config.goto_base, http::HeaderMap::new()).context("providers.goto.base_url")?;
    let tracker = TaskTracker::new();
    let engine = Arc::new(Engine::new(Parts {
        store: Arc::clone(&store),
        admission: Arc::new(Local::new()),
        bus: Arc::new(Alone),
        catalog: catalog::build(config)?,
        plans: Arc::new(config.plans.clone()),
        prices: config.prices.clone(),
        clock: Arc::clone(&clock),
        log: Arc::new(LogQueue::default()),
        settings: Settings {
            answer_deadline: config.answer_deadline,
            rate: Limit { requests: config.requests_per_second },
            page_ttl: config.api.page_ttl,
            tasks: config.tasks.clone(),
            webhooks: config.webhooks.clone(),
            public_url: config.api.public_url.clone().unwrap_or_else(|| format!("http://{api_address}")),
        },
        seal: Seal::new(&seal_key),
        tracker: tracker.clone(),
    }));
    let body_budget = Arc::new(BodyBudget::new(config.api.bodies_bytes_max));
    let body_limits = |bytes_max| BodyLimits {
        bytes_max,
        timeout: config.listen.body_timeout,
        total: Arc::clone(&body_budget),
    };
    let (stop, background_stop) = (CancellationToken::new(), CancellationToken::new());
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
    let background =
        background_thread(background, config, &engine, logs, admin_listener, &token, &background_stop)?;
    tracker.close();
    Ok(Running {
        api: api_address,
        admin: admin_address,
        engine,
        stop,
        threads,
        background_stop,
        background: vec![background, pages_thread],
    })
}

fn dashboard_settings(config: &Config, engine: &Engine) -> bromo_dashboard::Settings {
    let config::DashboardConfig { sign_up, contact, upgrades, checkout } = config.dashboard.clone();
    let keep_days = u32::try_from(config.logs.keep.as_secs() / 86_400).unwrap_or(u32::MAX);
    let public_url = engine.settings().public_url.clone();
    bromo_dashboard::Settings { sign_up, contact, upgrades, checkout, public_url, keep_days }
}

/// Opens the request log. It is written without waiting for the disk, so a power cut can leave it unreadable:
/// then it is set aside and a new one begins, since no log may keep answers from being given.
fn open_logs(folder: &Path, clock: &dyn Clock) -> anyhow::Result<Arc<dyn Logs>> {
    let open = || bromo_store::open_sqlite_logs(folder);
    let logs = match open() {
        Err(StoreError::Corrupt { reason }) => {
            let aside = format!("unreadable-{}", clock.now().millis());
            tracing::error!(reason, aside, "the request log cannot be read and is set aside");
            for name in ["logs.db", "logs.db-wal", "logs.db-shm"] {
                let file = folder.join(name);
                if file.exists() {
                    std::fs::rename(&file, folder.join(format!("{name}.{aside}")))?;
                }
            }
            open()
        }
        opened => opened,
    };
    Ok(Arc::new(logs.with_context(|| format!("cannot open the log in {}", folder.display()))?))
}

/// Everything beside the API: the admin listener, the log's writer, what deletes old things.
fn background_thread(
    runtime: Runtime,
    config: &Config,
    engine: &Arc<Engine>,
    logs: Arc<dyn Logs>,
    listener: std::net::TcpListener,
    token: &str,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let admin = admin::router(Arc::clone(engine), Arc::clone(&logs), token);
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
async fn check_plans(store: &dyn Store, config: &Config) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let accounts = store.list_accounts(after, ACCOUNTS_PAGE).await?;
        for account in &accounts {
            let plans = std::iter::once(&account.plan).chain(&account.next_plan);
            let mut plans = plans.filter(|plan| config.plans.lookup(plan).is_none());
            if let Some(plan) = plans.next() {
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
