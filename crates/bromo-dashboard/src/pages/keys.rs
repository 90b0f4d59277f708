//! Keys: made, shown once, revoked.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use bromo_engine::account::AccountError;
use bromo_rules::account::Key;
use bromo_rules::id::KeyId;
use bromo_rules::key::{ApiKey, KeyKind};
use bromo_rules::time::Timestamp;

use super::{Answer, At, Query, faulty, page, to};
use crate::error::PageError;
use crate::figures::{KeyFigures, key_figures};
use crate::form::Form;
use crate::frame::Frame;
use crate::posted::{Posted, Work};
use crate::visitor::Visitor;
use crate::{Dashboard, snippet};

/// A key that was not used for so long is worth a look.
const UNUSED: Duration = Duration::from_secs(90 * 86_400);

/// A key and what became of it.
struct Row {
    key: Key,
    figures: KeyFigures,
}

impl Row {
    fn name(&self) -> &str {
        self.key.name.as_deref().unwrap_or("without a name")
    }

    /// `sk_live_…9f3a`.
    fn shown(&self) -> String {
        format!("{}…{}", self.key.kind.prefix(), self.key.last4)
    }

    fn is_revoked(&self) -> bool {
        self.key.revoked_at.is_some()
    }

    fn passes(&self, filter: &Filter, now: Timestamp) -> bool {
        let text = filter.text.to_lowercase();
        let named = self.name().to_lowercase().contains(&text) || self.key.last4.contains(&text);
        let state = match filter.state.as_str() {
            "works" => !self.is_revoked(),
            "revoked" => self.is_revoked(),
            "unused" => {
                !self.is_revoked() && self.figures.last_at.unwrap_or(self.key.created_at).plus(UNUSED) < now
            }
            _ => true,
        };
        named && state && (filter.kind.is_empty() || filter.kind == self.key.kind.word())
    }
}

/// What the list is narrowed to.
struct Filter {
    text: String,
    kind: String,
    state: String,
}

impl Filter {
    fn of(query: &Form) -> Self {
        let text = |name| query.text(name).to_owned();
        Self { text: text("text"), kind: text("kind"), state: text("state") }
    }

    fn is_any(&self) -> bool {
        self.text.is_empty() && self.kind.is_empty() && self.state.is_empty()
    }
}

