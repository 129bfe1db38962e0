-- Which installation this database belongs to, and the settings that its numbers were made by. The
-- first node writes the one row; every write of a batch looks whether it is still the node's own.
CREATE TABLE installation (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    id           uuid NOT NULL,
    zone         text NOT NULL,          -- where the business day turns
    currency     text NOT NULL,          -- what sums of money are in
    redis_prefix text NOT NULL,          -- empty while no node counts in Redis
    made_at      timestamptz NOT NULL DEFAULT now()
);
