-- What was counted, by minute of event time: kept for good, folded from the ledger. A row
-- of the minute in progress is updated every few seconds (HOT, so the pages keep room).
CREATE TABLE rollups (
    series text COLLATE "C" NOT NULL,  -- as in Redis: c:page_view, s:revenue
    minute bigint NOT NULL,            -- its first moment, Unix milliseconds
    value  bigint NOT NULL,            -- events, or 1/10,000 of the currency
    PRIMARY KEY (series, minute)
) WITH (fillfactor = 80);
CREATE INDEX rollups_by_minute ON rollups (minute);

-- The last batch of each lane of each node that is in the rollups. Moved in the transaction
-- that adds the batches up, so that each is added once.
CREATE TABLE fold_heads (
    node    uuid NOT NULL,
    lane    smallint NOT NULL,
    seq     bigint NOT NULL,
    since   bigint,                    -- when its first batch with events was sealed, Unix ms
    dropped bigint NOT NULL DEFAULT 0, -- events of its ledger rows that were dropped
    PRIMARY KEY (node, lane)
) WITH (fillfactor = 20);
