-- Nodes, accounts, members, keys, ledger and stored pages. Instants are milliseconds since the epoch unless they are the
-- database's own, credits whole numbers. Hashes and request ids are kept as they are.

-- One row a node that lives. Updated all the time: the room in its page keeps that in the page.
CREATE TABLE nodes (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    renewed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Each group of charges updates the rows of its payers, none of whose indexed columns change then: with room in their
-- pages, no index is touched and old versions go when the page is next read.
CREATE TABLE accounts (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    plan text NOT NULL,
    next_plan text,
    -- The checks are a net below the rules: no statement can take a balance below zero.
    balance_plan bigint NOT NULL CHECK (balance_plan >= 0),
    balance_granted bigint NOT NULL CHECK (balance_granted >= 0),
    allocated bigint NOT NULL,
    cycle_anchor bigint NOT NULL,
    cycle_starts_at bigint NOT NULL,
    cycle_ends_at bigint NOT NULL,
    keep_texts boolean NOT NULL,
    version bigint NOT NULL,
    ledger_seq bigint NOT NULL,
    created_at bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE keys (
    id bigint PRIMARY KEY,
    account bigint NOT NULL REFERENCES accounts (id),
    kind text NOT NULL,
    name text,
    hash bytea NOT NULL UNIQUE,
    last4 text NOT NULL,
    created_at bigint NOT NULL,
    revoked_at bigint
);

CREATE INDEX keys_by_account ON keys (account, created_at, id);

-- Append-only. No reference to the account, which is never deleted: checking it would lock its row once more an entry.
CREATE TABLE ledger (
    account bigint NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    amount bigint NOT NULL,
    balance bigint NOT NULL,
    -- What an answer's charge is for: it may be asked for again, and is found here.
    request uuid,
    -- What a task's charge has instead: it cannot be made twice, since its task ends once, and needs no index.
    task uuid,
    at bigint NOT NULL,
    PRIMARY KEY (account, seq)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.2);

-- Request ids ascend, so this index grows at its end.
CREATE UNIQUE INDEX ledger_by_request ON ledger (request) WHERE request IS NOT NULL;

-- Pages may hold U+0000, which `text` refuses.
CREATE TABLE pages (
    id uuid PRIMARY KEY,
    expires_at bigint NOT NULL,
    html bytea NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX pages_by_expiry ON pages (expires_at);

-- Sealed: the program cannot read them without its key file.
CREATE TABLE webhook_secrets (
    account bigint PRIMARY KEY REFERENCES accounts (id),
    current bytea NOT NULL,
    previous bytea,
    previous_until bigint
);

CREATE TABLE members (
    id bigint PRIMARY KEY,
    account bigint NOT NULL REFERENCES accounts (id),
    -- In lower case; signing in names no account, so an address belongs to one over all of them.
    email text NOT NULL UNIQUE,
    role text NOT NULL,
    -- PHC text; none where only links sign in.
    password text,
    created_at bigint NOT NULL,
    seen_at bigint
) WITH (fillfactor = 80);

CREATE INDEX members_by_account ON members (account, created_at, id);

CREATE TABLE sessions (
    token bytea PRIMARY KEY,
    member bigint NOT NULL REFERENCES members (id),
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);

CREATE INDEX sessions_by_member ON sessions (member);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE invitations (
    token bytea PRIMARY KEY,
    account bigint NOT NULL REFERENCES accounts (id),
    email text NOT NULL,
    role text NOT NULL,
    invited_by bigint NOT NULL REFERENCES members (id),
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    UNIQUE (account, email)
);

CREATE INDEX invitations_by_member ON invitations (invited_by);
CREATE INDEX invitations_by_expiry ON invitations (expires_at);

CREATE TABLE links (
    token bytea PRIMARY KEY,
    member bigint NOT NULL REFERENCES members (id),
    expires_at bigint NOT NULL
);

CREATE INDEX links_by_member ON links (member);
CREATE INDEX links_by_expiry ON links (expires_at);

-- Changes of plan that wait for an operator.
CREATE TABLE plan_requests (
    account bigint PRIMARY KEY REFERENCES accounts (id),
    plan text NOT NULL,
    -- May be gone by now.
    requested_by bigint NOT NULL,
    requested_at bigint NOT NULL
);

CREATE INDEX plan_requests_by_age ON plan_requests (requested_at);

-- What all nodes must have in common, as the first of them said it.
CREATE TABLE agreed (
    name text PRIMARY KEY,
    value bytea NOT NULL
);
