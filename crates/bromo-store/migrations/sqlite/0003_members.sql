-- Who signs in to an account's dashboard. Instants are milliseconds since the epoch, tokens SHA-256 hashes.

-- Questions and answers are kept with the request log.
ALTER TABLE accounts ADD COLUMN keep_texts INTEGER NOT NULL DEFAULT 0;

CREATE TABLE members (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    -- In lower case; signing in names no account, so an address belongs to one over all of them.
    email TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    -- PHC text; none where only links sign in.
    password TEXT,
    created_at INTEGER NOT NULL,
    seen_at INTEGER
) STRICT;

CREATE INDEX members_by_account ON members (account, created_at, id);

CREATE TABLE sessions (
    token BLOB PRIMARY KEY,
    member INTEGER NOT NULL REFERENCES members (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_member ON sessions (member);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE invitations (
    token BLOB PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    invited_by INTEGER NOT NULL REFERENCES members (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    UNIQUE (account, email)
) STRICT, WITHOUT ROWID;

CREATE INDEX invitations_by_member ON invitations (invited_by);
CREATE INDEX invitations_by_expiry ON invitations (expires_at);

CREATE TABLE links (
    token BLOB PRIMARY KEY,
    member INTEGER NOT NULL REFERENCES members (id),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX links_by_member ON links (member);
CREATE INDEX links_by_expiry ON links (expires_at);

-- Changes of plan that wait for an operator.
CREATE TABLE plan_requests (
    account INTEGER PRIMARY KEY REFERENCES accounts (id),
    plan TEXT NOT NULL,
    -- May be gone by now.
    requested_by INTEGER NOT NULL,
    requested_at INTEGER NOT NULL
) STRICT;

CREATE INDEX plan_requests_by_age ON plan_requests (requested_at);
