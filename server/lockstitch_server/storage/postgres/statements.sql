-- name: get_sessions
SELECT key, tenant, session_id, created_at, updated_at, revision, last_log, checkpoint_count, stored_bytes, write_bytes,
       ttl, expire_at
FROM lockstitch.sessions WHERE key = ANY($1::bytea[])

-- name: lock_sessions
-- In the order of keys, so that two batches never wait for one another.
SELECT key, tenant, session_id, created_at, updated_at, revision, last_log, checkpoint_count, stored_bytes, write_bytes,
       ttl, expire_at
FROM lockstitch.sessions WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE

-- name: put_sessions
INSERT INTO lockstitch.sessions (key, tenant, session_id, created_at, updated_at, updated_second, revision, last_log,
                                 checkpoint_count, stored_bytes, write_bytes, ttl, expire_at)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
ON CONFLICT (key) DO NOTHING

-- name: update_sessions
UPDATE lockstitch.sessions s
SET created_at = n.created_at, updated_at = n.updated_at, updated_second = n.updated_second, revision = n.revision,
    last_log = n.last_log, checkpoint_count = n.checkpoint_count, stored_bytes = n.stored_bytes,
    write_bytes = n.write_bytes, ttl = n.ttl, expire_at = n.expire_at
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
     AS n(key, tenant, session_id, created_at, updated_at, updated_second, revision, last_log, checkpoint_count,
          stored_bytes, write_bytes, ttl, expire_at)
WHERE s.key = n.key

-- name: wipe_checkpoints
DELETE FROM lockstitch.checkpoints WHERE key = ANY($1::bytea[])

-- name: wipe_segments
DELETE FROM lockstitch.segments WHERE key = ANY($1::bytea[])

-- name: wipe_writes
DELETE FROM lockstitch.writes WHERE key = ANY($1::bytea[])

-- name: wipe_labels
UPDATE lockstitch.sessions SET labels = '{}' WHERE key = ANY($1::bytea[])

-- name: seek_checkpoints
-- For each of the wanted, the greatest id up to `most`; with that one or without.
SELECT w.number, c.key, c.namespace, c.checkpoint_id, c.parent_id, c.step, c.revision, c.record, c.crc
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::bool[]) AS w(number, key, namespace, most, inclusive)
CROSS JOIN LATERAL (
    SELECT * FROM lockstitch.checkpoints l
    WHERE l.key = w.key AND l.namespace = w.namespace AND l.checkpoint_id <= w.most COLLATE "C"
        AND (w.inclusive OR l.checkpoint_id <> w.most)
    ORDER BY l.checkpoint_id DESC LIMIT 1) c

-- name: get_ancestors
WITH RECURSIVE chain(depth, parent_id) AS (
    SELECT 0, parent_id FROM lockstitch.checkpoints WHERE key = $1 AND namespace = $2 AND checkpoint_id = $3
    UNION ALL
    SELECT chain.depth + 1, c.parent_id
    FROM chain JOIN lockstitch.checkpoints c
        ON c.key = $1 AND c.namespace = $2 AND c.checkpoint_id = chain.parent_id
    WHERE chain.depth < $4::bigint - 1
)
SELECT c.key, c.namespace, c.checkpoint_id, c.parent_id, c.step, c.revision, c.record, c.crc
FROM chain JOIN lockstitch.checkpoints c
    ON c.key = $1 AND c.namespace = $2 AND c.checkpoint_id = chain.parent_id
ORDER BY chain.depth

-- name: put_checkpoints
INSERT INTO lockstitch.checkpoints (key, namespace, checkpoint_id, tenant_hash, parent_id, step, revision, record,
                                    crc, terms)
SELECT n.key, n.namespace, n.checkpoint_id, n.tenant_hash, n.parent_id, n.step, n.revision, n.record, n.crc,
       string_to_array(n.terms, ',')::bigint[]
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::int[], $5::text[], $6::bigint[], $7::bigint[], $8::bytea[],
            $9::int[], $10::text[])
     AS n(key, namespace, checkpoint_id, tenant_hash, parent_id, step, revision, record, crc, terms)
ON CONFLICT (key, namespace, checkpoint_id) DO UPDATE
SET tenant_hash = excluded.tenant_hash, parent_id = excluded.parent_id, step = excluded.step,
    revision = excluded.revision, record = excluded.record, crc = excluded.crc,
    terms = excluded.terms

-- name: get_tails
SELECT w.key, w.log, t.start, t.length, t.crc
FROM unnest($1::bytea[], $2::int[]) AS w(key, log)
CROSS JOIN LATERAL (
    SELECT start, octet_length(data) AS length, crc FROM lockstitch.segments s
    WHERE s.key = w.key AND s.log = w.log ORDER BY s.start DESC LIMIT 1) t

-- name: get_segments
SELECT w.number, s.start, s.data, s.crc
FROM unnest($1::int[], $2::bytea[], $3::int[], $4::int[]) AS w(number, key, log, length)
JOIN lockstitch.segments s ON s.key = w.key AND s.log = w.log AND s.start < w.length
ORDER BY w.number, s.start

-- name: grow_segments
UPDATE lockstitch.segments s
SET data = s.data || n.data, crc = n.crc
FROM unnest($1::bytea[], $2::int[], $3::int[], $4::bytea[], $5::int[]) AS n(key, log, start, data, crc)
WHERE s.key = n.key AND s.log = n.log AND s.start = n.start

-- name: put_segments
INSERT INTO lockstitch.segments (key, log, start, data, crc)
SELECT * FROM unnest($1::bytea[], $2::int[], $3::int[], $4::bytea[], $5::int[])

-- name: get_write_sizes
SELECT w.number, t.task_id, t.task_index, octet_length(t.data)
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[]) AS w(number, key, namespace, checkpoint_id)
JOIN lockstitch.writes t ON t.key = w.key AND t.namespace = w.namespace AND t.checkpoint_id = w.checkpoint_id

-- name: get_writes
SELECT w.number, t.key, t.namespace, t.checkpoint_id, t.task_id, t.task_index, t.task_path, t.channel, t.data, t.crc
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[]) AS w(number, key, namespace, checkpoint_id)
JOIN lockstitch.writes t ON t.key = w.key AND t.namespace = w.namespace AND t.checkpoint_id = w.checkpoint_id
ORDER BY w.number, t.task_path, t.task_id, t.task_index

-- name: put_writes
INSERT INTO lockstitch.writes (key, namespace, checkpoint_id, task_id, task_index, task_path, channel, data, crc)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[],
                     $8::bytea[], $9::int[])
ON CONFLICT (key, namespace, checkpoint_id, task_id, task_index)
DO UPDATE SET task_path = excluded.task_path, channel = excluded.channel, data = excluded.data, crc = excluded.crc
