-- Lines counted for charts. They are counted many at a time, behind appending: up to the seq in `rolled`. What came
-- after that is counted by whoever reads, from the blocks.

-- A level's steps (0 fine, 1 coarse), each account's in a row; data has its keys and routes. Rows of one step stand
-- together, since they are written together.
CREATE TABLE rollups (
    level INTEGER NOT NULL,
    start INTEGER NOT NULL,
    account INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (level, start, account)
) STRICT, WITHOUT ROWID;

-- The last use of each key among the lines counted.
CREATE TABLE key_uses (
    account INTEGER NOT NULL,
    key INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;

-- Lines that were there before this table are not counted.
CREATE TABLE rolled (seq INTEGER NOT NULL) STRICT;
INSERT INTO rolled SELECT lines FROM appended;
