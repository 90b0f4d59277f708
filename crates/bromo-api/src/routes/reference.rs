//! `GET /v1/countries`, `/v1/states`, `/v1/credits`: they cost nothing and hold no slot.

use bromo_engine::Caller;
use bromo_rules::standing::Standing;
use bromo_rules::{country, state};
use serde::Serialize;

use crate::problem::Failure;
use crate::reply::Success;
use crate::routes::parameter;

/// The codes a model serves; all of them without a model.
pub(crate) fn countries(query: Option<&str>) -> Result<Success, Failure> {
    let model = parameter(query, "model");
    let codes = country::list(model.as_deref())
        .map_err(|error| Failure::invalid_field("model", error.to_string()))?;
    Ok(Success::json(&codes))
}

/// The states of a country; the official clients leave the country out and mean the US (contract D13).
pub(crate) fn states(query: Option<&str>) -> Result<Success, Failure> {
    let country = parameter(query, "country");
    let states = state::list(country.as_deref())
        .map_err(|error| Failure::invalid_field("country", error.to_string()))?;
    Ok(Success::json(&states))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Credits {
    remaining: i64,
    per_cycle: Option<i64>,
    cycle_resets_at: Option<String>,
}

/// The balance of the decision itself, so without lag.
pub(crate) fn credits(caller: &Caller, standing: &Standing) -> Success {
    let paid = !caller.free_plan;
    Success::json(&Credits {
        remaining: standing.balance.get(),
        per_cycle: paid.then(|| caller.per_cycle.get()),
        cycle_resets_at: paid.then(|| caller.cycle_ends_at.to_string()),
    })
}
