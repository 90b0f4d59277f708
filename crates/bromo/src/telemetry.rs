//! What the program says of itself: to standard error, for people or as JSON.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Telemetry;

/// Begins to speak. A second call in one process changes nothing.
pub(crate) fn init(telemetry: &Telemetry) {
    let filter = telemetry.level.parse::<Targets>().unwrap_or_default();
    let registry = tracing_subscriber::registry().with(filter);
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    // Fails only if a subscriber is set already, which then goes on.
    let _ =
        if telemetry.json { registry.with(layer.json()).try_init() } else { registry.with(layer).try_init() };
}
