-- Accounts, keys, ledger and stored pages. Instants are milliseconds since the epoch, credits whole numbers.

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL,
    next_plan TEXT,
    -- The checks are a net below the rules: no statement can take a balance below zero.
    balance_plan INTEGER NOT NULL CHECK (balance_plan >= 0),
    balance_granted INTEGER NOT NULL CHECK (balance_granted >= 0),
    allocated INTEGER NOT NULL,
    cycle_anchor INTEGER NOT NULL,
    cycle_starts_at INTEGER NOT NULL,
    cycle_ends_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    ledger_seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    name TEXT,
    hash BLOB NOT NULL UNIQUE,
    last4 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE INDEX keys_by_account ON keys (account, created_at, id);

-- Clustered by account: a group of charges dirties one page an account and the end of the request index.
CREATE TABLE ledger (
    account INTEGER NOT NULL REFERENCES accounts (id),
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    amount INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    request BLOB,
    at INTEGER NOT NULL,
    PRIMARY KEY (account, seq)
) STRICT, WITHOUT ROWID;

-- What makes a charge idempotent. Request ids ascend, so this index grows at its end.
CREATE UNIQUE INDEX ledger_by_request ON ledger (request) WHERE request IS NOT NULL;

CREATE TABLE pages (
    id BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    html TEXT NOT NULL
) STRICT;

CREATE INDEX pages_by_expiry ON pages (expires_at);
