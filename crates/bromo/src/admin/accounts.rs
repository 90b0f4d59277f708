//! Accounts, plans, grants and keys.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use bromo_engine::account::PAGE_MAX;
use bromo_rules::account::{Account, Entry, Key};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::key::KeyKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::fault::Fault;

type Answer = Result<Json<Value>, Fault>;

async fn view(admin: &Admin, account: &Account) -> Result<Value, Fault> {
    let in_use = admin.engine.admission().in_use(account.id).await?;
    Ok(view_with(admin, in_use, account))
}

fn view_with(admin: &Admin, in_use: u32, account: &Account) -> Value {
    let slots = admin.engine.plans().lookup(&account.plan).map_or(0, |plan| plan.slots);
    json!({
        "account": account.id.to_string(),
        "name": account.name,
        "plan": account.plan,
        "next_plan": account.next_plan,
        "credits": account.balance.total(),
        "slots": slots,
        "slots_in_use": in_use,
        "cycle_ends_at": account.cycle.ends_at.to_string(),
        "created_at": account.created_at.to_string(),
    })
}

fn view_key(key: &Key) -> Value {
    json!({
        "id": key.id.to_string(),
        "kind": key.kind.word(),
        "name": key.name,
        "last4": key.last4,
        "created_at": key.created_at.to_string(),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
    })
}

fn view_entry(entry: &Entry) -> Value {
    json!({
        "seq": entry.seq,
        "kind": entry.kind.word(),
        "amount": entry.amount,
        "balance": entry.balance,
        "request": entry.request.map(|id| id.to_string()),
        "at": entry.at.to_string(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    name: String,
    plan: String,
}

pub(super) async fn create(
    State(admin): State<Admin>,
    body: Result<Json<NewAccount>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(new) = body?;
    let made = admin.engine.create_account(&new.name, &new.plan).await?;
    Ok(Json(json!({
        "account": made.account.id.to_string(),
        "key": made.key.reveal(),
        "webhook_secret": made.webhook_secret.reveal(),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
    count: Option<u32>,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(query) = query?;
    let after = query.after.map(|after| after.parse::<AccountId>());
    let after = after.transpose().map_err(|error| Fault::invalid(format!("after: {error}")))?;
    let count = query.count.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let accounts = admin.engine.store().list_accounts(after, count).await?;
    let usage = admin.engine.admission().usage().await?;
    let in_use: HashMap<_, _> = usage.into_iter().map(|usage| (usage.account, usage.slots.current)).collect();
    let in_use = |account: &Account| in_use.get(&account.id).copied().unwrap_or_default();
    let views: Vec<_> = accounts.iter().map(|account| view_with(&admin, in_use(account), account)).collect();
    Ok(Json(json!({ "accounts": views })))
}

pub(super) async fn show(State(admin): State<Admin>, Path(account): Path<String>) -> Answer {
    let account = admin.engine.find_account(&account).await?;
    Ok(Json(view(&admin, &account).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPlan {
    plan: String,
    #[serde(default)]
    next_cycle: bool,
}

pub(super) async fn set_plan(
    State(admin): State<Admin>,
    Path(account): Path<String>,
    body: Result<Json<NewPlan>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(new) = body?;
    let account = admin.engine.find_account(&account).await?.id;
    let account = if new.next_cycle {
        admin.engine.schedule_plan(account, &new.plan).await?
    } else {
        admin.engine.set_plan(account, &new.plan).await?
    };
    Ok(Json(view(&admin, &account).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    credits: i64,
}

pub(super) async fn grant(
    State(admin): State<Admin>,
    Path(account): Path<String>,
    body: Result<Json<Grant>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(grant) = body?;
    let account = admin.engine.find_account(&account).await?.id;
    let account = admin.engine.grant(account, Credits::new(grant.credits)).await?;
    Ok(Json(view(&admin, &account).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LedgerQuery {
    #[serde(default)]
    after: u64,
    count: Option<u32>,
}

/// Entries in order; `next` is what to pass as `after` for the page that follows.
pub(super) async fn ledger(
    State(admin): State<Admin>,
    Path(account): Path<String>,
    query: Result<Query<LedgerQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(query) = query?;
    let account = admin.engine.find_account(&account).await?;
    let count = query.count.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let entries = admin.engine.store().list_entries(account.id, query.after, count).await?;
    let next = entries.last().filter(|_| entries.len() == count as usize).map(|entry| entry.seq);
    Ok(Json(json!({ "entries": entries.iter().map(view_entry).collect::<Vec<_>>(), "next": next })))
}

pub(super) async fn list_keys(State(admin): State<Admin>, Path(account): Path<String>) -> Answer {
    let account = admin.engine.find_account(&account).await?;
    let keys = admin.engine.store().list_keys(account.id).await?;
    Ok(Json(json!({ "keys": keys.iter().map(view_key).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    #[serde(default)]
    test: bool,
    name: Option<String>,
}

pub(super) async fn create_key(
    State(admin): State<Admin>,
    Path(account): Path<String>,
    body: Result<Json<NewKey>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(new) = body?;
    let account = admin.engine.find_account(&account).await?;
    let kind = if new.test { KeyKind::Test } else { KeyKind::Live };
    let (key, secret) = admin.engine.create_key(account.id, kind, new.name.as_deref()).await?;
    Ok(Json(json!({ "id": key.id.to_string(), "account": account.id.to_string(), "key": secret.reveal() })))
}

pub(super) async fn revoke_key(State(admin): State<Admin>, Path(key): Path<String>) -> Answer {
    let id = key.parse::<KeyId>().map_err(|error| Fault::invalid(error.to_string()))?;
    Ok(Json(view_key(&admin.engine.revoke_key(id).await?)))
}
