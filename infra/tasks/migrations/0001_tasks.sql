-- Tasks. Times are seconds since the epoch. `seq` is the order of creation.
-- `place` says where a task stands (infra/tasks/places.py): 0 ended, 1 ready, 2 delayed, 3 waits for others,
-- 4 waits for its concurrency key, 5 running. Each index is partial on it, so that taking the next ready task
-- costs the same beside ten waiting tasks and beside a million.
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    envelope TEXT UNIQUE,
    idempotency_key TEXT UNIQUE,
    kind TEXT NOT NULL,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    priority INTEGER NOT NULL,
    place INTEGER NOT NULL,
    state TEXT NOT NULL,
    stage TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    not_before REAL NOT NULL,
    timeout REAL NOT NULL,
    deadline REAL NOT NULL,
    lease_token TEXT,
    lease_owner TEXT,
    lease_until REAL,
    settled_token TEXT,
    concurrency_key TEXT,
    conversation TEXT,
    depends_on TEXT,
    unmet INTEGER NOT NULL,
    batch TEXT,
    error TEXT,
    reply TEXT,
    correlation TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    finished_at REAL,
    excerpt TEXT NOT NULL
) STRICT;

-- What is large and never changes stands apart: a transition would write it again otherwise.
CREATE TABLE task_contents (
    seq INTEGER PRIMARY KEY,
    prompt TEXT NOT NULL,
    payload BLOB
) STRICT;

CREATE INDEX tasks_ready ON tasks (provider, account, priority DESC, seq) WHERE place = 1;
CREATE INDEX tasks_delayed ON tasks (not_before) WHERE place = 2;
CREATE INDEX tasks_keyed ON tasks (concurrency_key, priority DESC, seq) WHERE place = 4;
CREATE UNIQUE INDEX tasks_key_holder ON tasks (concurrency_key)
    WHERE concurrency_key IS NOT NULL AND place IN (1, 5);
CREATE INDEX tasks_leased ON tasks (lease_until) WHERE place = 5;
CREATE INDEX tasks_deadline ON tasks (deadline) WHERE place IN (1, 2, 3, 4);
CREATE INDEX tasks_state ON tasks (state, seq);

CREATE TABLE task_dependencies (
    needs TEXT NOT NULL,
    task INTEGER NOT NULL,
    PRIMARY KEY (needs, task)
) STRICT, WITHOUT ROWID;

-- The append-only history.
CREATE TABLE task_events (
    task INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    attempt INTEGER NOT NULL,
    change TEXT NOT NULL,
    by TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER task_events_stay BEFORE UPDATE ON task_events
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;

CREATE TABLE task_counts (
    state TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO task_counts VALUES
    ('PENDING', 0), ('RUNNING', 0), ('DONE', 0), ('FAILED', 0), ('RETRY', 0), ('DEAD', 0), ('CANCELLED', 0);

CREATE TRIGGER tasks_counted AFTER INSERT ON tasks
BEGIN UPDATE task_counts SET number = number + 1 WHERE state = new.state; END;

CREATE TRIGGER tasks_recounted AFTER UPDATE OF state ON tasks WHEN old.state <> new.state
BEGIN
    UPDATE task_counts SET number = number - 1 WHERE state = old.state;
    UPDATE task_counts SET number = number + 1 WHERE state = new.state;
END;
