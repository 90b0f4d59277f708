-- The request log. Every line has a number, its seq, that never changes; it is also the reader's cursor. The upper bits
-- of a seq are the day on which it was given (days since 1970, times 2^36), so that a day's lines are a partition, and go
-- with it. Whoever gives seqs holds a lock until the end of its transaction, so they become visible in their order.

-- What one node appended of one account, packed.
CREATE TABLE blocks (
    last_seq bigint PRIMARY KEY,
    first_seq bigint NOT NULL,
    account bigint NOT NULL,
    -- Span the lines' instants and those inside their request ids.
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    lines int NOT NULL,
    data bytea NOT NULL
) PARTITION BY RANGE (last_seq);

-- It is packed already.
ALTER TABLE blocks ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE INDEX blocks_by_account ON blocks (account, last_seq);

-- Stretches of seqs of one day, each what was appended in a few minutes at most: by these the log is trimmed, and a search
-- finds where to begin. The youngest grows.
CREATE TABLE runs (
    first_seq bigint PRIMARY KEY,
    last_seq bigint NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    lines bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.1);

CREATE TABLE gaps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    lines bigint NOT NULL
);

-- The last seq that was given, and how many lines were ever appended; trimming takes nothing away.
CREATE TABLE appended (last_seq bigint NOT NULL, lines bigint NOT NULL)
    WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
INSERT INTO appended VALUES (0, 0);

-- Lines counted for charts: many at a time, behind appending, up to this seq. What came after that is counted by whoever
-- reads, from the blocks. `bytes` is what the rollups take.
CREATE TABLE rolled (seq bigint NOT NULL, lines bigint NOT NULL, bytes bigint NOT NULL);
INSERT INTO rolled VALUES (0, 0, 0);

-- A level's steps (0 fine, 1 coarse), each account's in a row; data has its keys and routes.
CREATE TABLE rollups (
    account bigint NOT NULL,
    level smallint NOT NULL,
    start bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (account, level, start)
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.1);

-- By which the oldest go.
CREATE INDEX rollups_by_start ON rollups (level, start);

-- The last use of each key among the lines counted.
CREATE TABLE key_uses (
    account bigint NOT NULL,
    key bigint NOT NULL,
    last_at bigint NOT NULL,
    PRIMARY KEY (account, key)
) WITH (fillfactor = 70);

-- Questions and answers of accounts that want them kept: packed, the question first.
CREATE TABLE texts (
    request uuid PRIMARY KEY,
    account bigint NOT NULL,
    at bigint NOT NULL,
    question_bytes bigint NOT NULL,
    plain_bytes bigint NOT NULL,
    data bytea NOT NULL
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.05);

ALTER TABLE texts ALTER COLUMN data SET STORAGE EXTERNAL;

-- The oldest are deleted first.
CREATE INDEX texts_by_at ON texts (at);

-- What the data of all texts takes.
CREATE TABLE text_bytes (bytes bigint NOT NULL)
    WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
INSERT INTO text_bytes VALUES (0);
