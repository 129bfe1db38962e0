-- Which installation this file belongs to, and the settings that its numbers were made by. The first
-- start writes the one row.
CREATE TABLE installation (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    id           BLOB NOT NULL,
    zone         TEXT NOT NULL,          -- where the business day turns
    currency     TEXT NOT NULL,          -- what sums of money are in
    redis_prefix TEXT NOT NULL,          -- empty while the node counts in its own process
    made_at      INTEGER NOT NULL        -- Unix milliseconds
) STRICT;
