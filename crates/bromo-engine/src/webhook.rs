//! Webhooks as their owner handles them: secrets, the delivery log, redelivery.

use bromo_rules::id::AccountId;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;
use bromo_rules::webhook::{Secrets, WebhookSecret};
use bromo_store::{DeliveryAttempt, DeliveryState, SealedSecrets, StoreError};

use crate::account::AccountError;
use crate::seal::SealError;
use crate::{Engine, random};

/// Deliveries that are made due again in one transaction.
const REDELIVER_BATCH: u32 = 1000;

impl Engine {
    /// Puts a new signing secret in force for the account. It is shown here and never again; the one before signs too
    /// for 24 hours.
    ///
    /// # Errors
    /// [`AccountError`]; the old one stays in force.
    ///
    /// Source: docs/webhooks.md#secrets
    pub async fn rotate_webhook_secret(&self, account: AccountId) -> Result<WebhookSecret, AccountError> {
        let new = WebhookSecret::new(random::secret()?);
        // One after the other, or the secret of one of two callers would be shown and never sign.
        let _turn = self.rotating.lock().await;
        let sealed = self.parts.store.lookup_secrets(account).await?;
        // What cannot be opened any more cannot sign either: it is replaced.
        let old = sealed.and_then(|sealed| self.unsealed(account, &sealed).ok());
        let secrets = match old {
            Some(old) => old.rotated(new.clone(), self.clock().now()),
            None => new.clone().into(),
        };
        self.parts.store.put_secrets(account, Some(self.sealed(account, &secrets)?)).await?;
        Ok(new)
    }

    /// Sends the account's deliveries unsigned from now on.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn disable_webhook_secret(&self, account: AccountId) -> Result<(), AccountError> {
        Ok(self.parts.store.put_secrets(account, None).await?)
    }

    /// Every attempt at the delivery of a task.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Unavailable`].
    ///
    /// Source: docs/webhooks.md#delivery-log
    pub async fn delivery_attempts(
        &self,
        account: AccountId,
        task: TaskId,
    ) -> Result<(Option<DeliveryState>, Vec<DeliveryAttempt>), StoreError> {
        self.parts.store.list_attempts(account, task).await
    }

    /// Makes the delivery of a final task due now; none if it has no webhook or has not ended.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Unavailable`].
    ///
    /// Source: docs/webhooks.md#redelivering
    pub async fn redeliver(
        &self,
        account: AccountId,
        task: TaskId,
    ) -> Result<Option<DeliveryState>, StoreError> {
        let state = self.parts.store.redeliver(account, task, self.clock().now()).await?;
        self.later.due.notify_one();
        Ok(state)
    }

    /// Makes all deliveries of the account due again that were given up since then; their number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; some may be due again.
    ///
    /// Source: docs/webhooks.md#redelivering
    pub async fn redeliver_failed(&self, account: AccountId, since: Timestamp) -> Result<u64, StoreError> {
        let (store, now) = (&self.parts.store, self.clock().now());
        let mut all = 0;
        loop {
            let some = store.redeliver_failed(account, since, now, REDELIVER_BATCH).await?;
            self.later.due.notify_one();
            all += some;
            if some < u64::from(REDELIVER_BATCH) {
                return Ok(all);
            }
        }
    }

    pub(crate) fn sealed(
        &self,
        account: AccountId,
        secrets: &Secrets,
    ) -> Result<SealedSecrets, random::RandomError> {
        let (seal, owner) = (&self.parts.seal, account.to_string());
        let current = seal.seal(&owner, secrets.current.reveal())?;
        let previous = match &secrets.previous {
            Some((secret, until)) => Some((seal.seal(&owner, secret.reveal())?, *until)),
            None => None,
        };
        Ok(SealedSecrets { current, previous })
    }

    pub(crate) fn unsealed(&self, account: AccountId, sealed: &SealedSecrets) -> Result<Secrets, SealError> {
        let (seal, owner) = (&self.parts.seal, account.to_string());
        let open =
            |sealed: &[u8]| WebhookSecret::from_text(&seal.open(&owner, sealed)?).map_err(|_| SealError);
        let previous = match &sealed.previous {
            Some((secret, until)) => Some((open(secret)?, *until)),
            None => None,
        };
        Ok(Secrets { current: open(&sealed.current)?, previous })
    }
}
