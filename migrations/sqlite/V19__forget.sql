-- Who was forgotten, and what that removed: receipts. A person is in them as a salted hash only.
CREATE TABLE forgotten (
    request  TEXT PRIMARY KEY,
    subject  TEXT NOT NULL,    -- user or session
    person   TEXT NOT NULL,    -- SHA-256 of salt, subject and id
    salt     TEXT NOT NULL,
    asked_at INTEGER NOT NULL, -- Unix ms
    done_at  INTEGER,          -- NULL while it is under way
    receipt  TEXT              -- JSON
) STRICT;

-- How far a request has come, and the sessions whose events go with it. Its rows go when it is done.
CREATE TABLE forget_work (
    request TEXT NOT NULL,
    what    TEXT NOT NULL,
    value   TEXT NOT NULL,
    rows    INTEGER NOT NULL,
    PRIMARY KEY (request, what, value)
) STRICT, WITHOUT ROWID;
