//! Redis' own thread: keeps the connections, turns the node's state machine, and does what it says.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::redis::command::Answer;
use crate::redis::link::{Link, LinkError};
use crate::redis::links::{MADE, PING};
use crate::redis::node::Effect;
use crate::redis::settings::Retry;
use crate::redis::shards::{Shard, State};
use crate::redis::shared::Shared;
use crate::redis::slots::{ShardId, View};
use crate::redis::{TICK_MS, bus, upkeep};

/// How long the store may take to say what is true.
const TRUTH: Duration = Duration::from_secs(2);

/// Starts the thread. It ends soon after [`Shared::stopped`] was told.
pub(crate) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    std::thread::Builder::new()
        .name("admission-redis".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = keep_shards(&shared) => {}
                    () = turn(&shared) => {}
                    () = bus::listen(&shared) => {}
                    () = bus::speak(&shared) => {}
                    () = upkeep::run(&shared) => {}
                    () = shared.stopped.notified() => {}
                }
                for shard in shared.shards.all() {
                    shard.links.set_nodes(None);
                }
            });
        })
        .map_err(|error| error.to_string())
}

/// Keeps a connection to each server, for as long as that has accounts.
async fn keep_shards(shared: &Arc<Shared>) {
    let mut kept = JoinSet::new();
    let mut handles: HashMap<ShardId, AbortHandle> = HashMap::new();
    loop {
        let shards = shared.shards.all();
        handles.retain(|id, handle| {
            let stays = shards.iter().any(|shard| shard.id == *id);
            if !stays {
                handle.abort();
            }
            stays
        });
        for shard in shards {
            handles
                .entry(shard.id)
                .or_insert_with(|| kept.spawn(keep_connected(Arc::clone(shared), Arc::clone(&shard))));
        }
        tokio::select! {
            () = shared.shards.changed.notified() => {}
            Some(_) = kept.join_next() => {}
        }
    }
}

async fn keep_connected(shared: Arc<Shared>, shard: Arc<Shard>) {
    let mut tries = 0;
    loop {
        let connected = tokio::time::timeout(MADE, Link::connect(&shard.server, shared.settings.timeout));
        match connected.await.unwrap_or_else(|_| Err(LinkError::Away("it does not answer".to_owned()))) {
            Ok(link) => {
                tries = 0;
                serve(&shared, &shard, Arc::new(link)).await;
            }
            Err(LinkError::Refused(error)) => {
                tracing::error!(%error, "Redis cannot be used; nothing is admitted");
                shared.shards.set_state(&shard, State::Refused(error));
            }
            Err(LinkError::Away(reason)) => {
                if tries == 0 {
                    tracing::warn!(
                        reason,
                        server = %shard.server,
                        "no connection to Redis; nothing is admitted until there is one"
                    );
                }
                shared.shards.set_state(&shard, State::Away(reason));
            }
            Err(LinkError::Replica(view)) => {
                shared.shards.set_state(&shard, State::Away("it is a replica".to_owned()));
                learn(&shared, &shard, &view);
            }
        }
        tokio::time::sleep(wait(shared.settings.retry, tries)).await;
        tries += 1;
    }
}

/// Holds the link out for as long as it is of use.
async fn serve(shared: &Shared, shard: &Shard, link: Arc<Link>) {
    tracing::info!(server = %shard.server, "connected to Redis");
    if let Some(view) = &link.view {
        learn(shared, shard, view);
    }
    shard.links.set_nodes(Some(Arc::clone(&link)));
    shared.shards.set_state(shard, State::Connected);
    shared.node().renew_soon(shard.id);
    shared.kick();
    shared.opened.notify_waiters();
    loop {
        tokio::select! {
            () = shard.broken.notified() => break,
            () = shard.outdated.notified() => {}
            () = tokio::time::sleep(PING) => {}
        }
        match link.look().await {
            Ok(Some(view)) => learn(shared, shard, &view),
            Ok(None) => {}
            Err(_) => break,
        }
    }
    shard.links.set_nodes(None);
    shared.shards.set_state(shard, State::Away("the connection was lost".to_owned()));
    tracing::warn!(server = %shard.server, "lost the connection to Redis");
}

/// Accounts may be at other servers than this node knew.
fn learn(shared: &Shared, shard: &Shard, view: &View) {
    let Some(map) = shared.shards.learn(&shard.server, view) else { return };
    tracing::info!(
        epoch = view.epoch,
        servers = map.shards().len(),
        "learned which server has which account"
    );
    shared.node().set_map(map);
    shared.kick();
    shared.opened.notify_waiters();
}

/// Longer after each try, by chance up to a half shorter, so that nodes do not come back all at once.
pub(crate) fn wait(retry: Retry, tries: u32) -> Duration {
    let longest = retry.first.saturating_mul(1 << tries.min(16)).min(retry.most);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

async fn turn(shared: &Arc<Shared>) {
    let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut doing = JoinSet::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shared.kicked.notified() => {}
            Some(_) = doing.join_next() => continue,
        }
        let now = shared.boot.now();
        let effects = {
            let mut node = shared.node();
            node.tick(now);
            node.effects()
        };
        for effect in effects {
            doing.spawn(act(Arc::clone(shared), effect));
        }
    }
}

async fn act(shared: Arc<Shared>, effect: Effect) {
    match effect {
        Effect::Send(sent) => {
            let answer =
                shared.run_on(sent.account, sent.script.clone(), sent.via, sent.process.as_ref()).await.ok();
            shared.node().answered(shared.boot.now(), &sent, answer.as_ref());
            if matches!(answer, Some(Answer::Registered { .. })) {
                shared.opened.notify_waiters();
            }
        }
        Effect::Truth(account) => {
            let process = shared.process(account);
            let ask =
                async { tokio::try_join!((shared.settings.living)(), (shared.settings.facts)(account)) };
            let truth = match tokio::time::timeout(TRUTH, ask).await {
                Ok(Ok(truth)) => Some(truth),
                Ok(Err(reason)) => {
                    tracing::warn!(%account, reason, "cannot register an account that Redis lost");
                    None
                }
                Err(_) => None,
            };
            shared.node().truth(shared.boot.now(), account, process, truth);
        }
    }
    shared.kick();
}
