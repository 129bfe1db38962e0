-- The most frequent values of each breakdown, kept with the rollups: by minute for some time, and by
-- quarter of an hour for good.
CREATE TABLE breakdown_rollups (
    breakdown TEXT NOT NULL,    -- EVENT/PROPERTY, and EVENT/PROPERTY/none for events without it
    span      INTEGER NOT NULL, -- milliseconds: 60000 or 900000
    at        INTEGER NOT NULL, -- its first moment, Unix milliseconds
    top       BLOB NOT NULL,    -- values with their counts, and by how much these may be too low
    PRIMARY KEY (breakdown, span, at)
) WITHOUT ROWID;
CREATE INDEX breakdown_rollups_by_time ON breakdown_rollups (span, at);

-- How far the breakdowns of a lane are kept: up to seq, but for an installation of before there was this
-- table, which begins with the oldest ledger row that it still has.
ALTER TABLE fold_heads ADD COLUMN breakdowns INTEGER NOT NULL DEFAULT 0;
-- Up to which second (Unix ms) a lane counted in ledger rows that had gone by then; NULL for none.
ALTER TABLE fold_heads ADD COLUMN breakdowns_lack INTEGER;
