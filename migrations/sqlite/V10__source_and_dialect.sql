-- Who sent an event (the name of its key, see [[source]]), and in which format. NULL in rows of before
-- this was kept. The view events_near has all columns of events, so these too.
ALTER TABLE events ADD COLUMN source TEXT;
ALTER TABLE events ADD COLUMN dialect TEXT;
