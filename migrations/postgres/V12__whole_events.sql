-- How many events of a batch are here: those of its ledger row, and those of its end that were written
-- later under a run of their own, since a copy of the data dir had sealed only the beginning. NULL where
-- nothing came later. It is written in the transaction of the end, so that whoever brings the batch again
-- finds out from this row alone what is still missing, whatever state this database was put back to.
ALTER TABLE ledger ADD COLUMN whole_events bigint;
