-- Batches of a node that are neither here nor on the node any more, as after this database was put
-- back to an older state: every fourth number from `first` to `last`, since they are of one lane.
-- A row is written in the transaction that lets the next batch follow.
CREATE TABLE missing_batches (
    node       uuid NOT NULL,            -- the data dir
    lane       smallint NOT NULL,
    first_run  uuid NOT NULL,
    first      bigint NOT NULL,
    last_run   uuid NOT NULL,
    last       bigint NOT NULL,
    events     bigint,                   -- NULL where nobody knows
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node, lane, first_run, first)
);
COMMENT ON COLUMN ledger.node IS 'the run that sealed the batch: one life of a node''s process';
COMMENT ON COLUMN ledger_heads.node IS 'the run, as in ledger';
COMMENT ON COLUMN fold_heads.node IS 'the run, as in ledger';
