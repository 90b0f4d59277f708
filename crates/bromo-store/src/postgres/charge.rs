//! Charges. A group is paid at a glance, in one round trip, by the accounts whose balance covers all that they owe in it.
//! What is left, and a request that may have been paid before, is looked at closely.

use std::collections::HashMap;

use bromo_rules::account::EntryKind;
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, RequestId};

use super::lane::{Answers, Job};
use super::link::{Rows, call};
use super::payers::{self, Cause, Payers};
use super::rows;
use super::tx::Tx;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged};

/// An account pays first from what its plan allocated, as [`Balance::pay`](bromo_rules::credit::Balance::pay) has it. The
/// index refuses a request that was paid before, and the second try finds it.
const PAY: &str = "WITH given AS MATERIALIZED (
        SELECT g.*, row_number() OVER one_by_one AS number, (sum(g.price) OVER one_by_one)::bigint AS paid
        FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[]) WITH ORDINALITY
            AS g (account, request, price, at, place)
        WINDOW one_by_one AS (PARTITION BY g.account ORDER BY g.place)),
    payers AS (
        UPDATE accounts a SET balance_plan = greatest(a.balance_plan - t.price, 0),
            balance_granted = a.balance_granted + least(a.balance_plan - t.price, 0), ledger_seq = a.ledger_seq + t.count
        FROM (
            SELECT account, sum(price)::bigint AS price, count(*) AS count FROM given GROUP BY account ORDER BY account) t
        WHERE a.id = ANY(ARRAY[t.account]) AND a.balance_plan + a.balance_granted >= t.price
        RETURNING a.id, a.balance_plan + a.balance_granted + t.price AS balance, a.ledger_seq - t.count AS seq)
    INSERT INTO ledger (account, seq, kind, amount, balance, request, at)
        SELECT g.account, p.seq + g.number, $5, -g.price, p.balance - g.paid, g.request, g.at
        FROM given g JOIN payers p ON p.id = g.account
    RETURNING account, balance, seq, request";

/// After the accounts are locked: a request is always its account's, so nobody else writes it meanwhile. If it is
/// another account's all the same, the index refuses it, and the second try finds it.
const PAID_BEFORE: &str =
    "SELECT account, balance, seq, request FROM ledger WHERE request = ANY($1) AND request IS NOT NULL";

/// A charge on its way. Without an answer it is to be looked at closely.
pub(super) struct Paying {
    /// What is to be paid.
    pub(super) charge: Charge,
    /// Whether a glance was not enough.
    pub(super) closely: bool,
}

impl Job for Paying {
    type Answer = Option<Charged>;
    const GUARDED: bool = true;

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Option<Charged>>, StoreError> {
        let charges: Vec<_> = jobs.iter().map(|job| job.charge).collect();
        if tx.is_again() || jobs.iter().any(|job| job.closely) {
            let answers = closely(tx, &charges).await?;
            return Ok(answers.into_iter().map(|answer| answer.map(Some)).collect());
        }
        let paid = at_a_glance(tx, &charges).await?;
        let answer = |charge: &Charge| paid.get(&charge.request).map(|(_, charged)| *charged);
        Ok(charges.iter().map(|charge| Ok(answer(charge))).collect())
    }
}

/// Pays what nothing stands in the way of.
async fn at_a_glance(tx: &Tx<'_>, charges: &[Charge]) -> Result<Paid, StoreError> {
    let (mut accounts, mut requests, mut prices, mut ats) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for charge in charges.iter().filter(|charge| charge.price > Credits::ZERO) {
        accounts.push(charge.account.to_i64());
        requests.push(rows::uuid(&charge.request));
        prices.push(charge.price.get());
        ats.push(charge.at.millis());
    }
    let kind = EntryKind::Charge.word();
    let [paid] = tx.commit([call(PAY, &[&accounts, &requests, &prices, &ats, &kind])]).await?;
    read(&paid)
}

/// Locks the accounts, and decides on one charge after the other.
async fn closely(tx: &Tx<'_>, jobs: &[Charge]) -> Result<Answers<Charged>, StoreError> {
    let mut accounts: Vec<i64> = jobs.iter().map(|charge| charge.account.to_i64()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let requests: Vec<_> = jobs.iter().map(|charge| rows::uuid(&charge.request)).collect();
    let [locked, before] = tx.read([payers::lock(&accounts), call(PAID_BEFORE, &[&requests])]).await?;
    let mut payers = Payers::new(&locked)?;
    let mut paid = read(&before)?;
    let answers = jobs.iter().map(|charge| pay(&mut payers, &mut paid, charge)).collect();
    if let Some(columns) = payers.into_columns() {
        tx.commit(columns.calls()).await?;
    }
    Ok(answers)
}

type Paid = HashMap<RequestId, (AccountId, Charged)>;

fn pay(payers: &mut Payers, paid: &mut Paid, charge: &Charge) -> Result<Charged, StoreError> {
    match paid.get(&charge.request) {
        Some((account, charged)) if *account == charge.account => return Ok(*charged),
        Some(_) => return Err(StoreError::Conflict { what: "request" }),
        None => {}
    }
    let charged = payers.pay(charge, Cause::Request)?;
    if matches!(charged, Charged::Paid { .. }) {
        paid.insert(charge.request, (charge.account, charged));
    }
    Ok(charged)
}

/// Entries of charges.
fn read(found: &Rows) -> Result<Paid, StoreError> {
    let mut paid = Paid::with_capacity(found.rows.len());
    for row in &found.rows {
        let request = RequestId::from_bytes(rows::get::<uuid::Uuid>(row, 3)?.into_bytes());
        let charged = Charged::Paid { balance: rows::credits(row, 1)?, ledger_seq: rows::count(row, 2)? };
        paid.insert(request, (AccountId::from_i64(rows::get(row, 0)?), charged));
    }
    Ok(paid)
}
