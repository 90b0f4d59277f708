//! Webhooks: the signing secret and deliveries.
