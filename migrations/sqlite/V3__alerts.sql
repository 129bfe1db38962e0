-- Each time that an alert fired. `detail` is all there is to say of it, as JSON; moments are
-- Unix milliseconds.
CREATE TABLE alerts (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    fired_at   INTEGER NOT NULL,
    cleared_at INTEGER,                -- NULL while it fires
    detail     TEXT NOT NULL
) STRICT;
-- An alert fires once at a time, whoever says so.
CREATE UNIQUE INDEX alerts_firing ON alerts (name) WHERE cleared_at IS NULL;
CREATE INDEX alerts_by_fired_at ON alerts (fired_at);

-- What webhooks are to be told: written with the change that it tells of, and kept.
CREATE TABLE notifications (
    id         TEXT NOT NULL PRIMARY KEY, -- the Idempotency-Key of its requests
    alert      TEXT NOT NULL REFERENCES alerts (id),
    change     TEXT NOT NULL,          -- fired, cleared
    webhook    TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,       -- not tried before
    attempts   INTEGER NOT NULL,
    done_at    INTEGER,                -- NULL while it is tried
    outcome    TEXT,                   -- delivered, given_up
    UNIQUE (alert, change, webhook)
) STRICT;
CREATE INDEX notifications_due ON notifications (due_at) WHERE done_at IS NULL;
