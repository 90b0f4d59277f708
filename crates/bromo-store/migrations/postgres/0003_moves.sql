-- A whole installation on its way in from a data folder. While it is not all here, no node starts.
CREATE TABLE moves (
    -- There is one row at most.
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    -- What the folder is known by, as it stood when the move began.
    source bytea NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

-- How far each part is: written in the transaction that writes its rows.
CREATE TABLE move_parts (
    part text PRIMARY KEY,
    -- The key of the last row that was read; null before the first.
    place text,
    rows bigint NOT NULL,
    -- The sum of 32 bits of each row's SHA-256.
    checksum bigint NOT NULL,
    done boolean NOT NULL
);
