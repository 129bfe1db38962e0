-- The Parquet files to which rows of events have moved ([archive]), or are about to.
CREATE TABLE archive_files (
    path       text COLLATE "C" PRIMARY KEY, -- below archive.url
    day        text COLLATE "C" NOT NULL,    -- of its events (UTC), 2026-11-27
    type       text COLLATE "C" NOT NULL,    -- of its events
    -- writing: there is no file yet, or a part of one. checked: the file has what it is to have, and so has the
    -- store. kept: the rows have left the store, and are answered from the file. leaving: the file is to be
    -- deleted, and nobody reads it any more.
    state      text COLLATE "C" NOT NULL,
    rows       bigint NOT NULL,
    bytes      bigint NOT NULL,
    first_time bigint NOT NULL,              -- of its events, Unix milliseconds
    last_time  bigint NOT NULL,
    digest     text COLLATE "C" NOT NULL,    -- the sum of the hashes of its rows, which has no order
    changed_at bigint NOT NULL               -- Unix milliseconds
);
CREATE INDEX archive_files_by_last_time ON archive_files (last_time);
