//! `bromo openapi`

use bromo_rules::task::BATCH_TASKS_MAX;

use super::print;

pub(super) fn run(strict: bool) -> anyhow::Result<()> {
    print::line(serde_json::to_string_pretty(&bromo_api::openapi::document(strict, BATCH_TASKS_MAX))?);
    Ok(())
}
