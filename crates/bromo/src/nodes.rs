//! This process as one of several nodes: it joins, may be taken for dead, and leaves.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bromo_admission::Facts;
use bromo_admission::redis::{Redis, Settings, TEST_PREFIX, Time};
use bromo_engine::LogQueue;
use bromo_rules::id::NodeId;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::{ManualClock, Timestamp};
use bromo_store::{Accounts, PostgresSettings, PostgresStore, StoreError};
use futures_util::FutureExt;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::check_plans;
use crate::config::Shared;
use crate::deployment::Opened;

/// A start waits so long for the database; then the node listens without it and says so.
const START_WAIT: Duration = Duration::from_secs(5);
/// Leaving takes no longer; who has not left by then is taken for dead a little later.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
/// The name of the seal key's fingerprint among what nodes agree on.
const SEAL: &str = "seal_key";

/// This process among others.
pub(crate) struct Node {
    store: Arc<PostgresStore>,
    redis: Arc<Redis>,
}

/// Comes when this process cannot go on.
#[derive(Debug, Clone)]
pub struct Broken(watch::Receiver<Option<String>>);

impl Broken {
    /// For a process that depends on no other.
    pub(crate) fn never() -> Self {
        Self(watch::channel(None).1)
    }

    /// Waits for it; why it cannot go on.
    pub async fn reason(mut self) -> String {
        if let Ok(reason) = self.0.wait_for(Option::is_some).await
            && let Some(reason) = reason.as_ref()
        {
            return reason.clone();
        }
        std::future::pending().await
    }
}

/// Opens the servers that nodes share; waits for none of them.
pub(crate) fn open(shared: &Shared, plans: &Arc<PlanTable>) -> anyhow::Result<Opened> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).context("no random bytes")?;
    let node = NodeId::from_random(u64::from_le_bytes(random));
    let settings = PostgresSettings {
        connections: shared.connections,
        migrate: shared.migrate,
        ..PostgresSettings::new(shared.store.expose(), node)
    };
    let logs = bromo_store::open_postgres_logs(settings.clone()).context("store.url")?;
    let store = Arc::new(bromo_store::open_postgres(settings).context("store.url")?);
    let witness = Arc::clone(&store);
    let living = move || {
        let store = Arc::clone(&witness);
        async move { store.living().await.map_err(|error| error.to_string()) }.boxed()
    };
    let (witness, plans) = (Arc::clone(&store), Arc::clone(plans));
    let facts = move |account| {
        let (store, plans) = (Arc::clone(&witness), Arc::clone(&plans));
        let read = async move {
            let found = store.lookup_account(account).await.map_err(|error| error.to_string())?;
            let slots = |plan: &str| plans.lookup(plan).map_or(0, |plan| plan.slots);
            Ok(found.map(|account| Facts::of(&account, slots(&account.plan))))
        };
        read.boxed()
    };
    let time = if shared.prefix.starts_with(TEST_PREFIX) {
        Time::Given(Arc::new(ManualClock::at(Timestamp::from_millis(0))))
    } else {
        Time::Redis
    };
    let redis = Redis::open(Settings {
        prefix: shared.prefix.clone(),
        time,
        wait_replicas: shared.wait_replicas,
        ..Settings::new(shared.admission.expose(), node, Arc::new(living), Arc::new(facts))
    });
    let redis = redis.context("admission.url")?;
    Ok(Opened {
        store: Arc::<PostgresStore>::clone(&store),
        logs: Arc::new(logs),
        admission: Arc::<Redis>::clone(&redis),
        bus: Arc::<Redis>::clone(&redis),
        log: LogQueue::telling(Arc::<Redis>::clone(&redis)),
        node: Some(Node { store, redis }),
    })
}

impl Node {
    /// Waits a little for the database. Whatever it says that forbids a start is an error; if it says nothing, this is
    /// found out later, and the process breaks then.
    pub(crate) fn join(
        &self,
        runtime: &Runtime,
        plans: &PlanTable,
        seal_fingerprint: [u8; 32],
    ) -> anyhow::Result<Broken> {
        let (store, redis, plans) = (Arc::clone(&self.store), Arc::clone(&self.redis), plans.clone());
        let mut joined = Box::pin(async move {
            let counts = async { redis.ready().await.context("admission.url") };
            tokio::try_join!(check(&store, &plans, seal_fingerprint), counts)?;
            anyhow::Ok(store)
        });
        let (broken, breaks) = watch::channel(None);
        let in_time = runtime.block_on(async { tokio::time::timeout(START_WAIT, &mut joined).await });
        let dead = async |store: Arc<PostgresStore>| {
            store.dead().await;
            "the database was out of reach for so long that other nodes took over".to_owned()
        };
        match in_time {
            Ok(joined) => {
                let store = joined?;
                runtime.spawn(async move { broken.send_replace(Some(dead(store).await)) });
            }
            Err(_) => {
                tracing::warn!(
                    "database or counts cannot be reached yet: every call is a 503 until they can"
                );
                runtime.spawn(async move {
                    let reason = match joined.await {
                        Ok(store) => {
                            tracing::info!("database and counts are there");
                            dead(store).await
                        }
                        Err(error) => format!("{error:#}"),
                    };
                    broken.send_replace(Some(reason))
                });
            }
        }
        Ok(Broken(breaks))
    }

    /// Gives back what this node still has, as the last thing it does.
    pub(crate) fn leave(self) {
        let leaving = async {
            self.redis.settled().await;
            if let Err(error) = self.store.leave().await {
                tracing::warn!(%error, "could not leave; the other nodes will take this one for dead");
            }
        };
        match crate::runtime() {
            Ok(runtime) => {
                if runtime.block_on(async { tokio::time::timeout(LEAVE_WAIT, leaving).await }).is_err() {
                    tracing::warn!("could not leave in time; the other nodes will take this one for dead");
                }
            }
            Err(error) => tracing::warn!(%error, "could not leave"),
        }
    }
}

/// What must hold before this node may serve.
async fn check(store: &PostgresStore, plans: &PlanTable, seal_fingerprint: [u8; 32]) -> anyhow::Result<()> {
    store.wait_ready().await?;
    loop {
        let checked = async {
            check_plans(store, plans).await?;
            if !store.agree(SEAL, &seal_fingerprint).await? {
                anyhow::bail!(
                    "webhooks.seal_key_file holds another key than the one of the other nodes: copy theirs"
                );
            }
            Ok(())
        };
        match checked.await {
            Err(error) if matches!(error.downcast_ref(), Some(StoreError::Unavailable { .. })) => {
                tracing::warn!(%error, "cannot read the database yet");
                tokio::time::sleep(START_WAIT).await;
            }
            checked => return checked,
        }
    }
}
