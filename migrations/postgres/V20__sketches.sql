-- How many different values there were, kept with the rollups as sketches that can be merged: visitors by
-- minute for some time; visitors and the values of distinct metrics by quarter of an hour for good; and by day
-- of the business zone what was added up of these. A row without a name says that a day was added up.
CREATE TABLE sketch_rollups (
    name   text COLLATE "C" NOT NULL, -- of a metric; visitors/sessions, visitors/users, visitors/linked
    span   bigint NOT NULL,           -- milliseconds: 60000, 900000, or the length of a day
    at     bigint NOT NULL,           -- its first moment, Unix milliseconds
    sketch bytea NOT NULL,            -- an HLL sketch of Apache DataSketches
    PRIMARY KEY (name, span, at)
) WITH (fillfactor = 70);
CREATE INDEX sketch_rollups_by_time ON sketch_rollups (span, at);
-- Registers are as good as random, so nothing is won by compressing them.
ALTER TABLE sketch_rollups ALTER COLUMN sketch SET STORAGE EXTERNAL;

-- How far the sketches of a lane are kept: up to seq, but for an installation of before there was this
-- table, which begins with the oldest ledger row that it still has.
ALTER TABLE fold_heads ADD COLUMN sketches bigint NOT NULL DEFAULT 0;
-- Up to which second (Unix ms) a lane counted in ledger rows that had gone by then; NULL for none.
ALTER TABLE fold_heads ADD COLUMN sketches_lack bigint;
