//! Connections that are kept and say nothing.

use anyhow::ensure;

use crate::client::{Connection, Target};
use crate::process::Process;

/// What holding the connections came to.
pub(crate) struct Idle {
    /// Connections that answered once more at the end.
    pub(crate) held: usize,
    /// Resident kilobytes of the gateway that each of them cost.
    pub(crate) kilobytes_each: f64,
    /// Resident megabytes with all of them.
    pub(crate) resident_mb: f64,
}

/// Opens `count` connections that each make one request, holds them, then asks once more on each.
pub(crate) async fn hold(target: &Target, count: usize, process: &Process) -> anyhow::Result<Idle> {
    let before_mb = process.resident_mb()?;
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Connection::open(target.address).await?;
        let status = connection.exchange(&target.request).await?;
        ensure!(status == 200, "a call was answered with {status}");
        connections.push(connection);
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let resident_mb = process.resident_mb()?;
    let mut held = 0;
    for connection in &mut connections {
        held += usize::from(matches!(connection.exchange(&target.request).await, Ok(200)));
    }
    let kilobytes_each = (resident_mb - before_mb) * 1000.0 / count as f64;
    Ok(Idle { held, kilobytes_each, resident_mb })
}
