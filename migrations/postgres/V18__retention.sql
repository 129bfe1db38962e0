-- What was taken out of the table events, by day (UTC) and type. Whoever reads events of such a day is told
-- that they are gone, and whoever compares rows with the ledger knows how many it lacks.
CREATE TABLE removed_rows (
    day         text COLLATE "C" NOT NULL, -- 2026-11-27
    type        text COLLATE "C" NOT NULL, -- empty: every type
    reason      text COLLATE "C" NOT NULL, -- age, type or person
    rows        bigint NOT NULL,           -- how many there were
    removed_at  bigint NOT NULL,           -- the last time, Unix milliseconds
    -- The size of the partition then. One that has grown since has got late events.
    table_bytes bigint,
    PRIMARY KEY (day, type, reason)
);

-- How large the database was, by hour: from this follows when the disk is full.
CREATE TABLE store_sizes (
    at    bigint PRIMARY KEY,              -- Unix milliseconds
    bytes bigint NOT NULL
);

-- While the rows of a day that stay are copied to a new partition, late events of that day are written to
-- both. The trigger is on that one partition, and only meanwhile.
CREATE OR REPLACE FUNCTION keep_late_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I SELECT ($1).*', TG_ARGV[0]) USING NEW;
    RETURN NULL;
END $$;
