-- Times are in ns since 1970, revisions in us; `key` is a 16-byte hash of (tenant, session_id).
CREATE TABLE sessions (
    key BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    session_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_second INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    last_log INTEGER NOT NULL,
    checkpoint_count INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    write_bytes INTEGER NOT NULL,
    ttl INTEGER,
    expire_at INTEGER,
    labels TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX sessions_by_update ON sessions (tenant, updated_second);
CREATE UNIQUE INDEX sessions_by_id ON sessions (tenant, session_id);

CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    namespace TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tenant_hash INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE UNIQUE INDEX checkpoints_by_id ON checkpoints (key, namespace, checkpoint_id);
CREATE INDEX checkpoints_by_time ON checkpoints (tenant_hash, revision);

-- What checkpoints can be searched by: a hash of each fact about one, and the checkpoint's row.
CREATE TABLE terms (
    term INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL,
    PRIMARY KEY (term, checkpoint)
) WITHOUT ROWID;

CREATE TABLE segments (
    key BLOB NOT NULL,
    log INTEGER NOT NULL,
    start INTEGER NOT NULL,
    -- How many bytes of the log the row holds. Where `data` has fewer, they are packed.
    size INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX segments_by_start ON segments (key, log, start);

CREATE TABLE writes (
    key BLOB NOT NULL,
    namespace TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    task_index INTEGER NOT NULL,
    task_path TEXT NOT NULL,
    channel TEXT NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX writes_by_task ON writes (key, namespace, checkpoint_id, task_id, task_index);
