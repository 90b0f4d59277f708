//! Members of accounts, as far as operators help them.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use bromo_engine::Engine;
use bromo_engine::member::MemberError;
use bromo_engine::session::SignInError;
use bromo_rules::id::AccountId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::fault::Fault;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owner {
    email: Option<String>,
}

/// Makes a link that signs in the account's oldest owner.
pub(super) async fn sign_in_link(
    State(admin): State<Admin>,
    Path(account): Path<String>,
    body: Result<Json<Owner>, JsonRejection>,
) -> Result<Json<Value>, Fault> {
    let Json(Owner { email }) = body?;
    let account = admin.engine.find_account(&account).await?;
    let (url, email) = link(&admin.engine, account.id, email.as_deref()).await?;
    Ok(Json(json!({ "account": account.id.to_string(), "email": email, "url": url })))
}

/// The address of a link that signs in the account's oldest owner, or `email` where there is none, and whom it is for.
pub(crate) async fn link(
    engine: &Engine,
    account: AccountId,
    email: Option<&str>,
) -> Result<(String, String), LinkError> {
    let owner = engine.owner_or_new(account, email.unwrap_or_default()).await?;
    let token = engine.make_link(&owner).await?;
    let base = engine.settings().public_url.trim_end_matches('/');
    Ok((format!("{base}/sign-in/{}", token.reveal()), owner.email.to_string()))
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    SignIn(#[from] SignInError),
}

impl From<LinkError> for Fault {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Member(MemberError::Store(error)) | LinkError::SignIn(SignInError::Store(error)) => {
                error.into()
            }
            LinkError::Member(MemberError::BadEmail(error)) => {
                Self::invalid(format!("the account has no member yet: name its owner by `email`; {error}"))
            }
            LinkError::Member(error @ MemberError::EmailTaken) => Self::invalid(error.to_string()),
            error => Self::internal(&error),
        }
    }
}
