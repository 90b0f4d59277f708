//! The account: members and invitations, what is kept, how pages look, the password.

use askama::Template;
use axum::extract::{Path, State};
use bromo_engine::member::MemberError;
use bromo_rules::id::MemberId;
use bromo_rules::member::{Act, Email, Member, Role};
use bromo_store::Invitation;
use http::header::{HeaderValue, SET_COOKIE};

use super::sign_up::Faults;
use super::{Answer, At, Query, faulty, page, to};
use crate::Dashboard;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::moment::Zone;
use crate::posted::{Look, Manage, Posted};
use crate::visitor::Visitor;

/// Zones that can be chosen without the script, which knows the browser's own.
const ZONES: [&str; 16] = [
    "UTC",
    "America/Los_Angeles",
    "America/Denver",
    "America/Chicago",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Athens",
    "Africa/Lagos",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Pacific/Auckland",
];
/// How long a browser keeps how pages look, in seconds.
const LOOK_KEPT_S: u32 = 365 * 86_400;

#[derive(Template)]
#[template(path = "pages/account.html")]
struct Account {
    frame: Frame,
    members: Vec<Member>,
    invitations: Vec<Invitation>,
    seats: Option<u32>,
    /// The link of an invitation that was just made: shown once.
    link: Option<(String, String)>,
    email: String,
    faults: Faults,
    /// What is wrong with the new password, and with the old one.
    password: [Option<String>; 2],
    zones: Vec<&'static str>,
    keep_days: u32,
}

impl Account {
    /// A zone that the list does not have.
    fn other_zone(&self) -> Option<&str> {
        Some(self.frame.look.zone.name()).filter(|name| !ZONES.contains(name))
    }
}

#[derive(Template)]
#[template(path = "pages/member_remove.html")]
struct Remove {
    frame: Frame,
    member: Member,
}

async fn account(dashboard: &Dashboard, visitor: Visitor, query: &Form) -> Result<Account, PageError> {
    let store = dashboard.engine.store();
    let id = visitor.account.id;
    let now = dashboard.engine.clock().now();
    let seats = dashboard.engine.plans().lookup(&visitor.account.plan).and_then(|plan| plan.seats);
    Ok(Account {
        members: store.list_members(id).await?,
        invitations: store.list_invitations(id, now).await?,
        seats,
        link: None,
        email: String::new(),
        faults: Faults::default(),
        password: [None, None],
        zones: ZONES.to_vec(),
        keep_days: dashboard.settings.keep_days,
        frame: Frame::new(dashboard, visitor, "/account", "Account", query).await,
    })
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    page(&account(&dashboard, visitor, &query).await?)
}

