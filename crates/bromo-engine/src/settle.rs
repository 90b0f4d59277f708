//! The charge of an answer: the point of no return.

use bromo_admission::{Permit, Settled};
use bromo_rules::credit::Credits;
use bromo_rules::problem::Problem;
use bromo_store::{Charge, Charged, StoreError};

use crate::{Engine, Record};

/// A commit that failed is tried once more: a charge is keyed by its request, so it cannot double.
const CHARGE_TRIES: u32 = 2;

/// Why an answer was not paid for, and so is not given.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The commit failed; the hold is refunded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's balance did not cover what admission held.
    #[error("balance does not cover a held price")]
    Short,
    /// The slot was lost before the charge.
    #[error("slot lost")]
    SlotLost,
    /// The settling task broke.
    #[error("settling was cut off")]
    CutOff,
}

impl Engine {
    /// Commits the charge, gives the slot back, and answers with the balance.
    ///
    /// The work is a task that outlives its caller: from here on the request is a 200, charged and logged
    /// so, even if the client leaves (design D9). Permit and hold stay with it until the commit answered.
    pub(crate) async fn settle(
        &self,
        permit: Permit,
        charge: Charge,
        mut record: Record,
    ) -> (Option<Record>, Result<Credits, SettleError>) {
        let (store, counters) = (self.parts.store.clone(), self.counters.clone());
        let settling = self.parts.tracker.spawn(async move {
            record.fail(Problem::INTERNAL); // What the line says if the program ends meanwhile.
            let mut charged = None;
            for _ in 0..CHARGE_TRIES {
                if !matches!(charged, None | Some(Err(StoreError::Unavailable { .. }))) || !permit.is_live() {
                    break;
                }
                charged = Some(store.charge(charge).await);
            }
            let Some(charged) = charged else {
                permit.release(None).await;
                counters.failed.count();
                record.fail(Problem::UNAVAILABLE);
                return (record, Err(SettleError::SlotLost));
            };
            let (settled, outcome) = match charged {
                Ok(Charged::Paid { balance, ledger_seq }) => {
                    counters.credits_charged.add(u64::try_from(charge.price.get()).unwrap_or(0));
                    (Some(Settled { balance, ledger_seq }), Ok(balance))
                }
                Ok(Charged::Short) => {
                    counters.charges_short.count();
                    (None, Err(SettleError::Short))
                }
                Err(error) => {
                    counters.charges_failed.count();
                    (None, Err(SettleError::Store(error)))
                }
            };
            match &outcome {
                Ok(_) => record.succeed(charge.price),
                Err(SettleError::Store(_)) => record.fail(Problem::UNAVAILABLE),
                Err(SettleError::Short | SettleError::SlotLost | SettleError::CutOff) => {
                    record.fail(Problem::INTERNAL);
                }
            }
            if outcome.is_ok() { &counters.answered } else { &counters.failed }.count();
            permit.release(settled).await;
            (record, outcome)
        });
        match settling.await {
            Ok((record, outcome)) => (Some(record), outcome),
            Err(_) => (None, Err(SettleError::CutOff)),
        }
    }
}
