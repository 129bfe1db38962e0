-- Which days were made anew from their events: they are known although they may lie before the first row of a
-- table that came later.
CREATE TABLE rebuilt_days (
    at      INTEGER NOT NULL, -- where the day begins, Unix milliseconds
    until   INTEGER NOT NULL, -- where it ends
    made_at INTEGER NOT NULL, -- when that was
    PRIMARY KEY (at, until)
);
