-- Batches of a node that are neither here nor on the node any more, as after this file was put back
-- to an older state: every fourth number from `first` to `last`, since they are of one lane. A row is
-- written in the transaction that lets the next batch follow. (The column `node` of the ledger and of
-- both tables of heads holds the run that sealed a batch: one life of a node's process.)
CREATE TABLE missing_batches (
    node       BLOB NOT NULL,            -- the data dir
    lane       INTEGER NOT NULL,
    first_run  BLOB NOT NULL,
    first      INTEGER NOT NULL,
    last_run   BLOB NOT NULL,
    last       INTEGER NOT NULL,
    events     INTEGER,                  -- NULL where nobody knows
    noticed_at INTEGER NOT NULL,         -- Unix milliseconds
    PRIMARY KEY (node, lane, first_run, first)
) STRICT;
