//! `bromo check-config`

use std::path::Path;

use super::print;
use crate::config::DEFAULTS;

pub(super) fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let config = super::load("", file)?;
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