/// Keeps theme and zone in cookies that the script may read and change too.
pub(super) async fn look(State(dashboard): At, Posted { form, .. }: Posted<Look>) -> Answer {
    let mut response = to("/account?done=saved")?;
    let theme = Some(form.text("theme")).filter(|theme| matches!(*theme, "light" | "dark")).unwrap_or("");
    let zone = Zone::lookup(form.text("zone")).unwrap_or_default();
    let keys = if form.is_set("keys") { "on" } else { "off" };
    let secure = if dashboard.settings.is_secure() { "; Secure" } else { "" };
    for (name, value) in [("theme", theme), ("zone", zone.name()), ("keys", keys)] {
        let age = if value.is_empty() { 0 } else { LOOK_KEPT_S };
        let text = format!("{name}={value}; Path=/; SameSite=Lax; Max-Age={age}{secure}");
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    Ok(response)
}

pub(super) async fn password(State(dashboard): At, Posted { visitor, form, .. }: Posted<Look>) -> Answer {
    let (old, new) = (form.raw("old"), form.raw("new"));
    let changed = dashboard.engine.change_password(&visitor.member, old, new, Some(&visitor.token)).await;
    let fault = match changed {
        Ok(()) => return to("/account?done=password"),
        Err(error @ (MemberError::WrongPassword | MemberError::Wait { .. })) => {
            [None, Some(error.to_string())]
        }
        Err(MemberError::Store(error)) => return Err(error.into()),
        Err(error) => [Some(error.to_string()), None],
    };
    let account = account(&dashboard, visitor, &form).await?;
    faulty(&Account { password: fault, ..account })
}

pub(super) async fn texts(State(dashboard): At, Posted { visitor, form, .. }: Posted<Manage>) -> Answer {
    let keep = form.is_set("keep");
    dashboard.engine.set_keep_texts(visitor.account.id, keep).await?;
    to(if keep { "/account?done=texts-on" } else { "/account?done=texts-off" })
}

pub(super) async fn invite(State(dashboard): At, Posted { visitor, form, .. }: Posted<Manage>) -> Answer {
    let email = form.text("email").to_owned();
    let role = form.text("role").parse().unwrap_or(Role::Viewer);
    let invited = dashboard.engine.invite(&visitor.member, &email, role).await;
    let base = dashboard.settings.public_url.trim_end_matches('/').to_owned();
    let account = account(&dashboard, visitor, &form).await?;
    match invited {
        Ok(token) => {
            page(&Account { link: Some((email, format!("{base}/invitation/{}", token.reveal()))), ..account })
        }
        Err(error) => faulty(&Account { faults: Faults::of(error)?, email, ..account }),
    }
}

pub(super) async fn uninvite(State(dashboard): At, Posted { visitor, form, .. }: Posted<Manage>) -> Answer {
    let missing = |_| PageError::missing("invitation of that address");
    let email: Email = form.text("email").parse().map_err(missing)?;
    dashboard.engine.withdraw_invitation(&visitor.member, &email).await.map_err(Faults::page)?;
    to("/account?done=uninvited")
}

async fn find(dashboard: &Dashboard, visitor: &Visitor, id: &str) -> Result<Member, PageError> {
    let missing = || PageError::missing(format!("member {id} in this account"));
    let wanted: MemberId = id.parse().map_err(|_| missing())?;
    let members = dashboard.engine.store().list_members(visitor.account.id).await?;
    members.into_iter().find(|member| member.id == wanted).ok_or_else(missing)
}

pub(super) async fn role(
    State(dashboard): At,
    Path(id): Path<String>,
    Posted { visitor, form, .. }: Posted<Manage>,
) -> Answer {
    let member = find(&dashboard, &visitor, &id).await?;
    let role: Role =
        form.text("role").parse().map_err(|_| PageError::Bad("There is no such role.".to_owned()))?;
    match dashboard.engine.set_role(&visitor.member, member.id, role).await {
        Ok(()) => to("/account?done=role"),
        Err(error) => {
            let account = account(&dashboard, visitor, &form).await?;
            faulty(&Account { faults: Faults::of(error)?, ..account })
        }
    }
}

pub(super) async fn ask_remove(State(dashboard): At, visitor: Visitor, Path(id): Path<String>) -> Answer {
    let member = find(&dashboard, &visitor, &id).await?;
    let frame = Frame::new(&dashboard, visitor, "/account", "Remove a member", &Form::default()).await;
    page(&Remove { frame, member })
}

pub(super) async fn remove(
    State(dashboard): At,
    Path(id): Path<String>,
    Posted { visitor, form, .. }: Posted<Look>,
) -> Answer {
    let member = find(&dashboard, &visitor, &id).await?;
    // Everybody may leave; the rest is the engine's to decide.
    match dashboard.engine.remove_member(&visitor.member, member.id).await {
        Ok(()) => to("/account?done=removed"),
        Err(MemberError::NotAllowed) => Err(PageError::Forbidden { act: Act::Manage }),
        Err(error) => {
            let account = account(&dashboard, visitor, &form).await?;
            faulty(&Account { faults: Faults::of(error)?, ..account })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bromo_rules::token::Token;

    use crate::samples::{HOSTILE, NOW, frame, member, rendered};

    #[test]
    fn the_account_renders_with_members_invitations_and_faults() {
        let invitation = Invitation {
            token: Token::new([1; 32]).hash(),
            account: bromo_rules::id::AccountId::from_random(1),
            email: "bob@example.com".parse().unwrap(),
            role: Role::Viewer,
            by: MemberId::from_random(2),
            created_at: NOW,
            expires_at: NOW,
        };
        let page = |role| Account {
            frame: frame(role, "/account"),
            members: vec![member(Role::Owner, "ada@example.com"), member(Role::Viewer, "eve@example.com")],
            invitations: vec![invitation.clone()],
            seats: Some(3),
            link: Some((HOSTILE.to_owned(), "http://127.0.0.1:8787/invitation/x".to_owned())),
            email: HOSTILE.to_owned(),
            faults: Faults {
                email: Some("taken".to_owned()),
                other: Some("no".to_owned()),
                ..Faults::default()
            },
            password: [Some("short".to_owned()), Some("wrong".to_owned())],
            zones: ZONES.to_vec(),
            keep_days: 30,
        };
        assert!(rendered(&page(Role::Owner)).contains("take back"));
        let viewer = rendered(&page(Role::Viewer));
        assert!(
            !viewer.contains("/account/invite")
                && !viewer.contains("remove<span")
                && !viewer.contains("/texts\"")
        );
        let removed = member(Role::Member, "bob@example.com");
        rendered(&Remove { frame: frame(Role::Owner, "/account"), member: removed });
    }
}
