//! `bromo plans`

use std::path::Path;

use super::print;

pub(super) fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let config = super::load("", file)?;
    for plan in config.plans.iter() {
        print::line("[[plans]]");
        print::line(toml::to_string(plan)?);
    }
    Ok(())
}
