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
    -- Checksums of the newest content, by which a load notices rows that are missing: see core/content.py.
    content BLOB NOT NULL,
    -- CRC-32 of the columns above.
    crc INTEGER NOT NULL,
    labels TEXT NOT NULL DEFAULT '{}',
    -- The last fencing token that was issued.
    lease_token INTEGER,
    lease_holder TEXT,
    lease_acquired_at INTEGER,
    -- By the database's clock. NULL or 0: the lease was released.
    lease_expire_at INTEGER,
    -- The session's revision in which the lease last changed hands.
    lease_revision INTEGER,
    -- By the database's clock. Counts while the session is expired.
    tombstone_until INTEGER,
    -- The session's own retention. Both NULL: the server's.
    keep_last INTEGER,
    max_age INTEGER,
    -- The revision of the last deletion of checkpoints, and the greatest revision in which a deleted one was saved.
    deletion_revision INTEGER,
    deleted_revision INTEGER,
    -- Of a copy: a digest of the request, and the revision that the copy had then.
    origin BLOB,
    -- CRC-32 of the columns from labels to origin. NULL: all are as in a new session.
    settings_crc INTEGER
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

-- Work that one server does for all: its holder, the end of the holder's term, and the position reached.
CREATE TABLE elections (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expire_at INTEGER NOT NULL,
    position BLOB NOT NULL
);
