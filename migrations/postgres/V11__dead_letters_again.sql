-- Dead letters that can be grouped and sent again. Letters of before have no source, write key, dialect
-- or time of their own.
ALTER TABLE dead_letters
    -- Names the letter; where its event has no id, this makes the id under which it is sent again.
    ADD COLUMN letter     uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN cut        boolean NOT NULL DEFAULT false,  -- raw is only the beginning
    ADD COLUMN source     text NOT NULL DEFAULT '',
    ADD COLUMN write_key  text NOT NULL DEFAULT '',        -- a fingerprint of it, never the key
    ADD COLUMN dialect    text NOT NULL DEFAULT '',
    ADD COLUMN event      text NOT NULL DEFAULT '',        -- in the native format, where raw is in another
    ADD COLUMN event_time bigint,                          -- Unix ms
    -- waiting, sending (what became of it is not known yet), or sent
    ADD COLUMN state      text NOT NULL DEFAULT 'waiting',
    ADD COLUMN state_at   bigint;                          -- Unix ms
CREATE INDEX dead_letters_letter ON dead_letters (letter);
