//! Names of the headers on a response, and the limit headers of a [`Standing`].

use crate::standing::Standing;

/// Names the request; also the id of its log line.
pub const REQUEST_ID: &str = "x-request-id";
/// Milliseconds from arrival to the first byte of the response.
pub const LATENCY_MS: &str = "x-latency-ms";
/// Credits taken for this request.
pub const CREDITS_CHARGED: &str = "x-credits-charged";
/// Balance after the charge.
pub const CREDITS_REMAINING: &str = "x-credits-remaining";

/// The limit headers of a decision, in the order they are sent: both concurrency families carry equal
/// values (contract D1).
///
/// Source: docs/concurrency.md#headers
pub const fn limits(standing: &Standing) -> [(&'static str, u32); 8] {
    let (rate, slots) = (standing.rate, standing.slots);
    [
        ("x-ratelimit-limit", rate.limit),
        ("x-ratelimit-remaining", rate.remaining),
        ("x-concurrent-limit", slots.limit),
        ("x-concurrent-current", slots.current),
        ("x-concurrent-remaining", slots.remaining()),
        ("x-concurrency-limit", slots.limit),
        ("x-concurrency-current", slots.current),
        ("x-concurrency-remaining", slots.remaining()),
    ]
}
