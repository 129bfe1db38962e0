-- The chain of hashes (ledger.chain): one row a batch, written in the transaction of its events. Its format stands
-- in src/domain/chain/. It stays for good; what it says of rows that were forgotten or are too old goes.
CREATE TABLE chain (
    node        uuid NOT NULL,      -- the run
    lane        smallint NOT NULL,
    seq         bigint NOT NULL,
    before_node uuid,               -- the batch before it in the chain; NULL where the chain begins
    before_seq  bigint,
    before_hash bytea,
    follows     boolean NOT NULL,   -- that is also the batch before it in its lane
    sealed_at   bigint NOT NULL,    -- Unix milliseconds
    written_at  bigint NOT NULL     -- by this server's clock
                DEFAULT (extract(epoch FROM now()) * 1000)::bigint,
    first_time  bigint,             -- of its events; NULL where it has none
    last_time   bigint,
    hash        bytea NOT NULL,
    digests     bytea NOT NULL,     -- 16 bytes a row
    keys        bytea,              -- NULL, as the places, once all of its rows have gone for their age
    places      bytea,              -- time, type and id of each row
    PRIMARY KEY (node, lane, seq)
);
-- Hashes and ids are not worth compressing.
ALTER TABLE chain ALTER COLUMN digests SET STORAGE EXTERNAL;
ALTER TABLE chain ALTER COLUMN keys SET STORAGE EXTERNAL;
ALTER TABLE chain ALTER COLUMN places SET STORAGE EXTERNAL;
CREATE INDEX chain_by_last_time ON chain (last_time);
-- Before these batches there are others that are not in the chain.
CREATE INDEX chain_gaps ON chain (sealed_at) WHERE NOT follows;
-- Those whose rows may be too old by now.
CREATE INDEX chain_with_places ON chain (last_time) WHERE places IS NOT NULL;

-- When the last batch of a lane was sealed, and the last one of its lane that is in the chain, perhaps of an earlier
-- run. The guard moves them on with the head, so that a chain which is shorter than it was is noticed.
ALTER TABLE ledger_heads ADD COLUMN sealed_at bigint NOT NULL
    DEFAULT (extract(epoch FROM now()) * 1000)::bigint;
ALTER TABLE ledger_heads ADD COLUMN chain_node uuid;
ALTER TABLE ledger_heads ADD COLUMN chain_seq bigint;
ALTER TABLE ledger_heads ADD COLUMN chain_hash bytea;
