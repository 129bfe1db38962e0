-- Orders and refunds as the shop system or the payment provider has them, each in its newest state. They
-- are written in the transaction of the batch that has the webhook's event. Amounts are decimal numbers as
-- text, in whole units of the currency; times are in ms since 1970.
CREATE TABLE orders (
    source TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('order', 'refund')),
    id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    total TEXT NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    placed_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (source, kind, id)
) WITHOUT ROWID;
CREATE INDEX orders_by_order ON orders (order_id);
CREATE INDEX orders_by_time ON orders (placed_at);
