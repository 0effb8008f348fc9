-- name: get_session
SELECT {session},
       CASE WHEN lease_expire_at > {clock} THEN lease_token ELSE 0 END,
       CASE WHEN lease_expire_at > {clock} THEN lease_holder ELSE '' END,
       CASE WHEN expire_at = 0 AND tombstone_until > {clock} THEN tombstone_until ELSE 0 END, crc
FROM sessions WHERE key = ?

-- name: count_unchanged
-- How many sessions are as they were, and have not expired.
WITH was(key, revision, expire_at, lease) AS (VALUES (?, ?, ?, ?))
SELECT count(*) FROM was JOIN sessions s ON s.key = was.key
WHERE s.revision = was.revision AND s.expire_at IS was.expire_at
    AND (s.expire_at IS NULL OR s.expire_at > {clock})
    AND was.lease = CASE WHEN s.lease_expire_at > {clock} THEN s.lease_token ELSE 0 END

-- name: put_sessions
INSERT INTO sessions ({saved_session})
VALUES ({saved_session?})
ON CONFLICT (key) DO UPDATE SET {saved_session=}

-- name: wipe_checkpoints
DELETE FROM checkpoints WHERE key = ?

-- name: wipe_segments
DELETE FROM segments WHERE key = ?

-- name: wipe_writes
DELETE FROM writes WHERE key = ?

-- name: wipe_settings
UPDATE sessions
SET labels = '{}', tombstone_until = NULL, keep_last = NULL, max_age = NULL, origin = NULL,
    deletion_revision = revision,
    deleted_revision = coalesce((SELECT max(c.revision) FROM checkpoints c WHERE c.key = sessions.key),
                                deleted_revision)
WHERE key = ?
RETURNING {settings}

-- name: put_settings_crc
UPDATE sessions SET settings_crc = ? WHERE key = ?

-- name: get_checkpoint
SELECT {checkpoint}
FROM checkpoints WHERE key = ? AND namespace = ? AND checkpoint_id = ?

-- name: get_latest
SELECT {checkpoint}
FROM checkpoints WHERE key = ? AND namespace = ?
ORDER BY checkpoint_id DESC LIMIT 1

-- name: get_below
SELECT {checkpoint}
FROM checkpoints WHERE key = ? AND namespace = ? AND checkpoint_id < ?
ORDER BY checkpoint_id DESC LIMIT 1

-- name: get_upto
SELECT {checkpoint}
FROM checkpoints WHERE key = ? AND namespace = ? AND checkpoint_id <= ?
ORDER BY checkpoint_id DESC LIMIT 1

-- name: get_ancestors
WITH RECURSIVE chain(depth, parent_id) AS (
    SELECT 0, parent_id FROM checkpoints WHERE key = :key AND namespace = :namespace AND checkpoint_id = :checkpoint_id
    UNION ALL
    SELECT chain.depth + 1, c.parent_id
    FROM chain JOIN checkpoints c
        ON c.key = :key AND c.namespace = :namespace AND c.checkpoint_id = chain.parent_id
    WHERE chain.depth < :limit - 1
)
SELECT {c.checkpoint}
FROM chain JOIN checkpoints c ON c.key = :key AND c.namespace = :namespace AND c.checkpoint_id = chain.parent_id
ORDER BY chain.depth

-- name: put_checkpoints
-- Here and below, a row that breaks a constraint ends the transaction (OR ROLLBACK). Otherwise SQLite would keep a copy of
-- each page that a statement changes, to take back that statement alone.
INSERT OR ROLLBACK INTO checkpoints ({saved_checkpoint})
VALUES ({saved_checkpoint?})

-- name: replace_checkpoint
UPDATE checkpoints SET {saved_checkpoint=:}
WHERE key = :key AND namespace = :namespace AND checkpoint_id = :checkpoint_id

-- name: get_first_checkpoints
SELECT id, {checkpoint} FROM checkpoints WHERE key = ? ORDER BY namespace, checkpoint_id LIMIT ?

-- name: get_numbered_checkpoint
SELECT id, {checkpoint}
FROM checkpoints WHERE key = ? AND namespace = ? AND checkpoint_id = ?

-- name: delete_term
DELETE FROM terms WHERE term = ? AND checkpoint = ?

-- name: delete_terms
DELETE FROM terms WHERE checkpoint = ?

-- name: delete_stray_terms
DELETE FROM terms WHERE checkpoint NOT IN (SELECT id FROM checkpoints)

-- name: has_term
SELECT 1 FROM terms WHERE term = ? AND checkpoint = ?

-- name: get_number
SELECT id, tenant_hash FROM checkpoints WHERE key = ? AND namespace = ? AND checkpoint_id = ?

-- name: put_tenant_hash
UPDATE checkpoints SET tenant_hash = ? WHERE id = ?

-- name: put_terms
INSERT OR ROLLBACK INTO terms (term, checkpoint) VALUES (?, ?)

-- name: get_tail
SELECT start, size, crc FROM segments WHERE key = ? AND log = ? ORDER BY start DESC LIMIT 1

-- name: get_segments
SELECT start, size, data, crc FROM segments WHERE key = ? AND log = ? AND start < ? ORDER BY start

-- name: grow_segments
-- Key, log, start, bytes to add, the checksum then, and the size before.
UPDATE OR ROLLBACK segments
SET size = size + length(column4), data = CAST(segments.data || column4 AS BLOB), crc = column5
FROM (VALUES (?, ?, ?, ?, ?, ?))
WHERE segments.key = column1 AND segments.log = column2 AND segments.start = column3 AND size = column6

-- name: seal_segments
-- Key, log, start, size, bytes and checksum of rows to put in place of smaller ones, and the size before.
UPDATE OR ROLLBACK segments SET size = column4, data = column5, crc = column6
FROM (VALUES (?, ?, ?, ?, ?, ?, ?))
WHERE segments.key = column1 AND segments.log = column2 AND segments.start = column3 AND size = column7

-- name: put_segments
INSERT OR ROLLBACK INTO segments ({segment}) VALUES ({segment?})

-- name: get_write_sizes
SELECT task_id, task_index, substr(data, 1, {write_head}), length(data), crc
FROM writes WHERE key = ? AND namespace = ? AND checkpoint_id = ?

-- name: get_writes
SELECT {write}
FROM writes WHERE key = ? AND namespace = ? AND checkpoint_id = ?
ORDER BY task_path, task_id, task_index

-- name: get_greatest_written
SELECT max(checkpoint_id) FROM writes WHERE key = ? AND namespace = ?

-- name: put_writes
INSERT INTO writes ({write})
VALUES ({write?})
ON CONFLICT (key, namespace, checkpoint_id, task_id, task_index) DO UPDATE SET {write=}

-- name: get_misplaced
-- Key, tenant and id of a session: whether it stands under another key.
SELECT 1 FROM sessions WHERE key <> ? AND tenant = ? AND session_id = ?

-- name: get_names
SELECT namespace, checkpoint_id FROM checkpoints WHERE key = ?

-- name: count_checkpoints
SELECT count(*) FROM checkpoints WHERE key = ?

-- name: get_totals
-- Damaged counters must not end it: sum() fails where it overflows.
SELECT count(*), CAST(total(checkpoint_count) AS INTEGER), CAST(total(stored_bytes) AS INTEGER),
       count(CASE WHEN lease_expire_at > {clock} THEN 1 END)
FROM sessions
