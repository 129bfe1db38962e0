-- Orders and refunds as the shop system or the payment provider has them, each in its newest state. They
-- are written in the transaction of the batch that has the webhook's event. Amounts are in whole units of
-- the currency, without rounding.
CREATE TABLE orders (
    source text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('order', 'refund')),
    id text NOT NULL,
    order_id text NOT NULL,
    total numeric NOT NULL,
    currency text NOT NULL,
    status text NOT NULL,
    placed_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (source, kind, id)
);
CREATE INDEX orders_by_order ON orders (order_id);
CREATE INDEX orders_by_time ON orders (placed_at);
