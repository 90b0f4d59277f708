-- Questions and answers of accounts that want them kept: packed, the question first.
CREATE TABLE texts (
    request BLOB NOT NULL PRIMARY KEY,
    account INTEGER NOT NULL,
    at INTEGER NOT NULL,
    question_bytes INTEGER NOT NULL,
    plain_bytes INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

-- The oldest are deleted first.
CREATE INDEX texts_by_at ON texts (at);

-- What the data of all texts takes.
CREATE TABLE text_bytes (bytes INTEGER NOT NULL) STRICT;
INSERT INTO text_bytes VALUES (0);
