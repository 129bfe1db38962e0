-- A refused event that has an id of its own and is sent again, as after a lost answer, is one
-- dead letter: this is the SHA-256 of what the client sent. NULL where it has no readable id.
ALTER TABLE dead_letters ADD COLUMN digest BLOB;
CREATE UNIQUE INDEX dead_letters_digest ON dead_letters (node, digest) WHERE digest IS NOT NULL;
