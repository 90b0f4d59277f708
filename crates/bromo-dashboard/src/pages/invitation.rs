//! Joining an account by invitation.

use askama::Template;
use axum::extract::{Path, State};
use http::HeaderMap;

use super::sign_in::{FormCookie, signed_in};
use super::sign_up::Faults;
use super::{Answer, At, faulty, page};
use crate::error::PageError;
use crate::posted::Knock;
use crate::visitor::Look;
use crate::{Dashboard, assets, cookie};

#[derive(Template)]
#[template(path = "pages/invitation.html")]
struct Joining {
    look: Look,
    token: String,
    account: String,
    email: String,
    role: &'static str,
    faults: Faults,
}

impl Joining {
    fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

async fn joining(
    dashboard: &Dashboard,
    headers: &HeaderMap,
    form: &FormCookie,
    token: &str,
) -> Result<Joining, PageError> {
    let gone = || PageError::missing("such invitation any more: each is good once, for three days");
    let (invitation, account) = dashboard.engine.invitation(token).await?.ok_or_else(gone)?;
    Ok(Joining {
        look: Look::of(headers),
        token: form.token(),
        account: account.name,
        email: invitation.email.to_string(),
        role: invitation.role.word(),
        faults: Faults::default(),
    })
}

pub(super) async fn show(State(dashboard): At, Path(token): Path<String>, headers: HeaderMap) -> Answer {
    let form = FormCookie::of(&headers)?;
    let joining = joining(&dashboard, &headers, &form, &token).await?;
    Ok(form.keep(dashboard.settings.is_secure(), page(&joining)?))
}

pub(super) async fn accept(
    State(dashboard): At,
    Path(token): Path<String>,
    Knock { form, headers, .. }: Knock,
) -> Answer {
    let password = form.raw("password");
    match dashboard.engine.accept_invitation(&token, password).await {
        Ok(member) => {
            match dashboard.engine.begin_session(&member, cookie::read(&headers, cookie::SESSION)).await {
                Ok(session) => signed_in(&dashboard, &session, "/"),
                Err(_) => super::to("/sign-in"),
            }
        }
        Err(error) => {
            let cookie = FormCookie::of(&headers)?;
            let joining = joining(&dashboard, &headers, &cookie, &token).await?;
            faulty(&Joining { faults: Faults::of(error)?, ..joining })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{HOSTILE, rendered};

    #[test]
    fn an_invitation_names_account_and_role() {
        let (account, email) = (HOSTILE.to_owned(), "bob@example.com".to_owned());
        let (look, token) = (Look::default(), "TOKEN".to_owned());
        let page = Joining { look, token, account, email, role: "viewer", faults: Faults::default() };
        assert!(rendered(&page).contains("as viewer"));
    }
}
