//! Opening an account, where the operator allows it.

use askama::Template;
use axum::extract::State;
use bromo_engine::member::MemberError;
use http::HeaderMap;

use super::sign_in::{FormCookie, signed_in};
use super::{Answer, At, faulty, page};
use crate::error::PageError;
use crate::posted::Knock;
use crate::visitor::Look;
use crate::{assets, cookie};

/// The plan of accounts that strangers open.
const PLAN: &str = "free";

#[derive(Template)]
#[template(path = "pages/sign_up.html")]
struct SignUp {
    look: Look,
    token: String,
    name: String,
    email: String,
    faults: Faults,
}

/// What is wrong with which field.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) password: Option<String>,
    pub(super) other: Option<String>,
}

impl Faults {
    /// The field that an error belongs to.
    pub(super) fn of(error: MemberError) -> Result<Self, PageError> {
        let text = Some(error.to_string());
        Ok(match error {
            MemberError::BadAccountName | MemberError::AccountNameTaken => {
                Self { name: text, ..Self::default() }
            }
            MemberError::BadEmail(_) | MemberError::EmailTaken => Self { email: text, ..Self::default() },
            MemberError::BadPassword(_) => Self { password: text, ..Self::default() },
            MemberError::Store(error) => return Err(error.into()),
            _ => Self { other: text, ..Self::default() },
        })
    }
}

impl Faults {
    /// A page for an error that belongs to no field.
    pub(super) fn page(error: MemberError) -> PageError {
        match error {
            MemberError::Store(error) => error.into(),
            error => PageError::Bad(error.to_string()),
        }
    }
}

impl SignUp {
    fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

pub(super) async fn show(State(dashboard): At, headers: HeaderMap) -> Answer {
    if !dashboard.settings.sign_up {
        return Err(PageError::missing("sign-up here: an operator opens accounts"));
    }
    let form = FormCookie::of(&headers)?;
    let (name, email) = (String::new(), String::new());
    let sign_up =
        SignUp { look: Look::of(&headers), token: form.token(), name, email, faults: Faults::default() };
    Ok(form.keep(dashboard.settings.is_secure(), page(&sign_up)?))
}

pub(super) async fn join(State(dashboard): At, Knock { form, headers, .. }: Knock) -> Answer {
    if !dashboard.settings.sign_up {
        return Err(PageError::missing("sign-up here: an operator opens accounts"));
    }
    let (name, email, password) = (form.text("name"), form.text("email"), form.raw("password"));
    match dashboard.engine.sign_up(name, email, password, PLAN).await {
        Ok((_, member)) => {
            match dashboard.engine.begin_session(&member, cookie::read(&headers, cookie::SESSION)).await {
                Ok(session) => signed_in(&dashboard, &session, "/"),
                Err(_) => super::to("/sign-in"),
            }
        }
        Err(error) => {
            let faults = Faults::of(error)?;
            let (look, token) = (Look::of(&headers), FormCookie::of(&headers)?.token());
            faulty(&SignUp { look, token, name: name.to_owned(), email: email.to_owned(), faults })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{HOSTILE, rendered};

    #[test]
    fn each_fault_stands_beside_its_field() {
        let faults = Faults {
            name: Some("NAME FAULT".to_owned()),
            email: Some("EMAIL FAULT".to_owned()),
            password: Some("PASSWORD FAULT".to_owned()),
            other: Some("OTHER FAULT".to_owned()),
        };
        let (look, token) = (Look::default(), "TOKEN".to_owned());
        let html =
            rendered(&SignUp { look, token, name: HOSTILE.to_owned(), email: HOSTILE.to_owned(), faults });
        for (id, text) in [("name-error", "NAME"), ("email-error", "EMAIL"), ("password-error", "PASSWORD")] {
            assert!(
                html.contains(&format!("id=\"{id}\"")) && html.contains(&format!("{text} FAULT")),
                "{id}"
            );
        }
    }
}
