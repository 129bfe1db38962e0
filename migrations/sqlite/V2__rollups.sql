-- What was counted, by minute of event time: kept for good, folded from the ledger.
CREATE TABLE rollups (
    series TEXT NOT NULL,              -- as in Redis: c:page_view, s:revenue
    minute INTEGER NOT NULL,           -- its first moment, Unix ms
    value  INTEGER NOT NULL,           -- events, or 1/10,000 of the currency
    PRIMARY KEY (series, minute)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_by_minute ON rollups (minute);

-- The last batch of each lane of each node that is in the rollups. Moved in the transaction
-- that adds the batches up, so that each is added once.
CREATE TABLE fold_heads (
    node    BLOB NOT NULL,
    lane    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    since   INTEGER,                   -- when its first batch with events was sealed, Unix ms
    dropped INTEGER NOT NULL DEFAULT 0, -- events of its ledger rows that were dropped
    PRIMARY KEY (node, lane)
) STRICT, WITHOUT ROWID;

-- What the ledger said of where events lie, for the rows that it has dropped: neighbouring
-- batches merged into one run of rowids.
CREATE TABLE event_runs (
    first_row    INTEGER PRIMARY KEY,
    last_row     INTEGER NOT NULL,
    first_second INTEGER NOT NULL,
    last_second  INTEGER NOT NULL
) STRICT;
CREATE INDEX event_runs_by_last_second ON event_runs (last_second);

-- Events with their run's span: `WHERE last_second >= A AND first_second <= B AND time
-- BETWEEN A AND B` reads only the runs that reach into A to B.
DROP VIEW events_near;
CREATE VIEW events_near AS
SELECT e.*, l.first_second, l.last_second
FROM ledger l JOIN events e ON e.rowid BETWEEN l.first_row AND l.last_row
UNION ALL
SELECT e.*, r.first_second, r.last_second
FROM event_runs r JOIN events e ON e.rowid BETWEEN r.first_row AND r.last_row;
