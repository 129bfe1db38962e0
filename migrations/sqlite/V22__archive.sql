-- The Parquet files to which rows of events have moved ([archive]), or are about to.
CREATE TABLE archive_files (
    path       TEXT PRIMARY KEY,  -- below archive.url
    day        TEXT NOT NULL,     -- of its events (UTC), 2026-11-27
    type       TEXT NOT NULL,     -- of its events
    -- writing: there is no file yet, or a part of one. checked: the file has what it is to have, and so has the
    -- store. kept: the rows have left the store, and are answered from the file. leaving: the file is to be
    -- deleted, and nobody reads it any more.
    state      TEXT NOT NULL,
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    first_time INTEGER NOT NULL,  -- of its events, Unix ms
    last_time  INTEGER NOT NULL,
    digest     TEXT NOT NULL,     -- the sum of the hashes of its rows, which has no order
    changed_at INTEGER NOT NULL   -- Unix ms
) STRICT, WITHOUT ROWID;
CREATE INDEX archive_files_by_last_time ON archive_files (last_time);

-- Who moves rows to the archive, and until when nobody else does (Unix ms): a server and a command may have one
-- file.
CREATE TABLE archive_lease (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    holder   TEXT NOT NULL,
    until    INTEGER NOT NULL
) STRICT;

-- The last rowid that events ever had, where the rows at the end were moved: runs of rowids say which seconds
-- their rows span, so none is used twice.
CREATE TABLE event_end (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last_row INTEGER NOT NULL
) STRICT;
