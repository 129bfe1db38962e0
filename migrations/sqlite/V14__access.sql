-- Who has access: write keys, users, API tokens and links. Secrets are here as hashes only.
-- One row that every change moves on, so that of two changes at once one finds out and begins anew, and
-- a node that asks for the version alone knows whether its copy is still right.
CREATE TABLE access_head (
    only_row     INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    version      INTEGER NOT NULL DEFAULT 0,
    session_key  BLOB    NOT NULL,             -- what the cookies of sessions are signed with
    sends_closed INTEGER NOT NULL DEFAULT 0,   -- there was a key: nobody sends without one any more
    views_closed INTEGER NOT NULL DEFAULT 0,   -- there was a user or token: nobody reads unknown
    last_number  INTEGER NOT NULL DEFAULT 0    -- the highest number of a key
) STRICT;
INSERT INTO access_head (session_key) VALUES (randomblob(32));
CREATE TABLE access_identities (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,  -- key, user, token, link
    name       TEXT NOT NULL,
    body       TEXT NOT NULL,  -- JSON of all of it
    revoked_at INTEGER         -- Unix ms
) STRICT;
CREATE UNIQUE INDEX access_identities_name ON access_identities (kind, name) WHERE revoked_at IS NULL;
-- What was changed, by whom. Rows are only added, which the triggers see to.
CREATE TABLE access_audit (
    version INTEGER PRIMARY KEY,  -- of the head, that the change made
    at      INTEGER NOT NULL,     -- Unix ms
    body    TEXT    NOT NULL      -- JSON of the entry
) STRICT;
CREATE TRIGGER access_audit_no_update BEFORE UPDATE ON access_audit
BEGIN SELECT RAISE(ABORT, 'rows of access_audit are only added'); END;
CREATE TRIGGER access_audit_no_delete BEFORE DELETE ON access_audit
BEGIN SELECT RAISE(ABORT, 'rows of access_audit are only added'); END;
