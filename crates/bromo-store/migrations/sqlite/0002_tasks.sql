-- Tasks, their deliveries, and what deliveries are signed with. Instants are milliseconds since the epoch, credits
-- whole numbers, `seq` a task's place in the order of acceptance, `end_seq` its place in the order of ends.
--
-- Each page that a commit touches costs a page of WAL, so what changes often is kept small and what is large is only
-- ever appended: rows lie in the order in which they are written, and few indexes have their entries elsewhere.
--
-- A row that changes keeps its size, or its page would be split: what is not yet known stands there as a negative number
-- as wide as what replaces it (-2^40; instants and `end_seq`s are six bytes wide), and states begin at 2 (0 and 1 take
-- no room).

-- What is small. Of a row that waits or runs nothing changes but what a failed attempt leaves; its end changes the last
-- two columns. The numbers of `endpoint`, `kind` and `state` stand in the program.
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
    -- 64 bits of account and idempotency key.
    key_hash INTEGER,
    -- Those before the running one.
    attempts INTEGER NOT NULL,
    cuts INTEGER NOT NULL,
    not_before INTEGER,
    started_at INTEGER,
    -- That it runs is said by `claims` alone.
    state INTEGER NOT NULL DEFAULT 2,
    end_seq INTEGER NOT NULL DEFAULT -1099511627776
) STRICT;

-- Ids ascend, so this index grows at its end. With the account in front it would grow at as many places as there are
-- accounts; whose a task is is compared after the look-up.
CREATE UNIQUE INDEX tasks_by_id ON tasks (id);

-- Tasks that run: a page or two, however many wait.
CREATE TABLE claims (
    seq INTEGER PRIMARY KEY,
    -- Different for each claim that was ever made.
    fence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    cuts INTEGER NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;

-- Which stretches of 4096 `seq`s an account has tasks in: written with its first task there. Lists read it instead of
-- an index with an entry a task.
CREATE TABLE task_blocks (
    account INTEGER NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (account, block)
) STRICT, WITHOUT ROWID;

-- Which of those stretches have tasks that have not ended, for when the store is opened. May name too many.
CREATE TABLE open_blocks (block INTEGER PRIMARY KEY) STRICT;

-- Which task may have a key: an index that lags behind, so that its entries can be written in their order, many to a
-- page. What it lacks is in memory; what it has too much is found out by comparing the key itself.
CREATE TABLE task_keys (
    key_hash INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (key_hash, seq)
) STRICT, WITHOUT ROWID;

-- What was handed in. Never changes.
CREATE TABLE questions (
    seq INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    payload TEXT NOT NULL,
    webhook TEXT,
    idempotency_key TEXT
) STRICT;

-- How a task ended, and what its reader gets as its response.
CREATE TABLE results (
    end_seq INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    response BLOB NOT NULL
) STRICT;

CREATE INDEX results_by_expiry ON results (expires_at);

CREATE TABLE deliveries (
    end_seq INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    account INTEGER NOT NULL,
    -- Host and port of the webhook.
    host TEXT NOT NULL,
    -- When its task ended.
    booked_at INTEGER NOT NULL,
    -- 2 pending, 3 delivered, 4 given up.
    state INTEGER NOT NULL DEFAULT 2,
    -- Of meaning only while it is pending.
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    -- Since it was booked or redelivered.
    round_attempts INTEGER NOT NULL,
    delivered_at INTEGER NOT NULL DEFAULT -1099511627776,
    -- Only once it is not pending.
    ended_at INTEGER NOT NULL DEFAULT -1099511627776
) STRICT;

-- Read when the store is opened.
CREATE INDEX deliveries_pending ON deliveries (end_seq) WHERE state = 2;

-- Few, if receivers are well: those to be redelivered together.
CREATE INDEX deliveries_given_up ON deliveries (account, booked_at) WHERE state = 4;

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

-- One row. How often the store was opened is the upper half of a claim's number, so that none is ever made twice; all
-- tasks before `keys_from` have their keys in `task_keys`.
CREATE TABLE state (openings INTEGER NOT NULL, keys_from INTEGER NOT NULL) STRICT;
INSERT INTO state VALUES (0, 0);

-- The ledger lies in the order in which it is written: clustered by account, a group of charges touched a page an
-- account.
CREATE TABLE ledger_in_order (
    place INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    amount INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    request BLOB,
    -- What a task's charge has instead: it cannot be made twice, since its task ends once, and needs no index.
    task BLOB,
    at INTEGER NOT NULL
) STRICT;

INSERT INTO ledger_in_order (account, seq, kind, amount, balance, request, at)
    SELECT account, seq, kind, amount, balance, request, at FROM ledger ORDER BY at, account, seq;
DROP TABLE ledger;
ALTER TABLE ledger_in_order RENAME TO ledger;

CREATE UNIQUE INDEX ledger_by_request ON ledger (request) WHERE request IS NOT NULL;

-- Which stretches of 4096 places an account has entries in, and the first of them there.
CREATE TABLE ledger_blocks (
    account INTEGER NOT NULL,
    block INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    PRIMARY KEY (account, block)
) STRICT, WITHOUT ROWID;

INSERT INTO ledger_blocks (account, block, first_seq)
    SELECT account, place / 4096, min(seq) FROM ledger GROUP BY account, place / 4096;
