//! Accounts as operators see and change them.

use askama::Template;
use axum::extract::{Path, State};
use bromo_engine::account::AccountError;
use bromo_engine::member::MemberError;
use bromo_rules::account::{Account, Entry, Key};
use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_rules::member::Member;
use bromo_rules::plan::Plan;
use bromo_store::{PlanRequest, StoreError};

use super::sign_in::{Operator, Ordered};
use super::{Desk, In, Office};
use crate::error::PageError;
use crate::form::Form;
use crate::pages::{Answer, Query, faulty, page, to};

/// Accounts of a page.
const ACCOUNTS: u32 = 100;
/// Ledger entries of a page.
const ENTRIES: u32 = 20;

/// An account with what it uses now.
struct Row {
    account: Account,
    used: u32,
    slots: u32,
    queued: u64,
}

#[derive(Template)]
#[template(path = "operator/accounts.html")]
struct Accounts {
    desk: Desk,
    rows: Vec<Row>,
    name: String,
    plans: Vec<Plan>,
    next: Option<AccountId>,
    new_name: String,
    fault: Option<String>,
}

/// What is shown once of an account that was just made.
#[derive(Template)]
#[template(path = "operator/account_made.html")]
struct Made {
    desk: Desk,
    made: bromo_engine::account::NewAccount,
}

#[derive(Template)]
#[template(path = "operator/account.html")]
struct One {
    desk: Desk,
    row: Row,
    plans: Vec<Plan>,
    keys: Vec<Key>,
    members: Vec<Member>,
    entries: Vec<Entry>,
    request: Option<PlanRequest>,
    link: Option<(String, String)>,
    faults: [Option<String>; 2],
}

async fn row(office: &Office, account: Account) -> Result<Row, PageError> {
    let engine = &office.parts.engine;
    let slots = engine.plans().lookup(&account.plan).map_or(0, |plan| plan.slots);
    let depth = engine.store().depth(account.id).await?;
    let used = engine.admission().in_use(account.id).await.unwrap_or(0);
    Ok(Row { used, slots, queued: depth.queued_total(), account })
}

fn plans(office: &Office) -> Vec<Plan> {
    office.parts.engine.plans().iter().cloned().collect()
}

async fn accounts(office: &Office, operator: Operator, query: &Form) -> Result<Accounts, PageError> {
    let engine = &office.parts.engine;
    let name = query.text("name").to_owned();
    let found = if name.is_empty() {
        engine.store().list_accounts(query.text("after").parse().ok(), ACCOUNTS).await?
    } else {
        match engine.find_account(&name).await {
            Ok(account) => vec![account],
            Err(AccountError::Store(StoreError::Missing { .. })) => Vec::new(),
            Err(error) => return Err(error.into()),
        }
    };
    let next = found.last().map(|account| account.id).filter(|_| found.len() == ACCOUNTS as usize);
    let mut rows = Vec::with_capacity(found.len());
    for account in found {
        rows.push(row(office, account).await?);
    }
    let desk = operator.desk("/accounts", "Accounts", query);
    Ok(Accounts { desk, rows, name, plans: plans(office), next, new_name: String::new(), fault: None })
}

pub(super) async fn list(State(office): In, operator: Operator, Query(query): Query) -> Answer {
    page(&accounts(&office, operator, &query).await?)
}

pub(super) async fn create(State(office): In, Ordered { operator, form }: Ordered) -> Answer {
    match office.parts.engine.create_account(form.text("new_name"), form.text("plan")).await {
        Ok(made) => page(&Made { desk: operator.desk("/accounts", "Account made", &Form::default()), made }),
        Err(
            error @ (AccountError::BadName
            | AccountError::NoPlan(_)
            | AccountError::Store(StoreError::Conflict { .. })),
        ) => {
            let accounts = accounts(&office, operator, &Form::default()).await?;
            faulty(&Accounts {
                new_name: form.text("new_name").to_owned(),
                fault: Some(error.to_string()),
                ..accounts
            })
        }
        Err(error) => Err(error.into()),
    }
}

async fn one(office: &Office, operator: Operator, id: &str, query: &Form) -> Result<One, PageError> {
    let engine = &office.parts.engine;
    let account = engine.find_account(id).await?;
    let (store, id) = (engine.store(), account.id);
    let after = account.ledger_seq.saturating_sub(ENTRIES.into());
    let mut entries = store.list_entries(id, after, ENTRIES).await?;
    entries.reverse();
    Ok(One {
        row: row(office, account).await?,
        plans: plans(office),
        keys: store.list_keys(id).await?,
        members: store.list_members(id).await?,
        entries,
        request: store.lookup_plan_request(id).await?,
        link: None,
        faults: [None, None],
        desk: operator.desk("/accounts", "Account", query),
    })
}

pub(super) async fn show(
    State(office): In,
    operator: Operator,
    Path(id): Path<String>,
    Query(query): Query,
) -> Answer {
    page(&one(&office, operator, &id, &query).await?)
}

