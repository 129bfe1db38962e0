-- Who sent an event (the name of its key, see [[source]]), and in which format. NULL in rows of before
-- this was kept. Postgres keeps the default NULL of a new column in its catalogue and writes no row.
ALTER TABLE events ADD COLUMN source text, ADD COLUMN dialect text;
