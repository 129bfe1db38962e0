-- The chain of hashes (ledger.chain): one row a batch, written in the transaction of its events. Its format stands
-- in src/domain/chain/. It stays for good; what it says of rows that were forgotten or are too old goes.
CREATE TABLE chain (
    node        BLOB NOT NULL,      -- the run, 16 bytes of a UUID
    lane        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    before_node BLOB,               -- the batch before it in the chain; NULL where the chain begins
    before_seq  INTEGER,
    before_hash BLOB,
    follows     INTEGER NOT NULL,   -- 1: that is also the batch before it in its lane
    sealed_at   INTEGER NOT NULL,   -- Unix ms
    written_at  INTEGER NOT NULL,   -- Unix ms
    first_time  INTEGER,            -- of its events; NULL where it has none
    last_time   INTEGER,
    hash        BLOB NOT NULL,
    digests     BLOB NOT NULL,      -- 16 bytes a row
    keys        BLOB,               -- NULL, as the places, once all of its rows have gone for their age
    places      BLOB,               -- time, type and id of each row
    PRIMARY KEY (node, lane, seq)
) STRICT;
CREATE INDEX chain_by_last_time ON chain (last_time);
-- Before these batches there are others that are not in the chain.
CREATE INDEX chain_gaps ON chain (sealed_at) WHERE NOT follows;
-- Those whose rows may be too old by now.
CREATE INDEX chain_with_places ON chain (last_time) WHERE places IS NOT NULL;

-- When the last batch of a lane was sealed (NULL: before this migration), and the last one of its lane that is in the
-- chain, perhaps of an earlier run. The guard moves them on with the head, so that a chain which is shorter than it
-- was is noticed.
ALTER TABLE ledger_heads ADD COLUMN sealed_at INTEGER;
ALTER TABLE ledger_heads ADD COLUMN chain_node BLOB;
ALTER TABLE ledger_heads ADD COLUMN chain_seq INTEGER;
ALTER TABLE ledger_heads ADD COLUMN chain_hash BLOB;
