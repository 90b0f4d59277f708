//! Connects the dashboard's playground with the API, which do not know each other.

use std::sync::{Arc, OnceLock, Weak};

use bromo_api::Api;
use bromo_dashboard::{Asked, Play};
use bromo_engine::Caller;
use bytes::Bytes;
use http::{Response, StatusCode};

/// The API, once it is there: it owns the pages that ask it, so it is not owned in turn.
#[derive(Default)]
pub(crate) struct Playground(OnceLock<Weak<Api>>);

impl Playground {
    pub(crate) fn connect(&self, api: &Arc<Api>) {
        let _ = self.0.set(Arc::downgrade(api)); // Connected once.
    }
}

impl Play for Playground {
    fn ask(&self, caller: Arc<Caller>, path: String, body: Bytes) -> Asked {
        let api = self.0.get().and_then(Weak::upgrade);
        Box::pin(async move {
            match api {
                Some(api) => api.ask(caller, &path, body).await,
                None => {
                    let mut response = Response::new(Bytes::from_static(b"{}"));
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    response
                }
            }
        })
    }
}
