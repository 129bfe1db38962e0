-- Trials of the shop or its provider are orders for which nobody pays.
ALTER TABLE orders ADD COLUMN test boolean NOT NULL DEFAULT false;

-- What events say of orders, written in the transaction of their batch: the books compare it with `orders`.
-- A row has no user and no session. It stays where its event is removed, as all sums do.
CREATE TABLE order_events (
    order_id text NOT NULL,
    counts   boolean NOT NULL, -- false: it was only reported
    webhook  boolean NOT NULL, -- whether a shop system or payment provider sent it
    source   text NOT NULL,
    time     bigint NOT NULL,  -- event time, Unix milliseconds
    amount   bigint,           -- in 1/10,000 of the currency; NULL where it could not be read
    currency text NOT NULL,    -- empty: that of the installation
    test     boolean NOT NULL
);
CREATE INDEX order_events_by_order ON order_events (order_id);
CREATE INDEX order_events_by_time ON order_events (time);

-- Where there are events already, what they say of orders was not noted: the books begin now.
INSERT INTO history_forgotten (what, before)
    SELECT 'order_events', (extract(epoch FROM now()) * 1000)::bigint
    WHERE EXISTS (SELECT FROM ledger_heads)
    ON CONFLICT DO NOTHING;
