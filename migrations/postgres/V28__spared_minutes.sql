-- Stretches of time of which breakdowns and visitors stay by minute although older minutes are forgotten: the days
-- of an occasion. Unix milliseconds, the end is not in it.
CREATE TABLE spared_minutes (
    starts bigint PRIMARY KEY,
    ends   bigint NOT NULL
);
