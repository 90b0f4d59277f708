//! Authentication: a head, turned into a caller.

use std::sync::Arc;

use bromo_engine::{Caller, Engine};
use bromo_rules::key::KeyHash;
use bromo_rules::problem::Problem;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::problem::Failure;

/// The caller of a request. The scheme word is exactly `Bearer` (contract section 1).
pub(crate) async fn authenticate(engine: &Engine, headers: &HeaderMap) -> Result<Arc<Caller>, Failure> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::MISSING_KEY.into()); // None, or several that may disagree.
    };
    let key = value.as_bytes().strip_prefix(b"Bearer ").map(<[u8]>::trim_ascii).filter(|key| !key.is_empty());
    let key = key.ok_or(Problem::MISSING_KEY)?;
    let (_, hash) = KeyHash::of_presented(key).map_err(|_| Problem::KEY_FORMAT)?;
    match engine.caller(&hash).await {
        Ok(Some(caller)) => Ok(caller),
        Ok(None) => Err(Problem::UNKNOWN_KEY.into()),
        Err(error) => {
            tracing::error!(%error, "failed to look up a key");
            Err(Failure::unavailable())
        }
    }
}
