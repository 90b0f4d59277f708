//! Accounts, plans and keys: for the dashboard and the command line alike. Every change is committed in
//! the store and in force in admission before the method returns (promise S4).

use std::sync::Arc;

use bromo_admission::AdmissionError;
use bromo_rules::account::{Account, Change, Entry, Key};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::key::{ApiKey, KeyKind};
use bromo_rules::webhook::WebhookSecret;
use bromo_store::{SealedSecrets, StoreError};

use crate::Engine;
use crate::random::{self, RandomError};

/// Characters that a name of an account or a key may have.
pub const NAME_MAX: usize = 64;
/// Accounts on one page of a list.
pub const PAGE_MAX: u32 = 1000;
/// Keys of an account that work.
pub const KEYS_MAX: usize = 1000;

/// Why an account was not changed, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no plan of that name.
    #[error("no plan `{0}`")]
    NoPlan(String),
    /// The account has as many keys as it may.
    #[error("an account has at most {KEYS_MAX} keys that work: revoke one first")]
    TooManyKeys,
    /// Names are 1 to 64 characters without control characters.
    #[error("a name has 1 to {NAME_MAX} characters, none of them a control character")]
    BadName,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is stored, and not yet in force.
    #[error("stored, not yet in force: {0}")]
    NotInForce(#[from] AdmissionError),
    /// The program ends; whether the change was made shows when it is up again.
    #[error("cut off by the end of the program")]
    CutOff,
    /// No key can be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// An account that was just made, with all that is shown once.
#[derive(Debug)]
pub struct NewAccount {
    /// The account.
    pub account: Account,
    /// Its first key.
    pub key: ApiKey,
    /// What its deliveries are signed with.
    pub webhook_secret: WebhookSecret,
}

/// An account that is not written yet.
pub(crate) struct Opening {
    pub(crate) account: Account,
    pub(crate) entry: Entry,
    webhook_secret: WebhookSecret,
    pub(crate) sealed: SealedSecrets,
}

impl Engine {
    /// Makes an account with its first live key and its webhook secret. Both are shown here and never again.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was made.
    pub async fn create_account(&self, name: &str, plan: &str) -> Result<NewAccount, AccountError> {
        let Opening { account, entry, webhook_secret, sealed } = self.open_account(name, plan)?;
        let (key, secret) = self.new_key(account.id, KeyKind::Live, None)?;
        self.parts.store.create_account(&account, &entry, Some(&key), Some(&sealed), None).await?;
        self.parts.admission.open(self.parts.facts(&account)).await?;
        Ok(NewAccount { account, key: secret, webhook_secret })
    }

    /// The account of this id or name.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    pub async fn find_account(&self, id_or_name: &str) -> Result<Account, AccountError> {
        let store = &self.parts.store;
        let by_id = match id_or_name.parse::<AccountId>() {
            Ok(id) => store.lookup_account(id).await?,
            Err(_) => None,
        };
        let found = match by_id {
            Some(account) => Some(account),
            None => store.lookup_account_by_name(id_or_name).await?,
        };
        Ok(found.ok_or(StoreError::Missing { what: "account" })?)
    }

    /// Puts the account on this plan at once, up or down. A lower limit kills nothing that runs.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_plan(&self, account: AccountId, plan: &str) -> Result<Account, AccountError> {
        let plan = self.parts.plans.lookup(plan).ok_or_else(|| AccountError::NoPlan(plan.to_owned()))?;
        let changed = self.change(account, Change::SetPlan(plan.clone())).await?;
        self.fulfil(account, &plan.name).await;
        Ok(changed)
    }

    /// Lets this plan begin with the next credit cycle.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn schedule_plan(&self, account: AccountId, plan: &str) -> Result<Account, AccountError> {
        let plan = self.parts.plans.lookup(plan).ok_or_else(|| AccountError::NoPlan(plan.to_owned()))?;
        let changed = self.change(account, Change::SchedulePlan(plan.clone())).await?;
        self.fulfil(account, &plan.name).await;
        Ok(changed)
    }

    /// Adds credits that stay until spent.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn grant(&self, account: AccountId, credits: Credits) -> Result<Account, AccountError> {
        self.change(account, Change::Grant(credits)).await
    }

    /// Keeps questions and answers with the request log from now on, or no longer.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_keep_texts(&self, account: AccountId, keep: bool) -> Result<Account, AccountError> {
        self.change(account, Change::KeepTexts(keep)).await
    }

    /// Makes a key. It is shown here and never again.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn create_key(
        &self,
        account: AccountId,
        kind: KeyKind,
        name: Option<&str>,
    ) -> Result<(Key, ApiKey), AccountError> {
        let name = name.map(check_name).transpose()?;
        let keys = self.parts.store.list_keys(account).await?;
        if keys.iter().filter(|key| key.revoked_at.is_none()).count() >= KEYS_MAX {
            return Err(AccountError::TooManyKeys);
        }
        let (key, secret) = self.new_key(account, kind, name)?;
        self.parts.store.create_key(&key).await?;
        Ok((key, secret))
    }

    /// Ends a key: the next request with it is a 401.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn revoke_key(&self, id: KeyId) -> Result<Key, AccountError> {
        let (parts, now) = (Arc::clone(&self.parts), self.parts.clock.now());
        let in_force = Arc::clone(&self.in_force);
        self.whole(async move {
            let (key, account) = parts.store.revoke_key(id, now).await?;
            in_force.put(&parts, &account).await?;
            Ok(key)
        })
        .await
    }

    /// Whoever asked for that plan has it, or will.
    async fn fulfil(&self, account: AccountId, plan: &str) {
        let store = &self.parts.store;
        let fulfilled = async {
            match store.lookup_plan_request(account).await? {
                Some(request) if request.plan == plan => store.put_plan_request(account, None).await,
                _ => Ok(()),
            }
        };
        if let Err(error) = fulfilled.await {
            tracing::warn!(%error, %account, plan, "the plan is given, and is still asked for");
        }
    }

    /// An account on that plan, to be written.
    pub(crate) fn open_account(&self, name: &str, plan: &str) -> Result<Opening, AccountError> {
        let name = check_name(name)?;
        let plan = self.parts.plans.lookup(plan).ok_or_else(|| AccountError::NoPlan(plan.to_owned()))?;
        let id = AccountId::from_random(u64::from_le_bytes(random::secret()?));
        let (account, entry) = Account::open(id, name, plan, self.parts.clock.now());
        let webhook_secret = WebhookSecret::new(random::secret()?);
        let sealed = self.sealed(id, &webhook_secret.clone().into())?;
        Ok(Opening { account, entry, webhook_secret, sealed })
    }

    /// Runs a change to its end even if the asker leaves: a change that is stored must come into force.
    async fn whole<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, AccountError>> + Send + 'static,
    ) -> Result<T, AccountError> {
        self.parts.tracker.spawn(change).await.unwrap_or(Err(AccountError::CutOff))
    }

    async fn change(&self, account: AccountId, change: Change) -> Result<Account, AccountError> {
        let (parts, now) = (Arc::clone(&self.parts), self.parts.clock.now());
        let in_force = Arc::clone(&self.in_force);
        self.whole(async move {
            let (store, admission, plans) = (&parts.store, &parts.admission, &parts.plans);
            // A cycle that is over begins first: a change for the next cycle must not fall into the one due.
            let held = admission.held(account).await?;
            store.change_account(account, &Change::StartCycle { held }, plans, now).await?;
            let account = store.change_account(account, &change, plans, now).await?;
            in_force.put(&parts, &account).await?;
            Ok(account)
        })
        .await
    }

    fn new_key(
        &self,
        account: AccountId,
        kind: KeyKind,
        name: Option<&str>,
    ) -> Result<(Key, ApiKey), AccountError> {
        let secret = ApiKey::new(kind, random::secret()?);
        let key = Key {
            id: KeyId::from_random(u64::from_le_bytes(random::secret()?)),
            account,
            kind,
            name: name.map(str::to_owned),
            hash: secret.hash(),
            last4: secret.last4().to_owned(),
            created_at: self.parts.clock.now(),
            revoked_at: None,
        };
        Ok((key, secret))
    }
}

fn check_name(name: &str) -> Result<&str, AccountError> {
    let name = name.trim();
    let good = !name.is_empty() && name.chars().count() <= NAME_MAX && !name.chars().any(char::is_control);
    if good { Ok(name) } else { Err(AccountError::BadName) }
}
