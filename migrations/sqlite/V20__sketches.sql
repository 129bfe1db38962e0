-- How many different values there were, kept with the rollups as sketches that can be merged: visitors by
-- minute for some time; visitors and the values of distinct metrics by quarter of an hour for good; and by day
-- of the business zone what was added up of these. A row without a name says that a day was added up.
CREATE TABLE sketch_rollups (
    name   TEXT NOT NULL,    -- of a metric; visitors/sessions, visitors/users, visitors/linked
    span   INTEGER NOT NULL, -- milliseconds: 60000, 900000, or the length of a day
    at     INTEGER NOT NULL, -- its first moment, Unix milliseconds
    sketch BLOB NOT NULL,    -- an HLL sketch of Apache DataSketches
    PRIMARY KEY (name, span, at)
);
CREATE INDEX sketch_rollups_by_time ON sketch_rollups (span, at);

-- How far the sketches of a lane are kept: up to seq, but for an installation of before there was this
-- table, which begins with the oldest ledger row that it still has.
ALTER TABLE fold_heads ADD COLUMN sketches INTEGER NOT NULL DEFAULT 0;
-- Up to which second (Unix ms) a lane counted in ledger rows that had gone by then; NULL for none.
ALTER TABLE fold_heads ADD COLUMN sketches_lack INTEGER;
