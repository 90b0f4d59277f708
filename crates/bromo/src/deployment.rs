//! Opens what the configuration names: the data folder of one process, or the servers that nodes share.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use bromo_admission::{Admission, Alone, Bus, Local};
use bromo_engine::LogQueue;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Clock;
use bromo_store::{Logs, Store, StoreError};

use crate::config::Deployment;
use crate::nodes::{self, Node};

/// What state is kept in.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) logs: Arc<dyn Logs>,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) log: LogQueue,
    /// This process among others; none where there are no others.
    pub(crate) node: Option<Node>,
}

pub(crate) fn open(
    deployment: &Deployment,
    plans: &Arc<PlanTable>,
    clock: &dyn Clock,
) -> anyhow::Result<Opened> {
    match deployment {
        Deployment::Embedded { data } => Ok(Opened {
            store: Arc::new(
                bromo_store::open_sqlite(data).with_context(|| format!("cannot open {}", data.display()))?,
            ),
            logs: open_logs(data, clock)?,
            admission: Arc::new(Local::new()),
            bus: Arc::new(Alone),
            log: LogQueue::default(),
            node: None,
        }),
        Deployment::Shared(shared) => nodes::open(shared, plans),
    }
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
