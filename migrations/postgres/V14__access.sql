-- Who has access: write keys, users, API tokens and links. Secrets are here as hashes only.
-- One row that every change moves on, so that of two changes at once one finds out and begins anew, and
-- a node that asks for the version alone knows whether its copy is still right.
CREATE TABLE access_head (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version      bigint  NOT NULL DEFAULT 0,
    -- What the cookies of sessions are signed with. Two random uuids have 244 random bits.
    session_key  bytea   NOT NULL
        DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
    sends_closed boolean NOT NULL DEFAULT false,  -- there was a key: nobody sends without one any more
    views_closed boolean NOT NULL DEFAULT false,  -- there was a user or token: nobody reads unknown
    last_number  bigint  NOT NULL DEFAULT 0       -- the highest number of a key
);
INSERT INTO access_head DEFAULT VALUES;
CREATE TABLE access_identities (
    id         text PRIMARY KEY,
    kind       text NOT NULL,  -- key, user, token, link
    name       text NOT NULL,
    body       text NOT NULL,  -- JSON of all of it
    revoked_at bigint          -- Unix ms
);
CREATE UNIQUE INDEX access_identities_name ON access_identities (kind, name) WHERE revoked_at IS NULL;
-- What was changed, by whom. Rows are only added, which the trigger sees to.
CREATE TABLE access_audit (
    version bigint PRIMARY KEY,  -- of the head, that the change made
    at      bigint NOT NULL,     -- Unix ms
    body    text   NOT NULL      -- JSON of the entry
);
CREATE OR REPLACE FUNCTION access_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of access_audit are only added';
END $$;
CREATE TRIGGER access_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_audit
    FOR EACH STATEMENT EXECUTE FUNCTION access_audit_is_append_only();
