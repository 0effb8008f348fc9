-- What is done to whole sessions; the same on every backend but for the words in braces.

-- name: lock
SELECT 1 FROM {schema}sessions WHERE {in_bucket}key = :key {lock}

-- name: details
-- One row, whether there is such a session or not: the database's time is in it.
SELECT {clock} AS now, {s.session}, {s.stored_settings}, s.crc,
       (SELECT c.checkpoint_id FROM {schema}checkpoints c WHERE {c.in_bucket}c.key = s.key AND c.namespace = ''
        ORDER BY c.checkpoint_id DESC LIMIT 1) AS latest_checkpoint_id,
       (SELECT c.step FROM {schema}checkpoints c WHERE {c.in_bucket}c.key = s.key AND c.namespace = ''
        ORDER BY c.checkpoint_id DESC LIMIT 1) AS latest_step
FROM (SELECT 1) AS one LEFT JOIN {schema}sessions s ON {s.in_bucket}s.key = :key

-- name: insert_session
INSERT INTO {schema}sessions ({bucket}{saved_session})
VALUES ({bucket_value}{saved_session:})
ON CONFLICT DO NOTHING RETURNING 1

-- name: update_session
UPDATE {schema}sessions
SET tenant = :tenant, session_id = :session_id, {saved_session=:}, {stored_settings=:}
WHERE {in_bucket}key = :key

-- name: delete_session
DELETE FROM {schema}sessions WHERE {in_bucket}key = :key

-- name: outdated
-- What a policy lets go of, the latest of every namespace never.
SELECT namespace, checkpoint_id, revision
FROM (SELECT namespace, checkpoint_id, revision,
             row_number() OVER (PARTITION BY namespace ORDER BY checkpoint_id DESC) AS place
      FROM {schema}checkpoints WHERE {in_bucket}key = :key) AS placed
WHERE place > 1 AND (place > CAST(:keep_last AS BIGINT) OR revision < CAST(:oldest AS BIGINT))
ORDER BY namespace, checkpoint_id

-- name: later
-- What came after a checkpoint.
SELECT namespace, checkpoint_id, revision FROM {schema}checkpoints
WHERE {in_bucket}key = :key AND ((namespace = :namespace AND checkpoint_id > :checkpoint_id)
                      OR (namespace <> :namespace AND revision > CAST(:revision AS BIGINT)))

-- name: saved_since
SELECT revision, namespace, checkpoint_id, parent_id, step FROM {schema}checkpoints
WHERE {in_bucket}key = :key AND revision > CAST(:revision AS BIGINT) ORDER BY revision LIMIT CAST(:limit AS BIGINT)

-- name: saved_lately
-- The same for a session with many checkpoints: begins with what its tenant has saved since.
SELECT revision, namespace, checkpoint_id, parent_id, step FROM {schema}checkpoints {by_time}
WHERE {in_bucket}tenant_hash = :tenant_hash AND revision > CAST(:revision AS BIGINT) AND key = :key
ORDER BY revision LIMIT CAST(:limit AS BIGINT)

-- name: leaves_much
-- Whether a session has more rows than a limit, or more bytes in them.
SELECT count(*) > CAST(:rows AS BIGINT) OR coalesce(sum(size), 0) > CAST(:bytes AS BIGINT)
FROM (SELECT size FROM (SELECT length(record) AS size FROM {schema}checkpoints WHERE {in_bucket}key = :key
                        LIMIT CAST(:rows AS BIGINT) + 1) AS c
      UNION ALL SELECT size FROM (SELECT length(data) AS size FROM {schema}segments WHERE {in_bucket}key = :key
                                  LIMIT CAST(:rows AS BIGINT) + 1) AS g
      UNION ALL SELECT size FROM (SELECT length(data) AS size FROM {schema}writes WHERE {in_bucket}key = :key
                                  LIMIT CAST(:rows AS BIGINT) + 1) AS w) AS found

-- name: some_checkpoints
SELECT length(record) AS size FROM {schema}checkpoints
WHERE {in_bucket}key = :key ORDER BY namespace, checkpoint_id LIMIT CAST(:limit AS BIGINT)

-- name: some_segments
SELECT length(data) AS size FROM {schema}segments
WHERE {in_bucket}key = :key ORDER BY log, start LIMIT CAST(:limit AS BIGINT)

-- name: some_writes
SELECT length(data) AS size FROM {schema}writes
WHERE {in_bucket}key = :key ORDER BY namespace, checkpoint_id, task_id, task_index LIMIT CAST(:limit AS BIGINT)

-- name: delete_some_checkpoints
DELETE FROM {schema}checkpoints
WHERE {in_bucket}key = :key AND (namespace, checkpoint_id) <= (
    SELECT namespace, checkpoint_id FROM {schema}checkpoints WHERE {in_bucket}key = :key
    ORDER BY namespace, checkpoint_id LIMIT 1 OFFSET CAST(:count AS BIGINT) - 1)

