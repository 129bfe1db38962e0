-- Which days were made anew from their events: they are known although they may lie before the first row of a
-- table that came later.
CREATE TABLE rebuilt_days (
    at      bigint NOT NULL, -- where the day begins, Unix milliseconds
    until   bigint NOT NULL, -- where it ends
    made_at bigint NOT NULL, -- when that was
    PRIMARY KEY (at, until)
);
