-- Tasks, their deliveries, and what deliveries are signed with. Instants are milliseconds since the epoch, credits
-- whole numbers, `seq` a task's place in the order of acceptance, `end_seq` its place in the order of ends.
--
-- Each page that a commit touches costs a page of WAL, so what changes often is kept small and what is large is only
-- ever appended: rows lie in the order in which they are written, and few indexes have their entries elsewhere.

-- All that is small, and all that changes. The numbers of `endpoint`, `kind` and `state` stand in the program.
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    account INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    price INTEGER NOT NULL,
    clusters_max INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    cuts INTEGER NOT NULL,
    -- Number of the last claim.
    fence INTEGER NOT NULL,
    -- Only while it waits for its next attempt.
    not_before INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    end_seq INTEGER,
    charged INTEGER NOT NULL,
    -- Null until it ends.
    expires_at INTEGER
) STRICT;

-- Ids ascend, so this index grows at its end. With the account in front it would grow at as many places as there are
-- accounts; whose a task is is compared after the look-up.
CREATE UNIQUE INDEX tasks_by_id ON tasks (id);

-- Serves two: tasks that have not ended (null, first in the index) when the store is opened, and those kept no longer.
CREATE INDEX tasks_by_expiry ON tasks (expires_at);

-- Which stretches of 4096 `seq`s an account has tasks in: written with its first task there. Lists read it instead of
-- an index with an entry a task.
CREATE TABLE task_blocks (
    account INTEGER NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (account, block)
) STRICT, WITHOUT ROWID;

-- What was handed in. Never changes.
CREATE TABLE questions (
    seq INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    payload TEXT NOT NULL,
    webhook TEXT,
    idempotency_key TEXT,
    -- 64 bits of account and idempotency key.
    key_hash INTEGER
) STRICT;

CREATE INDEX questions_by_key ON questions (key_hash) WHERE key_hash IS NOT NULL;

-- What a task's reader gets as its response.
CREATE TABLE results (
    end_seq INTEGER PRIMARY KEY,
    response BLOB NOT NULL
) STRICT;

CREATE TABLE deliveries (
    end_seq INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    account INTEGER NOT NULL,
    -- Host and port of the webhook.
    host TEXT NOT NULL,
    -- When its task ended.
    booked_at INTEGER NOT NULL,
    -- 0 pending, 1 delivered, 2 given up.
    state INTEGER NOT NULL,
    -- Only while it is pending.
    due_at INTEGER,
    attempts INTEGER NOT NULL,
    -- Since it was booked or redelivered.
    round_attempts INTEGER NOT NULL,
    delivered_at INTEGER,
    -- Only once it is not pending.
    ended_at INTEGER
) STRICT;

-- Read when the store is opened.
CREATE INDEX deliveries_pending ON deliveries (end_seq) WHERE state = 0;

-- Few, if receivers are well: those to be redelivered together.
CREATE INDEX deliveries_given_up ON deliveries (account, booked_at) WHERE state = 2;

CREATE TABLE delivery_attempts (
    end_seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    response BLOB NOT NULL,
    PRIMARY KEY (end_seq, number)
) STRICT, WITHOUT ROWID;

-- Sealed: the program cannot read them without its key file.
CREATE TABLE webhook_secrets (
    account INTEGER PRIMARY KEY REFERENCES accounts (id),
    current BLOB NOT NULL,
    previous BLOB,
    previous_until INTEGER
) STRICT;

-- How often the store was opened: the upper half of a claim's number, so that none is ever made twice.
CREATE TABLE openings (count INTEGER NOT NULL) STRICT;
INSERT INTO openings VALUES (0);
