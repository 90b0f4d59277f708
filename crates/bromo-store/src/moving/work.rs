//! Parts: tasks and their deliveries.
//!
//! A task that ran when the folder was last closed waits again, with one more cut, as if its store were opened: cut
//! attempts do not count, and may be made again at once. -1099511627776 stands there for what is not yet known.

use super::part::Kind::{Bool, Bytes, Host, Int2, Int4, Int8, KeyHash, Uuid};
use super::part::{PLAIN, Part, made, same, sum, sums};

const TASKS: &str = "tasks t CROSS JOIN questions q ON q.seq = t.seq";
const KEY: &str = "t.account || ':' || q.idempotency_key";

/// Tasks, and what became of them.
pub(super) const WORK: &[Part] = &[
    Part {
        name: "tasks",
        table: "tasks",
        from: TASKS,
        key: &["t.seq"],
        columns: &[
            made("id", Uuid, "t.id"),
            made("account", Int8, "t.account"),
            made("seq", Int8, "t.seq"),
            made("key", Int8, "q.key"),
            made("price", Int8, "t.price"),
            made("created_at", Int8, "t.created_at"),
            made("key_hash", KeyHash, KEY),
            made("clusters_max", Int4, "t.clusters_max"),
            made("endpoint", Int2, "t.endpoint"),
            made("kind", Int2, "t.kind"),
            made("priority", Int2, "t.priority"),
            made("payload", Bytes, "q.payload"),
            made("webhook", Bytes, "q.webhook"),
            made("idempotency_key", Bytes, "q.idempotency_key"),
        ],
        sums: &[sum("credits asked", "price"), sum("bytes of questions", "octet_length(payload)")],
        ..PLAIN
    },
    Part {
        name: "idempotency keys",
        table: "task_keys",
        from: TASKS,
        only: "q.idempotency_key IS NOT NULL",
        key: &["t.seq"],
        columns: &[made("hash", KeyHash, KEY), made("id", Uuid, "t.id")],
        ..PLAIN
    },
    Part {
        name: "queued tasks",
        table: "queue",
        from: "tasks t CROSS JOIN questions q ON q.seq = t.seq LEFT JOIN claims c ON c.seq = t.seq",
        only: "t.end_seq < 0",
        key: &["t.seq"],
        columns: &[
            made("seq", Int8, "t.seq"),
            made("id", Uuid, "t.id"),
            made("account", Int8, "t.account"),
            made("hold", Int8, "t.price + t.clusters_max"),
            made("not_before", Int8, "CASE WHEN c.seq IS NULL THEN t.not_before END"),
            made("started_at", Int8, "CASE WHEN c.seq IS NULL THEN t.started_at ELSE c.started_at END"),
            made("cuts", Int4, "t.cuts + (c.seq IS NOT NULL)"),
            made("attempts", Int2, "t.attempts"),
            made("priority", Int2, "t.priority"),
            made("line", Int2, "CASE t.kind WHEN 1 THEN 8 ELSE t.endpoint END"),
            made("endpoint", Int2, "t.endpoint"),
            made("host", Host, "q.webhook"),
        ],
        sums: &[
            sums("credits held", "t.price + t.clusters_max", "hold"),
            sums("attempts", "t.attempts", "attempts"),
            sums("cuts", "t.cuts + (c.seq IS NOT NULL)", "cuts"),
            sum("of priority 10", "CASE priority WHEN 10 THEN 1 ELSE 0 END"),
            sum("of priority 9", "CASE priority WHEN 9 THEN 1 ELSE 0 END"),
            sum("of priority 8", "CASE priority WHEN 8 THEN 1 ELSE 0 END"),
            sum("of priority 7", "CASE priority WHEN 7 THEN 1 ELSE 0 END"),
            sum("of priority 6", "CASE priority WHEN 6 THEN 1 ELSE 0 END"),
            sum("of priority 5", "CASE priority WHEN 5 THEN 1 ELSE 0 END"),
            sum("of priority 4", "CASE priority WHEN 4 THEN 1 ELSE 0 END"),
            sum("of priority 3", "CASE priority WHEN 3 THEN 1 ELSE 0 END"),
            sum("of priority 2", "CASE priority WHEN 2 THEN 1 ELSE 0 END"),
            sum("of priority 1", "CASE priority WHEN 1 THEN 1 ELSE 0 END"),
        ],
        ..PLAIN
    },
    Part {
        name: "results",
        table: "results",
        from: "results r CROSS JOIN tasks t ON t.seq = r.seq",
        key: &["r.end_seq"],
        columns: &[
            made("id", Uuid, "t.id"),
            made("seq", Int8, "r.seq"),
            // Neither a claim's nor that of a task that ended in the queue: nobody can make this end again.
            made("fence", Int8, "-1"),
            made("started_at", Int8, "r.started_at"),
            made("ended_at", Int8, "r.ended_at"),
            made("charged", Int8, "r.charged"),
            made("attempts", Int2, "r.attempts"),
            made("state", Int2, "t.state"),
            made("short", Bool, "0"),
            made("response", Bytes, "r.response"),
        ],
        sums: &[
            sum("credits charged", "charged"),
            sum("bytes of answers", "octet_length(response)"),
            sums("attempts", "r.attempts", "attempts"),
            sum("completed", "CASE state WHEN 4 THEN 1 ELSE 0 END"),
            sum("failed", "CASE state WHEN 5 THEN 1 ELSE 0 END"),
        ],
        ..PLAIN
    },
    Part {
        name: "ends of keeping",
        table: "expiries",
        from: "results r CROSS JOIN tasks t ON t.seq = r.seq",
        key: &["r.end_seq"],
        columns: &[
            made("expires_at", Int8, "r.expires_at"),
            made("id", Uuid, "t.id"),
            made("seq", Int8, "r.seq"),
            made("account", Int8, "t.account"),
        ],
        ..PLAIN
    },
    Part {
        name: "pending deliveries",
        table: "due",
        from: "deliveries d CROSS JOIN tasks t ON t.seq = d.seq",
        only: "d.state = 2",
        key: &["d.end_seq"],
        columns: &[
            made("seq", Int8, "d.seq"),
            made("id", Uuid, "t.id"),
            made("account", Int8, "d.account"),
            made("due_at", Int8, "d.due_at"),
            made("booked_at", Int8, "d.booked_at"),
            made("delivered_at", Int8, "nullif(d.delivered_at, -1099511627776)"),
            made("attempts", Int4, "d.attempts"),
            made("round_attempts", Int4, "d.round_attempts"),
            made("lane", Int2, "CASE d.attempts WHEN 0 THEN 0 ELSE 1 END"),
            made("host", Bytes, "d.host"),
        ],
        sums: &[sums("attempts", "d.attempts", "attempts")],
        ..PLAIN
    },
    Part {
        name: "ended deliveries",
        table: "deliveries",
        from: "deliveries d CROSS JOIN tasks t ON t.seq = d.seq",
        only: "d.state <> 2",
        key: &["d.end_seq"],
        columns: &[
            made("id", Uuid, "t.id"),
            made("seq", Int8, "d.seq"),
            made("account", Int8, "d.account"),
            made("booked_at", Int8, "d.booked_at"),
            made("delivered_at", Int8, "nullif(d.delivered_at, -1099511627776)"),
            made("ended_at", Int8, "d.ended_at"),
            made("attempts", Int4, "d.attempts"),
            made("state", Int2, "d.state"),
            made("host", Bytes, "d.host"),
        ],
        sums: &[
            sums("attempts", "d.attempts", "attempts"),
            sums("delivered", "CASE d.state WHEN 3 THEN 1 ELSE 0 END", "CASE state WHEN 3 THEN 1 ELSE 0 END"),
            sums("given up", "CASE d.state WHEN 4 THEN 1 ELSE 0 END", "CASE state WHEN 4 THEN 1 ELSE 0 END"),
        ],
        ..PLAIN
    },
    Part {
        name: "delivery attempts",
        table: "delivery_attempts",
        from: "delivery_attempts a CROSS JOIN deliveries d ON d.end_seq = a.end_seq
            CROSS JOIN tasks t ON t.seq = d.seq",
        key: &["a.end_seq", "a.number"],
        columns: &[
            made("id", Uuid, "t.id"),
            made("seq", Int8, "d.seq"),
            same("at", Int8),
            same("number", Int4),
            same("took_ms", Int8),
            same("status", Int4),
            same("error", Bytes),
            same("response", Bytes),
        ],
        sums: &[sum("milliseconds", "took_ms"), sum("bytes of responses", "octet_length(response)")],
        ..PLAIN
    },
];
