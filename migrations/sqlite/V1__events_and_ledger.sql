-- Every event. Moments are Unix milliseconds, UTC.
--
-- There is no index on time: a B-tree would cost a third of the insert rate and a fifth of
-- the disk. Rows lie in the order they were received, and the ledger says which rows a
-- batch holds and which seconds they span, so that a read of one stretch of time goes
-- through ledger_by_last_second to runs of rowids (see the view events_near).
CREATE TABLE events (
    time        INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    id          TEXT NOT NULL,
    type        TEXT NOT NULL,
    user_id     TEXT,
    session_id  TEXT,
    properties  TEXT NOT NULL,
    day         TEXT GENERATED ALWAYS AS (date(time / 1000, 'unixepoch')) VIRTUAL
) STRICT;

-- Events that were refused, with the reason and what the client sent.
CREATE TABLE dead_letters (
    node        BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    code        TEXT NOT NULL,
    message     TEXT NOT NULL,
    raw         TEXT NOT NULL
) STRICT;

-- One row a batch, written with its events: what it adds to the counters. `visitors` is
-- large and rarely read, so it comes last.
CREATE TABLE ledger (
    node         BLOB NOT NULL,      -- 16 bytes of a UUID
    lane         INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    sealed_at    INTEGER NOT NULL,
    events       INTEGER NOT NULL,   -- as sealed, poisoned rows included
    poisoned     INTEGER NOT NULL,   -- of these: refused by the store, in dead_letters
    first_row    INTEGER,            -- rowids in events; NULL where the batch has none
    last_row     INTEGER,
    first_second INTEGER,            -- Unix ms; NULL where nothing was counted
    last_second  INTEGER,
    delta        BLOB NOT NULL,
    visitors     BLOB NOT NULL,
    PRIMARY KEY (node, lane, seq)
) STRICT;
CREATE INDEX ledger_by_last_second ON ledger (last_second);
CREATE INDEX ledger_by_sealed_at ON ledger (sealed_at);

-- The guard: the last batch of each lane of each node. A replay finds itself here.
CREATE TABLE ledger_heads (
    node BLOB NOT NULL,
    lane INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    PRIMARY KEY (node, lane)
) STRICT, WITHOUT ROWID;

-- Events with their batch's span: `WHERE last_second >= A AND first_second <= B AND time
-- BETWEEN A AND B` reads only the batches that reach into A to B.
CREATE VIEW events_near AS
SELECT e.*, l.first_second, l.last_second
FROM ledger l JOIN events e ON e.rowid BETWEEN l.first_row AND l.last_row;
