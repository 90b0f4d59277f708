-- Tasks and their deliveries. Instants are milliseconds since the epoch, credits whole numbers, `seq` a task's place in
-- the order of acceptance over all accounts. Texts of customers are bytea: they may hold U+0000, which text refuses.
--
-- What is large never changes and lies in partitions by day (ids begin with the time), which are dropped whole. What
-- changes lies in small tables whose rows come and go: `queue` has a task until it ends, `due` a delivery until it ends.
-- Counters only ever grow, and each table of them is written by one kind of work alone, so that no kind waits for another.

CREATE SEQUENCE task_seqs;
CREATE SEQUENCE task_fences;

-- What was handed in. Never changes. The numbers of `endpoint` and `kind` stand in the program.
CREATE TABLE tasks (
    id uuid NOT NULL,
    account bigint NOT NULL,
    seq bigint NOT NULL,
    key bigint NOT NULL,
    price bigint NOT NULL,
    created_at bigint NOT NULL,
    key_hash uuid,
    clusters_max integer NOT NULL,
    endpoint smallint NOT NULL,
    kind smallint NOT NULL,
    priority smallint NOT NULL,
    payload bytea NOT NULL,
    webhook bytea,
    idempotency_key bytea,
    PRIMARY KEY (account, id)
) PARTITION BY RANGE (id);
CREATE TABLE tasks_rest PARTITION OF tasks DEFAULT;

-- 128 bits of account and idempotency key: a key belongs to one task as long as that is kept.
CREATE TABLE task_keys (
    hash uuid PRIMARY KEY,
    id uuid NOT NULL
) WITH (autovacuum_vacuum_cost_delay = 0);

-- Tasks that wait or run. A claim changes no column of an index, so it leaves the indexes alone.
CREATE TABLE queue (
    seq bigint PRIMARY KEY,
    id uuid NOT NULL,
    account bigint NOT NULL,
    hold bigint NOT NULL,
    -- When it may run, if not now.
    not_before bigint,
    started_at bigint,
    -- Who runs it, and by which claim: of meaning only while it runs.
    node bigint,
    fence bigint NOT NULL DEFAULT 0,
    cuts integer NOT NULL DEFAULT 0,
    -- The running one included.
    attempts smallint NOT NULL DEFAULT 0,
    priority smallint NOT NULL,
    -- What holds it up: its endpoint, or 8 for test tasks, which ask none.
    line smallint NOT NULL,
    endpoint smallint NOT NULL,
    -- Host and port of its webhook.
    host bytea
) WITH (
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);
-- Not `seq` itself, or a look for the first task of a line could be planned as a walk over all of `queue_pkey`.
CREATE INDEX queue_in_order ON queue (account, priority, line, (seq + 0));
CREATE INDEX queue_waits ON queue (not_before) WHERE not_before IS NOT NULL;

-- How many tasks came to the queue, those that came back included; none that may run now stands before `floor`.
CREATE TABLE queue_in (
    account bigint NOT NULL,
    priority smallint NOT NULL,
    tasks bigint NOT NULL,
    floor bigint NOT NULL,
    PRIMARY KEY (account, priority)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- How many left it: to run, or for good.
CREATE TABLE queue_out (
    account bigint NOT NULL,
    priority smallint NOT NULL,
    claimed bigint NOT NULL,
    removed bigint NOT NULL,
    PRIMARY KEY (account, priority)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- How many claims are over, and how many deliveries were booked.
CREATE TABLE queue_over (
    account bigint PRIMARY KEY,
    stopped bigint NOT NULL,
    booked bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- How many deliveries are over.
CREATE TABLE due_over (
    account bigint PRIMARY KEY,
    closed bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- How a task ended, and what its reader gets as its response. Never changes. Carries what the end's caller is told, so
-- that it can be told again.
CREATE TABLE results (
    id uuid NOT NULL,
    seq bigint NOT NULL,
    -- 0 if it ended in the queue.
    fence bigint NOT NULL,
    started_at bigint,
    ended_at bigint NOT NULL,
    charged bigint NOT NULL,
    paid_balance bigint,
    paid_seq bigint,
    attempts smallint NOT NULL,
    state smallint NOT NULL,
    short boolean NOT NULL,
    response bytea NOT NULL,
    PRIMARY KEY (seq, id)
) PARTITION BY RANGE (id);
CREATE TABLE results_rest PARTITION OF results DEFAULT;

-- Until when a task is kept.
CREATE TABLE expiries (
    expires_at bigint NOT NULL,
    id uuid NOT NULL,
    seq bigint NOT NULL,
    account bigint NOT NULL,
    PRIMARY KEY (expires_at, id)
) WITH (autovacuum_vacuum_cost_delay = 0);

-- Deliveries that are pending.
CREATE TABLE due (
    seq bigint PRIMARY KEY,
    id uuid NOT NULL,
    account bigint NOT NULL,
    due_at bigint NOT NULL,
    booked_at bigint NOT NULL,
    delivered_at bigint,
    -- Who sends it.
    node bigint,
    attempts integer NOT NULL DEFAULT 0,
    -- Since it was booked or redelivered.
    round_attempts integer NOT NULL DEFAULT 0,
    -- 0 fresh, 1 retry.
    lane smallint NOT NULL DEFAULT 0,
    -- Host and port of the webhook.
    host bytea NOT NULL
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX due_in_order ON due (lane, account, host, due_at, seq) WHERE node IS NULL;
-- Not `due_at` itself: a look for what is due to one receiver must not be planned as a walk over that of all.
CREATE INDEX due_by_time ON due ((due_at + 0)) WHERE node IS NULL;
CREATE INDEX due_retrying ON due (account, booked_at, seq) WHERE node IS NULL AND lane = 1;

-- Deliveries that are over.
CREATE TABLE deliveries (
    id uuid NOT NULL,
    seq bigint NOT NULL,
    account bigint NOT NULL,
    booked_at bigint NOT NULL,
    delivered_at bigint,
    ended_at bigint NOT NULL,
    attempts integer NOT NULL,
    -- 3 delivered, 4 given up.
    state smallint NOT NULL,
    host bytea NOT NULL,
    PRIMARY KEY (seq, id)
) PARTITION BY RANGE (id);
CREATE TABLE deliveries_rest PARTITION OF deliveries DEFAULT;
-- Few, if receivers are well: those to be redelivered together.
CREATE INDEX deliveries_given_up ON deliveries (account, booked_at) WHERE state = 4;

CREATE TABLE delivery_attempts (
    id uuid NOT NULL,
    seq bigint NOT NULL,
    at bigint NOT NULL,
    number integer NOT NULL,
    took_ms bigint NOT NULL,
    status integer,
    error bytea,
    response bytea NOT NULL,
    PRIMARY KEY (seq, number, id)
) PARTITION BY RANGE (id);
CREATE TABLE delivery_attempts_rest PARTITION OF delivery_attempts DEFAULT;
