//! Parts: accounts, who signs in to them, and their money.

use super::part::Kind::{Bool, Bytes, Int8, Text, Uuid};
use super::part::{PLAIN, Part, same, sum};

/// In the order in which they refer to each other.
pub(super) const BOOKS: &[Part] = &[
    Part {
        name: "accounts",
        table: "accounts",
        from: "accounts",
        key: &["id"],
        columns: &[
            same("id", Int8),
            same("name", Text),
            same("plan", Text),
            same("next_plan", Text),
            same("balance_plan", Int8),
            same("balance_granted", Int8),
            same("allocated", Int8),
            same("cycle_anchor", Int8),
            same("cycle_starts_at", Int8),
            same("cycle_ends_at", Int8),
            same("keep_texts", Bool),
            same("version", Int8),
            same("ledger_seq", Int8),
            same("created_at", Int8),
        ],
        sums: &[
            sum("credits of the plan", "balance_plan"),
            sum("credits granted", "balance_granted"),
            sum("ledger entries made", "ledger_seq"),
        ],
        ..PLAIN
    },
    Part {
        name: "keys",
        table: "keys",
        from: "keys",
        key: &["id"],
        columns: &[
            same("id", Int8),
            same("account", Int8),
            same("kind", Text),
            same("name", Text),
            same("hash", Bytes),
            same("last4", Text),
            same("created_at", Int8),
            same("revoked_at", Int8),
        ],
        sums: &[sum("revoked", "CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END")],
        ..PLAIN
    },
    Part {
        name: "ledger",
        table: "ledger",
        from: "ledger",
        key: &["place"],
        columns: &[
            same("account", Int8),
            same("seq", Int8),
            same("kind", Text),
            same("amount", Int8),
            same("balance", Int8),
            same("request", Uuid),
            same("task", Uuid),
            same("at", Int8),
        ],
        sums: &[
            sum("credits", "amount"),
            sum("charged for answers", "CASE WHEN request IS NULL THEN 0 ELSE -amount END"),
            sum("charged for tasks", "CASE WHEN task IS NULL THEN 0 ELSE -amount END"),
        ],
        ..PLAIN
    },
    Part {
        name: "webhook secrets",
        table: "webhook_secrets",
        from: "webhook_secrets",
        key: &["account"],
        columns: &[
            same("account", Int8),
            same("current", Bytes),
            same("previous", Bytes),
            same("previous_until", Int8),
        ],
        ..PLAIN
    },
    Part {
        name: "members",
        table: "members",
        from: "members",
        key: &["id"],
        columns: &[
            same("id", Int8),
            same("account", Int8),
            same("email", Text),
            same("role", Text),
            same("password", Text),
            same("created_at", Int8),
            same("seen_at", Int8),
        ],
        ..PLAIN
    },
    Part {
        name: "sessions",
        table: "sessions",
        from: "sessions",
        key: &["token"],
        columns: &[
            same("token", Bytes),
            same("member", Int8),
            same("created_at", Int8),
            same("expires_at", Int8),
        ],
        ..PLAIN
    },
    Part {
        name: "invitations",
        table: "invitations",
        from: "invitations",
        key: &["token"],
        columns: &[
            same("token", Bytes),
            same("account", Int8),
            same("email", Text),
            same("role", Text),
            same("invited_by", Int8),
            same("created_at", Int8),
            same("expires_at", Int8),
        ],
        ..PLAIN
    },
    Part {
        name: "sign-in links",
        table: "links",
        from: "links",
        key: &["token"],
        columns: &[same("token", Bytes), same("member", Int8), same("expires_at", Int8)],
        ..PLAIN
    },
    Part {
        name: "plan requests",
        table: "plan_requests",
        from: "plan_requests",
        key: &["account"],
        columns: &[
            same("account", Int8),
            same("plan", Text),
            same("requested_by", Int8),
            same("requested_at", Int8),
        ],
        ..PLAIN
    },
    Part {
        name: "stored pages",
        table: "pages",
        from: "pages",
        key: &["id"],
        columns: &[same("id", Uuid), same("expires_at", Int8), same("html", Bytes)],
        sums: &[sum("bytes", "octet_length(html)")],
        ..PLAIN
    },
];
