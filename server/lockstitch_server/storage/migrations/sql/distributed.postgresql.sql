-- Makes a plain schema one that can be distributed: see buckets.py. Rewrites all tables, each once, under an exclusive lock.
ALTER TABLE lockstitch.sessions
    DROP CONSTRAINT sessions_pkey,
    ADD COLUMN bucket INTEGER NOT NULL GENERATED ALWAYS AS (get_byte(key, 0)) STORED,
    ADD PRIMARY KEY (bucket, key);
ALTER TABLE lockstitch.checkpoints
    DROP CONSTRAINT checkpoints_pkey,
    ADD COLUMN bucket INTEGER NOT NULL GENERATED ALWAYS AS (get_byte(key, 0)) STORED,
    ADD PRIMARY KEY (bucket, key, namespace, checkpoint_id);
ALTER TABLE lockstitch.segments
    DROP CONSTRAINT segments_pkey,
    ADD COLUMN bucket INTEGER NOT NULL GENERATED ALWAYS AS (get_byte(key, 0)) STORED,
    ADD PRIMARY KEY (bucket, key, log, start);
ALTER TABLE lockstitch.writes
    DROP CONSTRAINT writes_pkey,
    ADD COLUMN bucket INTEGER NOT NULL GENERATED ALWAYS AS (get_byte(key, 0)) STORED,
    ADD PRIMARY KEY (bucket, key, namespace, checkpoint_id, task_id, task_index);
ALTER TABLE lockstitch.elections
    DROP CONSTRAINT elections_pkey,
    ADD COLUMN bucket INTEGER NOT NULL DEFAULT 0,
    ADD PRIMARY KEY (bucket, name);

-- Citus distributes by no computed column, so that servers write it.
ALTER TABLE lockstitch.sessions ALTER COLUMN bucket DROP EXPRESSION;
ALTER TABLE lockstitch.checkpoints ALTER COLUMN bucket DROP EXPRESSION;
ALTER TABLE lockstitch.segments ALTER COLUMN bucket DROP EXPRESSION;
ALTER TABLE lockstitch.writes ALTER COLUMN bucket DROP EXPRESSION;
ALTER TABLE lockstitch.elections ALTER COLUMN bucket DROP DEFAULT;

-- A unique index must have the column by which a table is distributed.
DROP INDEX lockstitch.sessions_by_id;
CREATE UNIQUE INDEX sessions_by_id ON lockstitch.sessions (tenant, session_id, bucket);
