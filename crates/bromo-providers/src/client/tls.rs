//! TLS with the system's roots, read once.

use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};

use super::ClientError;

/// Receivers whose TLS sessions are remembered.
const RECEIVER_SESSIONS_MAX: usize = 1024;

/// The configuration for every `https` target.
///
/// Reading the roots takes tens of milliseconds of file access, so it happens where a target is made, at
/// start, and never inside a call.
pub(super) fn config() -> Result<Arc<ClientConfig>, ClientError> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, ClientError>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "cannot read a certificate of the system");
            }
            let mut roots = RootCertStore::empty();
            let (taken, _) = roots.add_parsable_certificates(found.certs);
            if taken == 0 {
                return Err(ClientError::BadAddress {
                    reason: "https needs the system's root certificates: install ca-certificates".to_owned(),
                });
            }
            config_with(roots)
        })
        .clone()
}

/// The configuration for deliveries: the same, with sessions of its own, so that many receivers do not push
/// out those of a few providers.
pub(crate) fn receiver_config() -> Result<Arc<ClientConfig>, ClientError> {
    let mut config = ClientConfig::clone(&*config()?);
    config.resumption = Resumption::in_memory_sessions(RECEIVER_SESSIONS_MAX);
    Ok(Arc::new(config))
}

pub(crate) fn config_with(roots: RootCertStore) -> Result<Arc<ClientConfig>, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::BadAddress { reason: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
