//! The thread that makes the dashboard's pages.

use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Starts it; it runs until `stop`, which must come after the threads that carry its bytes have ended.
pub(crate) fn start(stop: &CancellationToken) -> std::io::Result<(Handle, JoinHandle<()>)> {
    let runtime = crate::runtime()?;
    let (handle, stop) = (runtime.handle().clone(), stop.clone());
    let run = move || {
        crate::give_way();
        runtime.block_on(stop.cancelled());
        runtime.shutdown_background(); // Passwords that are still being hashed are waited for by nobody.
    };
    Ok((handle, std::thread::Builder::new().name("bromo-pages".to_owned()).spawn(run)?))
}
