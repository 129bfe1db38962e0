-- What the events of each type and source look like. The shape of a batch is written with its ledger row,
-- and folded from there with the rollups.
ALTER TABLE ledger ADD COLUMN shape bytea;

-- By minute of event time, kept for a day. The row with an empty property counts the events of the type
-- and source; the others say how many of them had the property, by the JSON type of its value.
CREATE TABLE schema_minutes (
    type     text COLLATE "C" NOT NULL,
    source   text COLLATE "C" NOT NULL,
    property text COLLATE "C" NOT NULL,
    at       bigint NOT NULL,            -- its first moment, Unix milliseconds
    seen     bigint NOT NULL,            -- events
    strings  bigint NOT NULL,
    numbers  bigint NOT NULL,
    booleans bigint NOT NULL,
    nulls    bigint NOT NULL,
    objects  bigint NOT NULL,
    arrays   bigint NOT NULL,
    others   bigint NOT NULL,            -- values of properties that there was no room for
    PRIMARY KEY (type, source, property, at)
) WITH (fillfactor = 80);
CREATE INDEX schema_minutes_by_time ON schema_minutes (at);

-- The same by hour, kept for good.
CREATE TABLE schema_hours (
    type     text COLLATE "C" NOT NULL,
    source   text COLLATE "C" NOT NULL,
    property text COLLATE "C" NOT NULL,
    at       bigint NOT NULL,
    seen     bigint NOT NULL,
    strings  bigint NOT NULL,
    numbers  bigint NOT NULL,
    booleans bigint NOT NULL,
    nulls    bigint NOT NULL,
    objects  bigint NOT NULL,
    arrays   bigint NOT NULL,
    others   bigint NOT NULL,
    PRIMARY KEY (type, source, property, at)
) WITH (fillfactor = 80);
CREATE INDEX schema_hours_by_time ON schema_hours (at);

-- The properties that are known, which bounds what is learnt.
CREATE TABLE schema_properties (
    type       text COLLATE "C" NOT NULL,
    source     text COLLATE "C" NOT NULL,
    property   text COLLATE "C" NOT NULL,
    first_seen bigint NOT NULL,          -- minutes of event time, Unix milliseconds
    last_seen  bigint NOT NULL,
    PRIMARY KEY (type, source, property)
) WITH (fillfactor = 80);
