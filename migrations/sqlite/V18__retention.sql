-- What was taken out of the table events, by day (UTC) and type. Whoever reads events of such a day is told
-- that they are gone, and whoever compares rows with the ledger knows how many it lacks.
CREATE TABLE removed_rows (
    day         TEXT NOT NULL,    -- 2026-11-27
    type        TEXT NOT NULL,    -- empty: every type
    reason      TEXT NOT NULL,    -- age, type or person
    rows        INTEGER NOT NULL, -- how many there were
    removed_at  INTEGER NOT NULL, -- the last time, Unix ms
    table_bytes INTEGER,          -- not used here
    PRIMARY KEY (day, type, reason)
) STRICT, WITHOUT ROWID;

-- How large the file was, by hour: from this follows when the disk is full.
CREATE TABLE store_sizes (
    at    INTEGER PRIMARY KEY,    -- Unix ms
    bytes INTEGER NOT NULL
) STRICT;

-- Which rows of events are still to be looked through, as runs of rowids. Each step takes a few rows off the
-- first run, in the transaction that removes what is too old of them.
CREATE TABLE removal_work (
    first_row INTEGER PRIMARY KEY,
    last_row  INTEGER NOT NULL
) STRICT;

-- By which rules the work was found, and by which ones it was done the time before: JSON, and the last row
-- that was there then.
CREATE TABLE removal_pass (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
    rules     TEXT NOT NULL,
    last_row  INTEGER NOT NULL,
    done      TEXT,
    done_row  INTEGER NOT NULL DEFAULT 0
) STRICT;
