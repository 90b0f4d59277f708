//! `bromo check-config`

use std::path::Path;

use serde_json::json;

use super::print;
use crate::config::{Config, DEFAULTS, environment};

pub(super) fn run(file: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let loaded = Config::load("", file, &environment());
    if json {
        let faults = loaded.as_ref().err().map_or(&[] as &[String], |error| &error.0);
        print::line(json!({ "sound": faults.is_empty(), "faults": faults }));
        loaded?;
        return Ok(());
    }
    let config = loaded?;
    let answered = config.endpoints.iter().flatten().count();
    print::line(format_args!(
        "The configuration is sound: {answered} of {} endpoints have a provider, {} plans, API on {}, admin on {}.",
        config.endpoints.len(),
        config.plans.iter().count(),
        config.listen.api,
        config.listen.admin,
    ));
    if file.is_none() {
        print::line("Without --config these are the defaults; every setting:\n");
        print::line(DEFAULTS);
    }
    Ok(())
}
