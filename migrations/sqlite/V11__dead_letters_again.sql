-- Dead letters that can be grouped and sent again. Letters of before have no source, write key, dialect
-- or time of their own.
-- `letter` names the letter; where its event has no id, this makes the id under which it is sent again.
ALTER TABLE dead_letters ADD COLUMN letter BLOB;
ALTER TABLE dead_letters ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;      -- raw is only the beginning
ALTER TABLE dead_letters ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN write_key TEXT NOT NULL DEFAULT '';  -- a fingerprint, never the key
ALTER TABLE dead_letters ADD COLUMN dialect TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN event TEXT NOT NULL DEFAULT '';      -- native, where raw is not
ALTER TABLE dead_letters ADD COLUMN event_time INTEGER;                  -- Unix ms
-- waiting, sending (what became of it is not known yet), or sent
ALTER TABLE dead_letters ADD COLUMN state TEXT NOT NULL DEFAULT 'waiting';
ALTER TABLE dead_letters ADD COLUMN state_at INTEGER;                    -- Unix ms
UPDATE dead_letters SET letter = randomblob(16);
CREATE UNIQUE INDEX dead_letters_letter ON dead_letters (letter);
