-- What of the history was forgotten, and up to when. A configuration that keeps more later brings nothing
-- back, and whoever asks for it is told so.
CREATE TABLE history_forgotten (
    what   TEXT PRIMARY KEY,
    before INTEGER NOT NULL -- Unix milliseconds
);
