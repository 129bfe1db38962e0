-- Each time that an alert fired. `detail` is all there is to say of it, as JSON; moments are
-- Unix milliseconds.
CREATE TABLE alerts (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    fired_at   bigint NOT NULL,
    cleared_at bigint,                 -- NULL while it fires
    detail     text NOT NULL
);
-- An alert fires once at a time, whoever says so.
CREATE UNIQUE INDEX alerts_firing ON alerts (name) WHERE cleared_at IS NULL;
CREATE INDEX alerts_by_fired_at ON alerts (fired_at);

-- What webhooks are to be told: written with the change that it tells of, and kept.
CREATE TABLE notifications (
    id         text PRIMARY KEY,       -- the Idempotency-Key of its requests
    alert      text NOT NULL REFERENCES alerts (id),
    change     text NOT NULL,          -- fired, cleared
    webhook    text NOT NULL,
    body       text NOT NULL,
    created_at bigint NOT NULL,
    due_at     bigint NOT NULL,        -- not tried before
    attempts   bigint NOT NULL,
    done_at    bigint,                 -- NULL while it is tried
    outcome    text,                   -- delivered, given_up
    UNIQUE (alert, change, webhook)
);
CREATE INDEX notifications_due ON notifications (due_at) WHERE done_at IS NULL;

-- Who does what only one node may do, and until when by this server's clock.
CREATE TABLE leases (
    name   text PRIMARY KEY,
    holder text NOT NULL,
    until  timestamptz NOT NULL
);
