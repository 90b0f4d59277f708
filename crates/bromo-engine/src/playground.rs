//! Who the playground asks as: a key of the account like any other, so that limits, charges and log lines are those of
//! every call.

use std::sync::Arc;

use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_store::StoreError;

use crate::account::AccountError;
use crate::{Caller, Engine};

/// What the playground's keys are called. Nobody ever sees such a key whole.
pub const KEY_NAME: &str = "playground";

impl Engine {
    /// The caller behind the account's playground key of this kind, which is made when it is first needed or when its
    /// owner has revoked the one before.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn playground_caller(
        &self,
        account: AccountId,
        kind: KeyKind,
    ) -> Result<Arc<Caller>, AccountError> {
        let keys = self.store().list_keys(account).await?;
        let is_ours = |name: Option<&str>| name == Some(KEY_NAME);
        let ours = keys
            .iter()
            .find(|key| key.kind == kind && key.revoked_at.is_none() && is_ours(key.name.as_deref()));
        let hash = match ours {
            Some(key) => key.hash,
            None => self.create_key(account, kind, Some(KEY_NAME)).await?.0.hash,
        };
        Ok(self.caller(&hash).await?.ok_or(StoreError::Missing { what: "key" })?)
    }
}
