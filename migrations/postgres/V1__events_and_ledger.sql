-- Every event, in one partition a day (UTC). The server makes the partitions, named
-- events_20261127, ahead and when a late event needs one; what lies too far from today
-- goes to events_default. An old day goes with `DROP TABLE events_20251127`.
CREATE TABLE events (
    time        timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    id          text NOT NULL,
    type        text NOT NULL,
    user_id     text,
    session_id  text,
    properties  jsonb NOT NULL
) PARTITION BY RANGE (time);

-- Rows arrive nearly in the order of their time, so a few bytes for each 128 pages find a
-- stretch of time. A B-tree would cost a third of the insert rate.
CREATE INDEX events_time ON events USING brin (time) WITH (autosummarize = on);

CREATE TABLE events_default PARTITION OF events DEFAULT;

-- Events that were refused, with the reason and what the client sent (a NUL character,
-- which Postgres can't hold, as \u0000).
CREATE TABLE dead_letters (
    node        uuid NOT NULL,
    seq         bigint NOT NULL,
    received_at timestamptz NOT NULL,
    code        text NOT NULL,
    message     text NOT NULL,
    raw         text NOT NULL
);
CREATE INDEX dead_letters_received_at ON dead_letters USING brin (received_at);

-- One row a batch, written in the transaction of its events: what it adds to the counters.
-- Moments are Unix milliseconds. `visitors` is large and rarely read, so it comes last; it
-- is made of hashes, so nothing is won by compressing it.
CREATE TABLE ledger (
    node         uuid NOT NULL,
    lane         smallint NOT NULL,
    seq          bigint NOT NULL,
    sealed_at    bigint NOT NULL,
    events       bigint NOT NULL,  -- as sealed, poisoned rows included
    poisoned     bigint NOT NULL,  -- of these: refused by the store, in dead_letters
    first_second bigint,           -- NULL where nothing was counted
    last_second  bigint,
    delta        bytea NOT NULL,
    visitors     bytea NOT NULL,
    PRIMARY KEY (node, lane, seq)
);
ALTER TABLE ledger ALTER COLUMN visitors SET STORAGE EXTERNAL;
CREATE INDEX ledger_by_last_second ON ledger (last_second);
CREATE INDEX ledger_by_sealed_at ON ledger (sealed_at);

-- The guard: the last batch of each lane of each node. A replay finds itself here. Updated
-- in place with every batch (HOT, so the pages keep room for it).
CREATE TABLE ledger_heads (
    node uuid NOT NULL,
    lane smallint NOT NULL,
    seq  bigint NOT NULL,
    PRIMARY KEY (node, lane)
) WITH (fillfactor = 20);
