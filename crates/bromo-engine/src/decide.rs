//! The one decision of a request, on an account that is up to date.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bromo_admission::{AdmissionError, Ask, Decision, Denial, Permit, RouteIndex, Want};
use bromo_rules::account::{Account, Change};
use bromo_rules::credit::Price;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_rules::standing::Standing;
use bromo_store::StoreError;

use crate::{Caller, Engine, Parts};

/// An account that changes more often than this during one decision is given up on.
const STALE_MAX: u32 = 8;

/// What the decision came to.
#[derive(Debug)]
pub enum Decided {
    /// The rate window had room; no slot was asked for.
    Counted(Standing),
    /// Slot and hold are taken.
    Admitted(Standing, Permit),
    /// Nothing is held.
    Denied(Standing, Denial),
}

/// Why no decision was made.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The key was revoked since it was cached.
    #[error("key revoked")]
    Revoked,
    /// The counts are out of reach.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The account is out of reach.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The account changed faster than it could be read.
    #[error("account changed {STALE_MAX} times during one decision")]
    Restless,
}

impl Engine {
    /// Decides on one request. `work` is what a slot is wanted for; nothing asks for the rate alone.
    ///
    /// Where the cached account is stale, or its credit cycle is over, the account is brought up to date
    /// first, so `caller` may be another afterwards.
    ///
    /// # Errors
    /// [`DecideError`]: the request gets a 503, or a 401 where the key was revoked.
    pub async fn decide(
        &self,
        caller: &mut Arc<Caller>,
        route: RouteIndex,
        work: Option<(Endpoint, Price)>,
    ) -> Result<Decided, DecideError> {
        let decided = self.decide_on_fresh_account(caller, route, work).await;
        match &decided {
            Ok(Decided::Denied(_, denial)) => self.counters.denied(*denial),
            Ok(_) | Err(DecideError::Revoked) => {}
            Err(_) => self.counters.undecided.count(),
        }
        decided
    }

    async fn decide_on_fresh_account(
        &self,
        caller: &mut Arc<Caller>,
        route: RouteIndex,
        work: Option<(Endpoint, Price)>,
    ) -> Result<Decided, DecideError> {
        for _ in 0..STALE_MAX {
            let now = self.parts.clock.now();
            if now >= caller.cycle_ends_at {
                self.start_cycle(caller).await?;
            }
            let want = work.map(|(endpoint, price)| Want {
                hold: price.hold(),
                usually_ends: now.plus(self.usual(caller, endpoint)),
            });
            let (facts, key, rate) = (caller.facts, caller.key, self.parts.settings.rate);
            let ask = Ask { facts, key, route, rate, now, want };
            match self.parts.admission.admit(&ask).await? {
                Decision::Counted(standing) => return Ok(Decided::Counted(standing)),
                Decision::Admitted(standing, permit) => return Ok(Decided::Admitted(standing, permit)),
                Decision::Denied(standing, denial) => return Ok(Decided::Denied(standing, denial)),
                Decision::Stale => self.refresh(caller).await?,
            }
        }
        Err(DecideError::Restless)
    }

    async fn start_cycle(&self, caller: &mut Arc<Caller>) -> Result<(), DecideError> {
        self.parts.start_cycle(caller.facts.account).await?;
        self.refresh(caller).await
    }

    async fn refresh(&self, caller: &mut Arc<Caller>) -> Result<(), DecideError> {
        *caller = self.read_caller(&caller.hash).await?.ok_or(DecideError::Revoked)?;
        Ok(())
    }

    fn usual(&self, caller: &Caller, endpoint: Endpoint) -> Duration {
        match caller.kind {
            KeyKind::Test => Duration::ZERO, // The sandbox answers when its script says, mostly at once.
            KeyKind::Live => self.usually(endpoint),
        }
    }

    /// How long an endpoint's answers took lately.
    pub(crate) fn usually(&self, endpoint: Endpoint) -> Duration {
        Duration::from_millis(self.usual_ms[endpoint.index()].load(Ordering::Relaxed))
    }

    /// Moves the usual duration of an endpoint by an eighth towards this one.
    pub(crate) fn took(&self, endpoint: Endpoint, took: Duration) {
        let usual = &self.usual_ms[endpoint.index()];
        let (old, took) =
            (usual.load(Ordering::Relaxed), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        usual.store(old - old / 8 + took / 8, Ordering::Relaxed);
    }
}

impl Parts {
    /// The account as it is now, its cycle begun.
    pub(crate) async fn current(&self, id: AccountId) -> Result<Account, DecideError> {
        let account = self.store.lookup_account(id).await?.ok_or(StoreError::Missing { what: "account" })?;
        if account.cycle.is_over(self.clock.now()) { self.start_cycle(id).await } else { Ok(account) }
    }

    async fn start_cycle(&self, id: AccountId) -> Result<Account, DecideError> {
        let held = self.admission.held(id).await?;
        let change = Change::StartCycle { held };
        let account = self.store.change_account(id, &change, &self.plans, self.clock.now()).await?;
        self.admission.announce(self.facts(&account)).await?;
        Ok(account)
    }
}