pub(super) async fn set_plan(
    State(office): In,
    Path(id): Path<String>,
    Ordered { form, .. }: Ordered,
) -> Answer {
    let engine = &office.parts.engine;
    let account = engine.find_account(&id).await?.id;
    match engine.set_plan(account, form.text("plan")).await {
        Ok(_) => {}
        Err(error @ AccountError::NoPlan(_)) => return Err(PageError::Bad(error.to_string())),
        Err(error) => return Err(error.into()),
    }
    to(&format!("/accounts/{account}?done=plan"))
}

pub(super) async fn grant(
    State(office): In,
    Path(id): Path<String>,
    Ordered { operator, form }: Ordered,
) -> Answer {
    let engine = &office.parts.engine;
    let account = engine.find_account(&id).await?.id;
    let granted = match form.text("credits").replace(',', "").parse() {
        Ok(credits) => engine.grant(account, Credits::new(credits)).await.map(|_| ()).map_err(Some),
        Err(_) => Err(None),
    };
    let fault = match granted {
        Ok(()) => return to(&format!("/accounts/{account}?done=granted")),
        Err(None) => "a whole number of credits, 1 or more".to_owned(),
        Err(Some(AccountError::Store(StoreError::Refused(error)))) => error.to_string(),
        Err(Some(error)) => return Err(error.into()),
    };
    let one = one(&office, operator, &id, &Form::default()).await?;
    faulty(&One { faults: [Some(fault), None], ..one })
}

/// Makes a link that signs in the account's oldest owner, shown once.
pub(super) async fn link(
    State(office): In,
    Path(id): Path<String>,
    Ordered { operator, form }: Ordered,
) -> Answer {
    let engine = &office.parts.engine;
    let account = engine.find_account(&id).await?.id;
    let owner = engine.owner_or_new(account, form.text("email")).await;
    let one = one(&office, operator, &id, &Form::default()).await?;
    let owner = match owner {
        Ok(owner) => owner,
        Err(MemberError::Store(error)) => return Err(error.into()),
        Err(error) => return faulty(&One { faults: [None, Some(error.to_string())], ..one }),
    };
    let token = engine.make_link(&owner).await.map_err(|error| {
        tracing::error!(%error, "failed to make a link");
        PageError::Unavailable
    })?;
    let base = engine.settings().public_url.trim_end_matches('/');
    let link = Some((owner.email.to_string(), format!("{base}/sign-in/{}", token.reveal())));
    page(&One { link, ..one })
}

pub(super) async fn decline(State(office): In, Path(id): Path<String>, Ordered { .. }: Ordered) -> Answer {
    let engine = &office.parts.engine;
    let account = engine.find_account(&id).await?.id;
    engine.store().put_plan_request(account, None).await?;
    to("/?done=declined")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bromo_rules::account::EntryKind;
    use bromo_rules::id::MemberId;
    use bromo_rules::key::{ApiKey, KeyKind};
    use bromo_rules::member::Role;
    use bromo_rules::plan::PlanTable;
    use bromo_rules::webhook::WebhookSecret;

    use crate::samples::{HOSTILE, NOW, account, key, member, rendered};

    fn row() -> Row {
        Row { account: account(HOSTILE), used: 3, slots: 10, queued: 100_000 }
    }

    #[test]
    fn accounts_render_empty_full_and_one_by_one() {
        let plans: Vec<Plan> = PlanTable::default().iter().cloned().collect();
        for rows in [Vec::new(), vec![row()]] {
            let next = rows.first().map(|row| row.account.id);
            let (name, new_name, fault) = (HOSTILE.to_owned(), HOSTILE.to_owned(), Some("taken".to_owned()));
            rendered(&Accounts {
                desk: Desk::sample(),
                rows,
                name,
                plans: plans.clone(),
                next,
                new_name,
                fault,
            });
        }
        let made = bromo_engine::account::NewAccount {
            account: account(HOSTILE),
            key: ApiKey::new(KeyKind::Live, [1; 16]),
            webhook_secret: WebhookSecret::new([1; 24]),
        };
        assert!(rendered(&Made { desk: Desk::sample(), made }).contains("whsec_"));
        let entry = Entry {
            account: AccountId::from_random(1),
            seq: 1,
            kind: EntryKind::Grant,
            amount: Credits::new(5),
            balance: Credits::new(5),
            request: None,
            at: NOW,
        };
        let by = MemberId::from_random(1);
        let request =
            PlanRequest { account: AccountId::from_random(1), plan: "lite".to_owned(), by, at: NOW };
        for members in [Vec::new(), vec![member(Role::Owner, "ada@example.com")]] {
            rendered(&One {
                desk: Desk::sample(),
                row: row(),
                plans: plans.clone(),
                keys: vec![key(Some(HOSTILE), true)],
                members,
                entries: vec![entry.clone()],
                request: Some(request.clone()),
                link: Some((HOSTILE.to_owned(), "http://a/sign-in/x".to_owned())),
                faults: [Some("no".to_owned()), Some("no".to_owned())],
            });
        }
    }
}
