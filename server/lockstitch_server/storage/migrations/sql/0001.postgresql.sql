-- Times are in ns since 1970, revisions in us; `key` is a 16-byte hash of (tenant, session_id). Ids compare byte by
-- byte.
CREATE TABLE IF NOT EXISTS lockstitch.sessions (
    key BYTEA NOT NULL PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_second BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    last_log BIGINT NOT NULL,
    checkpoint_count BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    write_bytes BIGINT NOT NULL,
    ttl BIGINT,
    expire_at BIGINT,
    -- Checksums of the newest content, by which a load notices rows that are missing: see core/content.py.
    content BYTEA NOT NULL,
    -- CRC-32 of the columns above.
    crc INTEGER NOT NULL,
    labels TEXT NOT NULL DEFAULT '{}',
    -- The last fencing token that was issued.
    lease_token BIGINT,
    lease_holder TEXT,
    lease_acquired_at BIGINT,
    -- By the database's clock. NULL or 0: the lease was released.
    lease_expire_at BIGINT,
    -- The session's revision in which the lease last changed hands.
    lease_revision BIGINT,
    -- By the database's clock. Counts while the session is expired.
    tombstone_until BIGINT,
    -- The session's own retention. Both NULL: the server's.
    keep_last BIGINT,
    max_age BIGINT,
    -- The revision of the last deletion of checkpoints, and the greatest revision in which a deleted one was saved.
    deletion_revision BIGINT,
    deleted_revision BIGINT,
    -- Of a copy: a digest of the request, and the revision that the copy had then.
    origin BYTEA,
    -- CRC-32 of the columns from labels to origin. NULL: all are as in a new session.
    settings_crc INTEGER
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS sessions_by_update ON lockstitch.sessions (tenant, updated_second);
CREATE UNIQUE INDEX IF NOT EXISTS sessions_by_id ON lockstitch.sessions (tenant, session_id);

CREATE TABLE IF NOT EXISTS lockstitch.checkpoints (
    step BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    tenant_hash INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    key BYTEA NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    checkpoint_id TEXT COLLATE "C" NOT NULL,
    parent_id TEXT COLLATE "C" NOT NULL,
    record BYTEA NOT NULL,
    -- What the checkpoint can be searched by: a hash of each fact about it.
    terms BIGINT[],
    PRIMARY KEY (key, namespace, checkpoint_id)
);
CREATE INDEX IF NOT EXISTS checkpoints_by_time ON lockstitch.checkpoints (tenant_hash, revision);
CREATE INDEX IF NOT EXISTS checkpoints_by_term ON lockstitch.checkpoints USING gin (terms) WITH (fastupdate = off)
    WHERE terms IS NOT NULL;

CREATE TABLE IF NOT EXISTS lockstitch.segments (
    start INTEGER NOT NULL,
    log INTEGER NOT NULL,
    -- How many bytes of the log the row holds. Where `data` has fewer, they are packed.
    size INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    key BYTEA NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (key, log, start)
);
-- Not compressed: a tail that grows is rewritten in place then.
ALTER TABLE lockstitch.segments ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE IF NOT EXISTS lockstitch.writes (
    task_index INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    key BYTEA NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    checkpoint_id TEXT COLLATE "C" NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    task_path TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (key, namespace, checkpoint_id, task_id, task_index)
);

-- Work that one server does for all: its holder, the end of the holder's term, and the position reached.
CREATE TABLE IF NOT EXISTS lockstitch.elections (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expire_at BIGINT NOT NULL,
    position BYTEA NOT NULL
);

-- Rows as parameters of statements: an array for each table.
DO $$
BEGIN
    IF to_regtype('lockstitch.expected_session') IS NULL THEN
        CREATE TYPE lockstitch.expected_session AS (
            key BYTEA,
            revision BIGINT,
            expire_at BIGINT,
            lease BIGINT
        );
        CREATE TYPE lockstitch.log_end AS (
            key BYTEA,
            log INTEGER,
            start INTEGER,
            size INTEGER
        );
        CREATE TYPE lockstitch.session_row AS (
            key BYTEA,
            tenant TEXT,
            session_id TEXT,
            created_at BIGINT,
            updated_at BIGINT,
            revision BIGINT,
            last_log BIGINT,
            checkpoint_count BIGINT,
            stored_bytes BIGINT,
            write_bytes BIGINT,
            ttl BIGINT,
            expire_at BIGINT,
            content BYTEA,
            updated_second BIGINT,
            crc INTEGER
        );
        CREATE TYPE lockstitch.checkpoint_row AS (
            key BYTEA,
            namespace TEXT,
            checkpoint_id TEXT,
            parent_id TEXT,
            step BIGINT,
            revision BIGINT,
            record BYTEA,
            crc INTEGER,
            tenant_hash INTEGER,
            terms BIGINT[]
        );
        CREATE TYPE lockstitch.segment_row AS (
            key BYTEA,
            log INTEGER,
            start INTEGER,
            size INTEGER,
            data BYTEA,
            crc INTEGER
        );
        CREATE TYPE lockstitch.write_row AS (
            key BYTEA,
            namespace TEXT,
            checkpoint_id TEXT,
            task_id TEXT,
            task_index INTEGER,
            task_path TEXT,
            channel TEXT,
            data BYTEA,
            crc INTEGER
        );
    END IF;
END $$;
