-- A virtual column is not kept, yet computed for each row that is inserted, for a day that
-- date(time / 1000, 'unixepoch') says as well. The rows are not touched.
ALTER TABLE events DROP COLUMN day;
