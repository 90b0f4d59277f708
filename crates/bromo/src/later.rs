//! The threads of the later way: one starts and runs tasks, one sends deliveries. Apart, so that neither signing nor
//! answers delay a start.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bromo_engine::{Engine, delivery, scheduler};
use bromo_providers::webhook::Sender;
use tokio_util::sync::CancellationToken;

/// What was cut is on disk within this time, or is found at the next start.
const HAND_BACK: Duration = Duration::from_secs(5);

/// Starts both. After `stop` nothing new begins; what still runs `shutdown` later is cut and handed back.
pub(crate) fn start(
    engine: &Arc<Engine>,
    sender: Arc<Sender>,
    stop: &CancellationToken,
    shutdown: Duration,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let cut = CancellationToken::new();
    let tasks = scheduler::run(Arc::clone(engine), stop.clone(), cut.clone());
    let deliveries = delivery::run(Arc::clone(engine), sender, stop.clone(), cut.clone());
    let engine = Arc::clone(engine);
    Ok(vec![
        thread("bromo-tasks", tasks, Arc::clone(&engine), cut.clone(), stop.clone(), shutdown)?,
        thread("bromo-deliver", deliveries, engine, cut, stop.clone(), shutdown)?,
    ])
}

fn thread(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
    engine: Arc<Engine>,
    cut: CancellationToken,
    stop: CancellationToken,
    shutdown: Duration,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = crate::runtime()?;
    let run = move || {
        crate::give_way(); // Whoever waits goes first.
        runtime.block_on(async {
            let ended = async {
                work.await;
                engine.workers().wait().await;
            };
            let deadline = async {
                stop.cancelled().await;
                tokio::time::sleep(shutdown).await;
                cut.cancel();
                tokio::time::sleep(HAND_BACK).await;
            };
            tokio::select! {
                () = ended => {}
                () = deadline => tracing::warn!("tasks could not be handed back; the next start finds them"),
            }
        });
        runtime.shutdown_background();
    };
    Ok(std::thread::Builder::new().name(name.to_owned()).spawn(run)?)
}
