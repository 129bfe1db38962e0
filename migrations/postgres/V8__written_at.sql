-- When a ledger row was written by this server's clock, Unix milliseconds. A node whose own clock is
-- ahead must not take the rows of others for old. Rows of before count from now on.
ALTER TABLE ledger ADD COLUMN written_at bigint NOT NULL
    DEFAULT (extract(epoch FROM now()) * 1000)::bigint;
-- The last second that the dropped ledger rows of a lane counted in, Unix milliseconds: where counters
-- are rebuilt for a time before it, the rollups have what the ledger lacks. NULL where none was dropped.
ALTER TABLE fold_heads ADD COLUMN dropped_to bigint;