-- name: delete_some_segments
DELETE FROM {schema}segments
WHERE {in_bucket}key = :key AND (log, start) <= (
    SELECT log, start FROM {schema}segments WHERE {in_bucket}key = :key
    ORDER BY log, start LIMIT 1 OFFSET CAST(:count AS BIGINT) - 1)

-- name: delete_some_writes
DELETE FROM {schema}writes
WHERE {in_bucket}key = :key AND (namespace, checkpoint_id, task_id, task_index) <= (
    SELECT namespace, checkpoint_id, task_id, task_index FROM {schema}writes WHERE {in_bucket}key = :key
    ORDER BY namespace, checkpoint_id, task_id, task_index LIMIT 1 OFFSET CAST(:count AS BIGINT) - 1)

-- name: names
SELECT namespace, checkpoint_id FROM {schema}checkpoints WHERE {in_bucket}key = :key ORDER BY namespace, checkpoint_id

-- name: newest
SELECT coalesce(max(revision), 0) FROM {schema}checkpoints WHERE {in_bucket}key = :key

-- name: has_content
SELECT EXISTS (SELECT 1 FROM {schema}checkpoints WHERE {in_bucket}key = :key)
    OR EXISTS (SELECT 1 FROM {schema}segments WHERE {in_bucket}key = :key)
    OR EXISTS (SELECT 1 FROM {schema}writes WHERE {in_bucket}key = :key)

-- name: page_of_checkpoints
SELECT {checkpoint} FROM {schema}checkpoints
WHERE {in_bucket}key = :key AND (namespace, checkpoint_id) > (:namespace, :checkpoint_id)
ORDER BY namespace, checkpoint_id LIMIT CAST(:limit AS BIGINT)

-- name: page_of_segments
SELECT {segment} FROM {schema}segments
WHERE {in_bucket}key = :key AND (log, start) > (CAST(:log AS BIGINT), CAST(:start AS BIGINT))
ORDER BY log, start LIMIT CAST(:limit AS BIGINT)

-- name: rename_checkpoint
-- Give a row another key, if the name that it has then is free.
UPDATE {schema}checkpoints SET key = :target
WHERE {in_bucket}key = :key AND namespace = :namespace AND checkpoint_id = :checkpoint_id AND NOT EXISTS (
    SELECT 1 FROM {schema}checkpoints o
    WHERE {o.in_bucket}o.key = :target AND o.namespace = :namespace AND o.checkpoint_id = :checkpoint_id)
RETURNING 1

-- name: rename_segment
-- The same with another key and log.
UPDATE {schema}segments SET key = :target, log = :target_log
WHERE {in_bucket}key = :key AND log = :log AND start = :start AND NOT EXISTS (
    SELECT 1 FROM {schema}segments o
    WHERE {o.in_bucket}o.key = :target AND o.log = :target_log AND o.start = :start)
RETURNING 1

-- name: rename_write
UPDATE {schema}writes SET key = :target
WHERE {in_bucket}key = :key AND namespace = :namespace AND checkpoint_id = :checkpoint_id
    AND task_id = :task_id AND task_index = :task_index AND NOT EXISTS (
    SELECT 1 FROM {schema}writes o
    WHERE {o.in_bucket}o.key = :target AND o.namespace = :namespace AND o.checkpoint_id = :checkpoint_id
        AND o.task_id = :task_id AND o.task_index = :task_index)
RETURNING 1

-- name: delete_checkpoint
DELETE FROM {schema}checkpoints WHERE {in_bucket}key = :key AND namespace = :namespace AND checkpoint_id = :checkpoint_id

-- name: delete_writes
DELETE FROM {schema}writes WHERE {in_bucket}key = :key AND namespace = :namespace AND checkpoint_id = :checkpoint_id

-- name: delete_later_writes
DELETE FROM {schema}writes WHERE {in_bucket}key = :key AND namespace = :namespace AND checkpoint_id > :checkpoint_id

-- name: delete_all_checkpoints
DELETE FROM {schema}checkpoints WHERE {in_bucket}key = :key

-- name: delete_all_writes
DELETE FROM {schema}writes WHERE {in_bucket}key = :key

-- name: delete_all_segments
DELETE FROM {schema}segments WHERE {in_bucket}key = :key

-- name: write_bytes
SELECT CAST(coalesce(sum(length(data)), 0) AS BIGINT) FROM {schema}writes WHERE {in_bucket}key = :key

-- name: write_bytes_of
SELECT CAST(coalesce(sum(length(data)), 0) AS BIGINT) FROM {schema}writes
WHERE {in_bucket}key = :key AND namespace = :namespace AND checkpoint_id = :checkpoint_id

