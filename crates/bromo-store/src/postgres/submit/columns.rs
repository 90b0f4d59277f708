//! New tasks, by columns, and how they are written.

use bromo_rules::id::AccountId;
use bromo_rules::task::NewTask;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::numbers;
use crate::postgres::task_rows;

/// The parameters $1 to $16 of a statement that writes, each an array.
macro_rules! given {
    () => {
        "$1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::uuid[], $7::int[], $8::smallint[],
            $9::smallint[], $10::smallint[], $11::smallint[], $12::bytea[], $13::bytea[], $14::bytea[], $15::bytea[],
            $16::bigint[]"
    };
}
pub(super) use given;

/// The columns that they are.
macro_rules! given_columns {
    () => {
        "id, account, key, price, created_at, key_hash, clusters_max, endpoint, kind, priority, line,
            payload, webhook, idempotency_key, host, hold"
    };
}
pub(super) use given_columns;

/// Writes the rows of `new`, which are those that were given, with a `seq`.
macro_rules! writing {
    () => {
        "keys AS (INSERT INTO task_keys (hash, id) SELECT key_hash, id FROM new WHERE key_hash IS NOT NULL),
    tasks AS (INSERT INTO tasks (id, account, seq, key, price, created_at, key_hash, clusters_max, endpoint, kind,
            priority, payload, webhook, idempotency_key)
        SELECT id, account, seq, key, price, created_at, key_hash, clusters_max, endpoint, kind,
            priority, payload, webhook, idempotency_key FROM new),
    queue AS (INSERT INTO queue (seq, id, account, hold, priority, line, endpoint, host)
        SELECT seq, id, account, hold, priority, line, endpoint, host FROM new),
    counted AS (INSERT INTO queue_in AS i (account, priority, tasks, floor)
        SELECT account, priority, count(*), min(seq) FROM new GROUP BY account, priority ORDER BY account, priority
    ON CONFLICT (account, priority) DO UPDATE
        SET tasks = i.tasks + excluded.tasks, floor = least(i.floor, excluded.floor))"
    };
}
pub(super) use writing;

/// New rows, a vector a column.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) ids: Vec<Uuid>,
    accounts: Vec<i64>,
    keys: Vec<i64>,
    prices: Vec<i64>,
    created_at: Vec<i64>,
    key_hashes: Vec<Option<Uuid>>,
    clusters_max: Vec<i32>,
    endpoints: Vec<i16>,
    kinds: Vec<i16>,
    priorities: Vec<i16>,
    lines: Vec<i16>,
    payloads: Vec<&'a [u8]>,
    webhooks: Vec<Option<&'a [u8]>>,
    idempotency_keys: Vec<Option<&'a [u8]>>,
    hosts: Vec<Option<&'a [u8]>>,
    holds: Vec<i64>,
}

impl<'a> Columns<'a> {
    /// One more.
    pub(super) fn push(
        &mut self,
        account: AccountId,
        task: &'a NewTask,
        hash: Option<Uuid>,
        host: Option<&'a str>,
    ) {
        self.ids.push(task_rows::uuid(task.id));
        self.accounts.push(account.to_i64());
        self.keys.push(task.key.to_i64());
        self.prices.push(task.price.fixed.get());
        self.created_at.push(task.created_at.millis());
        self.key_hashes.push(hash);
        self.clusters_max.push(i32::try_from(task.price.clusters_max).unwrap_or(i32::MAX));
        self.endpoints.push(numbers::of_endpoint(task.endpoint));
        self.kinds.push(numbers::of_kind(task.kind));
        self.priorities.push(task.priority.get().into());
        self.lines.push(task_rows::line(task.endpoint, task.kind));
        self.payloads.push(task.payload.as_bytes());
        self.webhooks.push(task.webhook.as_deref().map(str::as_bytes));
        self.idempotency_keys.push(task.idempotency_key.as_deref().map(str::as_bytes));
        self.hosts.push(host.map(str::as_bytes));
        self.holds.push(task.price.hold().get());
    }

    /// As parameters $1 to $16.
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 16] {
        let Self { ids, accounts, keys, prices, created_at, key_hashes, clusters_max, .. } = self;
        let Self { endpoints, kinds, priorities, lines, payloads, webhooks, idempotency_keys, hosts, .. } =
            self;
        [
            ids,
            accounts,
            keys,
            prices,
            created_at,
            key_hashes,
            clusters_max,
            endpoints,
            kinds,
            priorities,
            lines,
            payloads,
            webhooks,
            idempotency_keys,
            hosts,
            &self.holds,
        ]
    }
}
