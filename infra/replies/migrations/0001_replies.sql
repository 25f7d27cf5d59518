-- Replies as they grow. `length` in characters; `start` is a delta's offset.
CREATE TABLE attempts (
    task TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    next_seq INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (task, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE deltas (
    task TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    start INTEGER NOT NULL,
    text TEXT NOT NULL,
    rewrite INTEGER NOT NULL,
    PRIMARY KEY (task, attempt, seq)
) STRICT, WITHOUT ROWID;

-- One seal for each task: the first wins, whichever attempt it is of.
CREATE TABLE seals (
    task TEXT PRIMARY KEY,
    attempt INTEGER NOT NULL,
    text TEXT NOT NULL,
    source TEXT NOT NULL,
    finish TEXT NOT NULL,
    length INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    conversation TEXT,
    signs TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;

CREATE TRIGGER seals_stay BEFORE UPDATE ON seals
BEGIN SELECT raise(ABORT, 'a sealed reply never changes'); END;