-- name: segment_bytes
SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM {schema}segments WHERE {in_bucket}key = :key

-- name: all_writes
SELECT {write} FROM {schema}writes
WHERE {in_bucket}key = :key ORDER BY namespace, checkpoint_id, task_path, task_id, task_index

-- name: orphan_keys
-- Keys under which there are rows, and no session.
SELECT DISTINCT key FROM {schema}checkpoints c
WHERE {c.in_bucket}{c.in_place}NOT EXISTS (SELECT 1 FROM {schema}sessions s WHERE {s.in_bucket}s.key = c.key)
UNION SELECT DISTINCT key FROM {schema}segments g
WHERE {g.in_bucket}{g.in_place}NOT EXISTS (SELECT 1 FROM {schema}sessions s WHERE {s.in_bucket}s.key = g.key)
UNION SELECT DISTINCT key FROM {schema}writes w
WHERE {w.in_bucket}{w.in_place}NOT EXISTS (SELECT 1 FROM {schema}sessions s WHERE {s.in_bucket}s.key = w.key)

-- name: logs
SELECT log, CAST(sum(size) AS BIGINT) FROM {schema}segments WHERE {in_bucket}key = :key GROUP BY log

-- name: rows_of_log
SELECT start, size, crc FROM {schema}segments
WHERE {in_bucket}key = :key AND log = :log AND start >= :start ORDER BY start LIMIT CAST(:limit AS BIGINT)

-- name: data_of_rows
SELECT start, size, data, crc FROM {schema}segments
WHERE {in_bucket}key = :key AND log = :log AND start >= :start AND start < :end ORDER BY start

-- name: long_logs
-- Logs with rows that could be merged: the last row is not.
SELECT log FROM {schema}segments WHERE {in_bucket}key = :key GROUP BY log HAVING count(*) > 2 ORDER BY log

-- name: delete_rows
DELETE FROM {schema}segments WHERE {in_bucket}key = :key AND log = :log AND start >= :start AND start < :end

-- name: insert_row
INSERT INTO {schema}segments ({bucket}{segment}) VALUES ({bucket_value}{segment:})

-- name: delete_log
DELETE FROM {schema}segments WHERE {in_bucket}key = :key AND log = :log

-- name: copy_log
INSERT INTO {schema}segments ({bucket}{segment})
SELECT {target_bucket}{copied_segment} FROM {schema}segments
WHERE {in_bucket}key = :source AND log = :log AND start < :length

-- name: copy_writes
INSERT INTO {schema}writes ({bucket}{write})
SELECT {target_bucket}{copied_write} FROM {schema}writes
WHERE {in_bucket}key = :source AND namespace = :namespace AND checkpoint_id = :checkpoint_id

-- name: copy_all_writes
INSERT INTO {schema}writes ({bucket}{write})
SELECT {target_bucket}{copied_write} FROM {schema}writes
WHERE {in_bucket}key = :source

-- name: ids_of_tenant
SELECT session_id FROM {schema}sessions
WHERE tenant = :tenant AND session_id > :after AND checkpoint_count > 0 AND (expire_at IS NULL OR expire_at > {clock})
ORDER BY session_id LIMIT CAST(:limit AS BIGINT)

-- name: sessions_after
SELECT {clock} AS now, s.expire_at <= {clock} AS is_over, {s.session}, {s.stored_settings}, s.crc
FROM {schema}sessions s WHERE {s.in_bucket}{s.in_place}s.key > :after ORDER BY s.key LIMIT CAST(:limit AS BIGINT)

-- name: keys_after
SELECT key FROM {schema}sessions WHERE {in_bucket}{in_place}key > :after ORDER BY key LIMIT CAST(:limit AS BIGINT)

-- name: session_of_key
SELECT {clock} AS now, s.expire_at <= {clock} AS is_over, {s.session}, {s.stored_settings}, s.crc
FROM {schema}sessions s WHERE {s.in_bucket}s.key = :key

-- name: acquire_leadership
-- Take, keep or take over a role. No row: another server has it.
INSERT INTO {schema}elections AS e ({bucket}name, holder, expire_at, position)
VALUES ({role_bucket}:name, :holder, {now} + CAST(:lease AS BIGINT), :position)
ON CONFLICT ({bucket}name) DO UPDATE SET holder = excluded.holder, expire_at = excluded.expire_at
WHERE e.holder = excluded.holder OR e.expire_at <= {now}
RETURNING position

-- name: put_position
UPDATE {schema}elections SET position = :position WHERE {of_role}name = :name AND holder = :holder

-- name: resign
UPDATE {schema}elections SET expire_at = 0 WHERE {of_role}name = :name AND holder = :holder