#[derive(Template)]
#[template(path = "pages/keys.html")]
struct Keys {
    frame: Frame,
    rows: Vec<Row>,
    /// How many there are in all.
    all: usize,
    filter: Filter,
    name: String,
    kind: KeyKind,
    /// What is wrong with the name.
    fault: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/key_made.html")]
struct KeyMade {
    frame: Frame,
    name: String,
    secret: ApiKey,
    snippets: Vec<snippet::Snippet>,
}

#[derive(Template)]
#[template(path = "pages/key_revoke.html")]
struct Revoke {
    frame: Frame,
    row: Row,
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    let keys = keys(&dashboard, visitor, &query, String::new(), KeyKind::Live, None).await?;
    page(&keys)
}

async fn keys(
    dashboard: &Dashboard,
    visitor: Visitor,
    query: &Form,
    name: String,
    kind: KeyKind,
    fault: Option<String>,
) -> Result<Keys, PageError> {
    let rows = rows(dashboard, &visitor).await?;
    let filter = Filter::of(query);
    let frame = Frame::new(dashboard, visitor, "/keys", "Keys", query).await;
    let all = rows.len();
    let rows = rows.into_iter().filter(|row| row.passes(&filter, frame.now)).collect();
    Ok(Keys { frame, rows, all, filter, name, kind, fault })
}

/// All keys of the account, those that work first, then the newest.
async fn rows(dashboard: &Dashboard, visitor: &Visitor) -> Result<Vec<Row>, PageError> {
    let keys = dashboard.engine.store().list_keys(visitor.account.id).await?;
    let _turn = dashboard.bounds.read(visitor.account.id).await?;
    let mut figures = key_figures(dashboard, visitor.account.id).await?;
    let row = |key: Key| Row { figures: figures.remove(&key.id).unwrap_or_default(), key };
    let mut rows: Vec<Row> = keys.into_iter().map(row).collect();
    rows.sort_by_key(|row| (row.is_revoked(), std::cmp::Reverse(row.key.created_at)));
    Ok(rows)
}

pub(super) async fn create(State(dashboard): At, Posted { visitor, form, .. }: Posted<Work>) -> Answer {
    let kind = if form.text("kind") == KeyKind::Test.word() { KeyKind::Test } else { KeyKind::Live };
    let name = form.text("name").to_owned();
    let made =
        dashboard.engine.create_key(visitor.account.id, kind, (!name.is_empty()).then_some(&name)).await;
    let (key, secret) = match made {
        Ok(made) => made,
        Err(error @ (AccountError::BadName | AccountError::TooManyKeys)) => {
            let fault = Some(error.to_string());
            let keys = keys(&dashboard, visitor, &Form::default(), name, kind, fault).await?;
            return faulty(&keys);
        }
        Err(error) => return Err(error.into()),
    };
    let snippets = snippet::first_call(&dashboard.settings.public_url, secret.reveal());
    let frame = Frame::new(&dashboard, visitor, "/keys", "Key made", &form).await;
    let name = key.name.unwrap_or_default();
    page(&KeyMade { frame, name, secret, snippets })
}

/// One key of the visitor's account.
async fn find(dashboard: &Dashboard, visitor: &Visitor, key: &str) -> Result<Row, PageError> {
    let missing = || PageError::missing(format!("key {key} in this account"));
    let id: KeyId = key.parse().map_err(|_| missing())?;
    rows(dashboard, visitor).await?.into_iter().find(|row| row.key.id == id).ok_or_else(missing)
}

pub(super) async fn ask_revoke(State(dashboard): At, visitor: Visitor, Path(key): Path<String>) -> Answer {
    let row = find(&dashboard, &visitor, &key).await?;
    page(&Revoke {
        frame: Frame::new(&dashboard, visitor, "/keys", "Revoke a key", &Form::default()).await,
        row,
    })
}

pub(super) async fn revoke(
    State(dashboard): At,
    Path(key): Path<String>,
    Posted { visitor, .. }: Posted<Work>,
) -> Answer {
    let row = find(&dashboard, &visitor, &key).await?;
    dashboard.engine.revoke_key(row.key.id).await?;
    to("/keys?done=revoked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bromo_rules::member::Role;

    use crate::samples::{HOSTILE, frame, key, rendered};

    fn page(role: Role, rows: Vec<Row>) -> Keys {
        let (filter, all) = (Filter::of(&Form::default()), rows.len());
        let (name, fault) = (HOSTILE.to_owned(), Some("a name has 1 to 64 characters".to_owned()));
        Keys { frame: frame(role, "/keys"), rows, all, filter, name, kind: KeyKind::Test, fault }
    }

    fn row(name: Option<&str>, is_revoked: bool) -> Row {
        Row { key: key(name, is_revoked), figures: KeyFigures::default() }
    }

    #[test]
    fn keys_render_empty_and_full_and_a_viewer_sees_no_button() {
        rendered(&page(Role::Owner, Vec::new()));
        let rows = || vec![row(Some(HOSTILE), false), row(None, true)];
        let owner = rendered(&page(Role::Owner, rows()));
        assert!(owner.contains("never") && owner.contains("revoked") && owner.contains("Make key"));
        let viewer = rendered(&page(Role::Viewer, rows()));
        assert!(!viewer.contains("method=\"post\"") && !viewer.contains("/revoke"));
    }

    #[test]
    fn a_key_is_shown_whole_where_it_was_made_and_its_last_four_everywhere_else() {
        let secret = ApiKey::new(KeyKind::Live, [7; 16]);
        let snippets = snippet::first_call("http://127.0.0.1:8787", secret.reveal());
        let made = KeyMade { frame: frame(Role::Owner, "/keys"), name: HOSTILE.to_owned(), secret, snippets };
        assert!(rendered(&made).contains(made.secret.reveal()));
        let revoke = Revoke { frame: frame(Role::Member, "/keys"), row: row(Some(HOSTILE), false) };
        assert!(!rendered(&revoke).contains(made.secret.reveal()));
        assert!(!rendered(&page(Role::Owner, vec![row(None, false)])).contains(made.secret.reveal()));
    }
}
