-- When a ledger row was written, Unix milliseconds. A clock that was ahead when events were sealed, or
-- is ahead now, must not make rows look old that were written a moment ago.
-- Rows of before count from now on.
ALTER TABLE ledger ADD COLUMN written_at INTEGER NOT NULL DEFAULT 0;
UPDATE ledger SET written_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000;
-- The last second that the dropped ledger rows of a lane counted in, Unix milliseconds: where counters
-- are rebuilt for a time before it, the rollups have what the ledger lacks. NULL where none was dropped.
ALTER TABLE fold_heads ADD COLUMN dropped_to INTEGER;
