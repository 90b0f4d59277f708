//! The operator's pages, on the admin listener alone: what is going on over all accounts, and what only an operator may
//! change.

mod accounts;
mod overview;
mod sign_in;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::routing::{get, post};
use bromo_engine::Engine;

use self::sign_in::Sessions;
use crate::assets;
use crate::pages::finish;
use crate::visitor::Look;

/// What the operator's pages are made of.
pub struct OperatorParts {
    /// Both ways, accounts and members.
    pub engine: Arc<Engine>,
    /// What the operator signs in with: the admin API's token.
    pub token: Arc<str>,
}

pub(crate) struct Shared {
    parts: OperatorParts,
    sessions: Sessions,
}

/// The parts, as every handler has them.
#[derive(Clone)]
pub(crate) struct Office(Arc<Shared>);

impl Deref for Office {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

type In = State<Office>;

/// Every page of the operator.
pub fn operator(parts: OperatorParts) -> Router {
    let office = Office(Arc::new(Shared { parts, sessions: Sessions::default() }));
    Router::new()
        .route("/", get(overview::show))
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .route("/accounts", get(accounts::list).post(accounts::create))
        .route("/accounts/{account}", get(accounts::show))
        .route("/accounts/{account}/plan", post(accounts::set_plan))
        .route("/accounts/{account}/grant", post(accounts::grant))
        .route("/accounts/{account}/link", post(accounts::link))
        .route("/accounts/{account}/decline", post(accounts::decline))
        .layer(middleware::from_fn(finish))
        .route("/assets/{name}", get(assets::show_plain))
        .route("/assets/{version}/{name}", get(assets::show))
        .with_state(office)
}

/// What stands around every page of the operator.
pub(crate) struct Desk {
    title: &'static str,
    path: &'static str,
    look: Look,
    /// The token of this page's forms.
    token: String,
    message: Option<&'static str>,
}

impl Desk {
    #[cfg(test)]
    fn sample() -> Self {
        let look = Look::default();
        Self { title: "Sample", path: "/", look, token: "TOKEN".to_owned(), message: Some("Done.") }
    }

    fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    fn short(&self, at: &bromo_rules::time::Timestamp) -> String {
        let (zone, at) = (&self.look.zone, *at);
        format!(r#"<time datetime="{at}" title="{}">{}</time>"#, zone.whole(at), zone.short(at))
    }
}
