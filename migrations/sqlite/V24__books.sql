-- Trials of the shop or its provider are orders for which nobody pays.
ALTER TABLE orders ADD COLUMN test INTEGER NOT NULL DEFAULT 0;

-- What events say of orders, written in the transaction of their batch: the books compare it with `orders`.
-- A row has no user and no session. It stays where its event is removed, as all sums do.
CREATE TABLE order_events (
    order_id TEXT NOT NULL,
    counts   INTEGER NOT NULL, -- 0: it was only reported
    webhook  INTEGER NOT NULL, -- whether a shop system or payment provider sent it
    source   TEXT NOT NULL,
    time     INTEGER NOT NULL, -- event time, Unix ms
    amount   INTEGER,          -- in 1/10,000 of the currency; NULL where it could not be read
    currency TEXT NOT NULL,    -- empty: that of the installation
    test     INTEGER NOT NULL
) STRICT;
CREATE INDEX order_events_by_order ON order_events (order_id);
CREATE INDEX order_events_by_time ON order_events (time);

-- Where there are events already, what they say of orders was not noted: the books begin now.
INSERT OR IGNORE INTO history_forgotten (what, before)
    SELECT 'order_events', CAST(strftime('%s', 'now') AS INTEGER) * 1000
    WHERE EXISTS (SELECT 1 FROM ledger_heads);
