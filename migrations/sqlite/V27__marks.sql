-- Marks: moments, or stretches of time, at which somebody did something that the numbers may show.
-- A mark that is taken back keeps its row, so that a repetition of it does not bring it back.
CREATE TABLE marks (
    id         TEXT PRIMARY KEY,
    at         INTEGER NOT NULL,  -- Unix ms
    until_at   INTEGER,           -- Unix ms; NULL for a moment
    title      TEXT NOT NULL,
    source     TEXT NOT NULL,     -- who made it
    link       TEXT,              -- a page that says more
    repeat_key TEXT UNIQUE,       -- what all repetitions of it have
    made_at    INTEGER NOT NULL,  -- Unix ms
    removed_at INTEGER,           -- Unix ms
    removed_by TEXT
) STRICT;
CREATE INDEX marks_by_time ON marks (at);
