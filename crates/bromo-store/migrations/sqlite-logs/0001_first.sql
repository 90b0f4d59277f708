-- The request log. Every line has a number, its seq, that never changes; it is also the reader's cursor.

-- A run is what was appended together, or several neighbours merged: a stretch of seqs that no other run has.
-- first_at and last_at span the lines' instants and those inside their request ids.
CREATE TABLE runs (
    last_seq INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    lines INTEGER NOT NULL
) STRICT;

-- A run's lines, apart by account and packed. Of one account, blocks do not overlap; of several they do.
CREATE TABLE blocks (
    last_seq INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    account INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

-- Holds all that is needed to pass a block over without touching it.
CREATE INDEX blocks_by_account ON blocks (account, last_seq, first_seq, first_at, last_at);

CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    lines INTEGER NOT NULL
) STRICT;

-- How many lines were ever appended; trimming takes nothing away, so no seq is given twice.
CREATE TABLE appended (lines INTEGER NOT NULL) STRICT;
INSERT INTO appended VALUES (0);
