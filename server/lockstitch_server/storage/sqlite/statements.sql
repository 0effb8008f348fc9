-- name: get_session
SELECT key, tenant, session_id, created_at, updated_at, revision, last_log, checkpoint_count, stored_bytes, write_bytes,
       ttl, expire_at
FROM sessions WHERE key = ?

-- name: put_session
INSERT INTO sessions (tenant, session_id, created_at, updated_at, updated_second, revision, last_log, checkpoint_count,
                      stored_bytes, write_bytes, ttl, expire_at, key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: update_session
UPDATE sessions
SET tenant = ?, session_id = ?, created_at = ?, updated_at = ?, updated_second = ?, revision = ?, last_log = ?,
    checkpoint_count = ?, stored_bytes = ?, write_bytes = ?, ttl = ?, expire_at = ?
WHERE key = ?

-- name: wipe_checkpoints
DELETE FROM checkpoints WHERE key = ?

-- name: wipe_segments
DELETE FROM segments WHERE key = ?

-- name: wipe_writes
DELETE FROM writes WHERE key = ?

-- name: wipe_labels
UPDATE sessions SET labels = '{}' WHERE key = ?

-- name: get_checkpoint
SELECT key, namespace, checkpoint_id, parent_id, step, revision, record, crc
FROM checkpoints WHERE key = ? AND namespace = ? AND checkpoint_id = ?

-- name: get_latest
SELECT key, namespace, checkpoint_id, parent_id, step, revision, record, crc
FROM checkpoints WHERE key = ? AND namespace = ?
ORDER BY checkpoint_id DESC LIMIT 1

-- name: get_below
SELECT key, namespace, checkpoint_id, parent_id, step, revision, record, crc
FROM checkpoints WHERE key = ? AND namespace = ? AND checkpoint_id < ?
ORDER BY checkpoint_id DESC LIMIT 1

-- name: get_upto
SELECT key, namespace, checkpoint_id, parent_id, step, revision, record, crc
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
SELECT c.key, c.namespace, c.checkpoint_id, c.parent_id, c.step, c.revision, c.record, c.crc
FROM chain JOIN checkpoints c ON c.key = :key AND c.namespace = :namespace AND c.checkpoint_id = chain.parent_id
ORDER BY chain.depth

-- name: put_checkpoint
INSERT INTO checkpoints (tenant_hash, parent_id, step, revision, record, crc, key, namespace, checkpoint_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: replace_checkpoint
UPDATE checkpoints
SET tenant_hash = ?, parent_id = ?, step = ?, revision = ?, record = ?, crc = ?
WHERE key = ? AND namespace = ? AND checkpoint_id = ?

-- name: get_all_checkpoints
SELECT id, key, namespace, checkpoint_id, parent_id, step, revision, record, crc FROM checkpoints WHERE key = ?

-- name: get_numbered_checkpoint
SELECT id, key, namespace, checkpoint_id, parent_id, step, revision, record, crc
FROM checkpoints WHERE key = ? AND namespace = ? AND checkpoint_id = ?

-- name: delete_term
DELETE FROM terms WHERE term = ? AND checkpoint = ?

-- name: delete_terms
DELETE FROM terms WHERE checkpoint = ?

-- name: put_term
INSERT INTO terms (term, checkpoint) VALUES (?, ?)

-- name: get_tail
SELECT start, length(data), crc FROM segments WHERE key = ? AND log = ? ORDER BY start DESC LIMIT 1

-- name: get_segments
SELECT start, data, crc FROM segments WHERE key = ? AND log = ? AND start < ? ORDER BY start

-- name: grow_segment
UPDATE segments SET data = CAST(data || ? AS BLOB), crc = ? WHERE key = ? AND log = ? AND start = ?

-- name: put_segment
INSERT INTO segments (data, crc, key, log, start) VALUES (?, ?, ?, ?, ?)

-- name: get_write_sizes
SELECT task_id, task_index, length(data) FROM writes WHERE key = ? AND namespace = ? AND checkpoint_id = ?

-- name: get_writes
SELECT key, namespace, checkpoint_id, task_id, task_index, task_path, channel, data, crc
FROM writes WHERE key = ? AND namespace = ? AND checkpoint_id = ?
ORDER BY task_path, task_id, task_index

-- name: put_write
INSERT INTO writes (key, namespace, checkpoint_id, task_id, task_index, task_path, channel, data, crc)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key, namespace, checkpoint_id, task_id, task_index)
DO UPDATE SET task_path = excluded.task_path, channel = excluded.channel, data = excluded.data, crc = excluded.crc
