//! `bromo migrate`: the migrations of a store that nodes share, for who does not let them do it at start.

use std::path::Path;

use serde_json::json;

use super::print;
use crate::config::Deployment;

pub(super) fn run(file: &Path, json: bool) -> anyhow::Result<()> {
    let config = super::load("", Some(file))?;
    let Deployment::Shared(shared) = &config.deployment else {
        anyhow::bail!("store.url names a data folder: `bromo serve` migrates it when it opens it");
    };
    let applied = crate::runtime()?.block_on(bromo_store::migrate_postgres(shared.store.expose()))?;
    if json {
        print::line(json!({ "applied": applied }));
    } else if applied.is_empty() {
        print::line("Nothing to do: the schema is up to date.");
    } else {
        print::line(format_args!("Applied: {}.", applied.join(", ")));
    }
    Ok(())
}
