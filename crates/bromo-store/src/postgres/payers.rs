//! The accounts that pay in one group: one lock and one update each, however many charges.

use std::collections::HashMap;

use bromo_rules::account::{Account, ChangeError, Entry};
use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use uuid::Uuid;

use super::link::{Call, Rows, call};
use super::rows::{self, account_columns, column};
use crate::error::StoreError;
use crate::ledger::{Charge, Charged};

/// Locks accounts and reads them. In id order, as everywhere,
/// so that no two transactions wait for each other.
const LOCK: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts a WHERE a.id = ANY($1) ORDER BY a.id FOR NO KEY UPDATE"
);

const UPDATE: &str = "UPDATE accounts a
    SET balance_plan = n.plan, balance_granted = n.granted, ledger_seq = n.seq
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n (id, plan, granted, seq)
    WHERE a.id = ANY(ARRAY[n.id])";

/// Entries, by columns.
const INSERT_ENTRIES: &str = "INSERT INTO ledger (account, seq, kind, amount, balance, request, task, at)
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[],
                          $7::uuid[], $8::bigint[])";

/// What a charge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// An answer. It may be asked for again.
    Request,
    /// A task, which ends once.
    Task,
}

/// The statement that locks accounts, for [`Payers::new`]; one of each at most.
pub(super) fn lock(ids: &Vec<i64>) -> Call<'_> {
    call(LOCK, &[ids])
}

/// The accounts that pay in one group, locked.
pub(super) struct Payers {
    accounts: HashMap<AccountId, Account>,
    entries: Vec<(Entry, Cause)>,
}

impl Payers {
    /// The accounts that [`lock`] found.
    pub(super) fn new(locked: &Rows) -> Result<Self, StoreError> {
        let accounts = locked.rows.iter().map(|row| rows::account(row, 0));
        let accounts = accounts.map(|account| account.map(|account| (account.id, account)));
        Ok(Self { accounts: accounts.collect::<Result<_, _>>()?, entries: Vec::new() })
    }

    /// Takes the price from the account as it stands now. Whether the same was paid before is known to whoever asks.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or [`StoreError::Refused`] if the price is not above 0: of this charge alone.
    pub(super) fn pay(&mut self, charge: &Charge, cause: Cause) -> Result<Charged, StoreError> {
        if charge.price <= Credits::ZERO {
            return Err(ChangeError::OutOfRange.into());
        }
        let account =
            self.accounts.get_mut(&charge.account).ok_or(StoreError::Missing { what: "account" })?;
        let Some(entry) = account.charge(charge.request, charge.price, charge.at) else {
            return Ok(Charged::Short);
        };
        let paid = Charged::Paid { balance: entry.balance, ledger_seq: entry.seq };
        self.entries.push((entry, cause));
        Ok(paid)
    }

    /// What is to be written, by columns; none if nobody paid.
    pub(super) fn into_columns(self) -> Option<Columns> {
        let mut columns = Columns::default();
        for (entry, cause) in &self.entries {
            columns.entries.push(entry, *cause);
        }
        columns.entries.accounts.first()?;
        let mut ids = columns.entries.accounts.clone();
        ids.sort_unstable();
        ids.dedup();
        for account in ids.iter().filter_map(|id| self.accounts.get(&AccountId::from_i64(*id))) {
            columns.plans.push(account.balance.plan.get());
            columns.granteds.push(account.balance.granted.get());
            columns.seqs.push(column(account.ledger_seq));
        }
        columns.ids = ids;
        Some(columns)
    }
}

/// Accounts and entries by columns, one array each.
#[derive(Default)]
pub(super) struct Columns {
    ids: Vec<i64>,
    plans: Vec<i64>,
    granteds: Vec<i64>,
    seqs: Vec<i64>,
    entries: Entries,
}

impl Columns {
    /// The statements that write them.
    pub(super) fn calls(&self) -> [Call<'_>; 2] {
        let Self { ids, plans, granteds, seqs, entries } = self;
        [call(UPDATE, &[ids, plans, granteds, seqs]), entries.call()]
    }
}

/// Ledger entries by columns.
#[derive(Default)]
pub(super) struct Entries {
    accounts: Vec<i64>,
    seqs: Vec<i64>,
    kinds: Vec<&'static str>,
    amounts: Vec<i64>,
    balances: Vec<i64>,
    requests: Vec<Option<Uuid>>,
    tasks: Vec<Option<Uuid>>,
    ats: Vec<i64>,
}

impl Entries {
    /// One more.
    pub(super) fn push(&mut self, entry: &Entry, cause: Cause) {
        let name = entry.request.as_ref().map(rows::uuid);
        let (request, task) = match cause {
            Cause::Request => (name, None),
            Cause::Task => (None, name),
        };
        self.accounts.push(entry.account.to_i64());
        self.seqs.push(column(entry.seq));
        self.kinds.push(entry.kind.word());
        self.amounts.push(entry.amount.get());
        self.balances.push(entry.balance.get());
        self.requests.push(request);
        self.tasks.push(task);
        self.ats.push(entry.at.millis());
    }

    /// The statement that writes them.
    pub(super) fn call(&self) -> Call<'_> {
        let Self { accounts, seqs, kinds, amounts, balances, requests, tasks, ats } = self;
        call(INSERT_ENTRIES, &[accounts, seqs, kinds, amounts, balances, requests, tasks, ats])
    }
}
