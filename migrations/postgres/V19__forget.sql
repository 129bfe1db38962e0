-- Who was forgotten, and what that removed: receipts. A person is in them as a salted hash only.
CREATE TABLE forgotten (
    request  text COLLATE "C" PRIMARY KEY,
    subject  text COLLATE "C" NOT NULL, -- user or session
    person   text COLLATE "C" NOT NULL, -- SHA-256 of salt, subject and id
    salt     text COLLATE "C" NOT NULL,
    asked_at bigint NOT NULL,           -- Unix milliseconds
    done_at  bigint,                    -- NULL while it is under way
    receipt  text                       -- JSON
);

-- How far a request has come, and the sessions whose events go with it. Its rows go when it is done.
CREATE TABLE forget_work (
    request text COLLATE "C" NOT NULL,
    what    text COLLATE "C" NOT NULL,
    value   text COLLATE "C" NOT NULL,
    rows    bigint NOT NULL,
    PRIMARY KEY (request, what, value)
);
