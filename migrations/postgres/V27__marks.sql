-- Marks: moments, or stretches of time, at which somebody did something that the numbers may show.
-- A mark that is taken back keeps its row, so that a repetition of it does not bring it back.
CREATE TABLE marks (
    id         text PRIMARY KEY,
    at         bigint NOT NULL,  -- Unix ms
    until_at   bigint,           -- Unix ms; NULL for a moment
    title      text NOT NULL,
    source     text NOT NULL,    -- who made it
    link       text,             -- a page that says more
    repeat_key text UNIQUE,      -- what all repetitions of it have
    made_at    bigint NOT NULL,  -- Unix ms
    removed_at bigint,           -- Unix ms
    removed_by text
);
CREATE INDEX marks_by_time ON marks (at);
