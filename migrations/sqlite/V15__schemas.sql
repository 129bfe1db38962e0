-- What the events of each type and source look like. The shape of a batch is written with its ledger row,
-- and folded from there with the rollups.
ALTER TABLE ledger ADD COLUMN shape BLOB;

-- By minute of event time, kept for a day. The row with an empty property counts the events of the type
-- and source; the others say how many of them had the property, by the JSON type of its value.
CREATE TABLE schema_minutes (
    type     TEXT NOT NULL,
    source   TEXT NOT NULL,
    property TEXT NOT NULL,
    at       INTEGER NOT NULL,           -- its first moment, Unix ms
    seen     INTEGER NOT NULL,           -- events
    strings  INTEGER NOT NULL,
    numbers  INTEGER NOT NULL,
    booleans INTEGER NOT NULL,
    nulls    INTEGER NOT NULL,
    objects  INTEGER NOT NULL,
    arrays   INTEGER NOT NULL,
    others   INTEGER NOT NULL,           -- values of properties that there was no room for
    PRIMARY KEY (type, source, property, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX schema_minutes_by_time ON schema_minutes (at);

-- The same by hour, kept for good.
CREATE TABLE schema_hours (
    type     TEXT NOT NULL,
    source   TEXT NOT NULL,
    property TEXT NOT NULL,
    at       INTEGER NOT NULL,
    seen     INTEGER NOT NULL,
    strings  INTEGER NOT NULL,
    numbers  INTEGER NOT NULL,
    booleans INTEGER NOT NULL,
    nulls    INTEGER NOT NULL,
    objects  INTEGER NOT NULL,
    arrays   INTEGER NOT NULL,
    others   INTEGER NOT NULL,
    PRIMARY KEY (type, source, property, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX schema_hours_by_time ON schema_hours (at);

-- The properties that are known, which bounds what is learnt.
CREATE TABLE schema_properties (
    type       TEXT NOT NULL,
    source     TEXT NOT NULL,
    property   TEXT NOT NULL,
    first_seen INTEGER NOT NULL,         -- minutes of event time, Unix ms
    last_seen  INTEGER NOT NULL,
    PRIMARY KEY (type, source, property)
) STRICT, WITHOUT ROWID;
