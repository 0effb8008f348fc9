-- name: get_sessions
SELECT {current_session}
FROM unnest($1::bytea[]) AS w(wanted)
LEFT JOIN LATERAL (SELECT * FROM lockstitch.sessions s WHERE {s.in_bucket}s.key = w.wanted LIMIT 1) s ON true

-- name: lock_sessions
-- In the order of keys, so that two batches never wait for one another. The clock is looked at with the lock in hand,
-- for sessions too that are not there.
WITH locked AS MATERIALIZED (
    SELECT s.*
    FROM (SELECT unnest($1::bytea[]) AS wanted ORDER BY 1) w
    CROSS JOIN LATERAL (SELECT * FROM lockstitch.sessions s WHERE {s.in_bucket}s.key = w.wanted LIMIT 1 FOR UPDATE) s
)
SELECT {current_session}
FROM unnest($1::bytea[]) AS w(wanted) LEFT JOIN locked s ON s.key = w.wanted

-- name: wipe_checkpoints
DELETE FROM lockstitch.checkpoints WHERE {in_bucket}key = ANY($1::bytea[])

-- name: wipe_segments
DELETE FROM lockstitch.segments WHERE {in_bucket}key = ANY($1::bytea[])

-- name: wipe_writes
DELETE FROM lockstitch.writes WHERE {in_bucket}key = ANY($1::bytea[])

-- name: wipe_settings
UPDATE lockstitch.sessions
SET labels = '{}', tombstone_until = NULL, keep_last = NULL, max_age = NULL, origin = NULL,
    deletion_revision = revision,
    deleted_revision = coalesce(
        (SELECT max(c.revision) FROM lockstitch.checkpoints c WHERE {c.in_bucket}c.key = sessions.key), deleted_revision)
WHERE {in_bucket}key = ANY($1::bytea[])
RETURNING key, {settings}

-- name: put_settings_crc
UPDATE lockstitch.sessions SET settings_crc = $2 WHERE {in_bucket}key = $1

-- name: seek_checkpoints
-- For each of the wanted, the greatest id up to `most`; with that one or without.
SELECT w.number, {c.checkpoint}
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::bool[]) AS w(number, key, namespace, most, inclusive)
CROSS JOIN LATERAL (
    SELECT * FROM lockstitch.checkpoints l
    WHERE {l.in_bucket}l.key = w.key AND l.namespace = w.namespace AND l.checkpoint_id <= w.most COLLATE "C"
        AND (w.inclusive OR l.checkpoint_id <> w.most)
    ORDER BY l.checkpoint_id DESC LIMIT 1) c

-- name: find_checkpoints
-- For each of the wanted whose session there is: that, the checkpoint as in seek_checkpoints, how many bytes of pending
-- writes this has, and if these are few the writes: in arrays, so that they do not repeat the rest.
SELECT w.number, {current_session},
       {c.checkpoint},
       z.bytes, {writes_of_checkpoint}
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::bool[]) AS w(number, key, namespace, most, inclusive)
CROSS JOIN LATERAL (SELECT * FROM lockstitch.sessions s WHERE {s.in_bucket}s.key = w.key LIMIT 1) s
LEFT JOIN LATERAL (
    SELECT * FROM lockstitch.checkpoints l
    WHERE {l.in_bucket}l.key = w.key AND l.namespace = w.namespace AND l.checkpoint_id <= w.most COLLATE "C"
        AND (w.inclusive OR l.checkpoint_id <> w.most)
    ORDER BY l.checkpoint_id DESC LIMIT 1) c ON true
LEFT JOIN LATERAL (
    SELECT sum(octet_length(l.data)) AS bytes FROM lockstitch.writes l
    WHERE {l.in_bucket}s.write_bytes > 0 AND l.key = c.key AND l.namespace = c.namespace AND l.checkpoint_id = c.checkpoint_id
) z ON true
LEFT JOIN LATERAL (
    SELECT {aggregated_writes}
    FROM (SELECT * FROM lockstitch.writes l
          WHERE {l.in_bucket}z.bytes <= {small_writes}
              AND l.key = c.key AND l.namespace = c.namespace AND l.checkpoint_id = c.checkpoint_id
          ORDER BY l.task_path, l.task_id, l.task_index) o) t ON true

-- name: get_ancestors
WITH RECURSIVE chain(depth, parent_id) AS (
    SELECT 0, parent_id FROM lockstitch.checkpoints
    WHERE {in_bucket}key = $1 AND namespace = $2 AND checkpoint_id = $3
    UNION ALL
    SELECT chain.depth + 1, c.parent_id
    FROM chain JOIN lockstitch.checkpoints c
        ON {c.in_bucket}c.key = $1 AND c.namespace = $2 AND c.checkpoint_id = chain.parent_id
    WHERE chain.depth < $4::bigint - 1
)
SELECT {c.checkpoint}
FROM chain JOIN lockstitch.checkpoints c
    ON {c.in_bucket}c.key = $1 AND c.namespace = $2 AND c.checkpoint_id = chain.parent_id
ORDER BY chain.depth

-- name: get_tails
SELECT w.key, w.log, t.start, t.size, t.crc
FROM unnest($1::bytea[], $2::int[]) AS w(key, log)
CROSS JOIN LATERAL (
    SELECT start, size, crc FROM lockstitch.segments s
    WHERE {s.in_bucket}s.key = w.key AND s.log = w.log ORDER BY s.start DESC LIMIT 1) t

-- name: get_segments
SELECT w.number, s.start, s.size, s.data, s.crc
FROM unnest($1::int[], $2::bytea[], $3::int[], $4::int[]) AS w(number, key, log, length)
CROSS JOIN LATERAL (
    SELECT start, size, data, crc FROM lockstitch.segments s
    WHERE {s.in_bucket}s.key = w.key AND s.log = w.log AND s.start < w.length ORDER BY s.start) s
ORDER BY w.number, s.start

-- name: get_segments_as_of
WITH same AS MATERIALIZED (
    SELECT r.key FROM unnest($5::bytea[], $6::bigint[]) AS r(key, revision)
    CROSS JOIN LATERAL (
        SELECT FROM lockstitch.sessions s WHERE {s.in_bucket}s.key = r.key AND s.revision = r.revision LIMIT 1) s
)
SELECT w.number, s.start, s.size, s.data, s.crc
FROM unnest($1::int[], $2::bytea[], $3::int[], $4::int[]) AS w(number, key, log, length) JOIN same USING (key)
CROSS JOIN LATERAL (
    SELECT start, size, data, crc FROM lockstitch.segments s
    WHERE {s.in_bucket}s.key = w.key AND s.log = w.log AND s.start < w.length ORDER BY s.start) s
ORDER BY w.number, s.start

-- name: get_write_sizes
SELECT w.number, t.task_id, t.task_index, substr(t.data, 1, {write_head}), octet_length(t.data), t.crc
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[]) AS w(number, key, namespace, checkpoint_id)
JOIN lockstitch.writes t ON {t.in_bucket}t.key = w.key AND t.namespace = w.namespace AND t.checkpoint_id = w.checkpoint_id

-- name: get_writes
SELECT w.number, {t.write}
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[]) AS w(number, key, namespace, checkpoint_id)
JOIN lockstitch.writes t ON {t.in_bucket}t.key = w.key AND t.namespace = w.namespace AND t.checkpoint_id = w.checkpoint_id
ORDER BY w.number, t.task_path, t.task_id, t.task_index

-- name: get_greatest_written
SELECT w.number, g.checkpoint_id
FROM unnest($1::int[], $2::bytea[], $3::text[]) AS w(number, key, namespace)
CROSS JOIN LATERAL (
    SELECT checkpoint_id FROM lockstitch.writes t
    WHERE {t.in_bucket}t.key = w.key AND t.namespace = w.namespace ORDER BY t.checkpoint_id DESC LIMIT 1) g

-- plain: put_sessions
INSERT INTO lockstitch.sessions ({saved_session})
SELECT {saved_session} FROM unnest($1::lockstitch.session_row[])
-- Another may begin the same session now, and is met in either of the unique indexes.
ON CONFLICT DO NOTHING

-- part: verdict
-- Whether a batch may be written: the sessions that are expected (1) have this revision, expiry and live lease, and have
-- not expired, the ends of logs (2) are as expected, and the time of the plan (8) is about the clock's. Sessions are
-- locked in the order of keys and read as their last writer left them.
expected AS MATERIALIZED (
    SELECT * FROM {expected_sessions}
),
locked AS MATERIALIZED (
    SELECT s.key, s.revision, s.expire_at, s.lease_token, s.lease_expire_at
    FROM (SELECT key FROM expected ORDER BY 1) w
    CROSS JOIN LATERAL (SELECT * FROM lockstitch.sessions s WHERE {s.in_bucket}s.key = w.key LIMIT 1 FOR UPDATE) s
),
verdict AS MATERIALIZED (
    SELECT (
        SELECT count(*) = cardinality($1) FROM locked JOIN expected USING (key)
        WHERE locked.revision = expected.revision AND locked.expire_at IS NOT DISTINCT FROM expected.expire_at
            AND (locked.expire_at IS NULL OR locked.expire_at > {clock})
            AND expected.lease = CASE WHEN locked.lease_expire_at > {clock} THEN locked.lease_token ELSE 0 END
            AND ($8::bigint IS NULL OR abs({clock} - $8) <= {clock_tolerance})
    ) AND (
        SELECT count(*) = cardinality($2)
        FROM {log_ends}
        CROSS JOIN LATERAL (
            SELECT FROM lockstitch.segments s
            WHERE {s.in_bucket}s.key = t.key AND s.log = t.log AND s.start = t.start AND s.size = t.size LIMIT 1) found
    ) AS holds
)

-- plain: apply
-- All else of a batch in one trip, if the verdict allows it. A transaction of its own has a mark (9, 10): see
-- commit_marks.py. Rows of logs that grow (5) are there; if a new one (6) is there too, the statement fails: it would take
-- the place of what was acknowledged.
-- LIMIT and ON CONFLICT (the sessions are there): whatever the planner thinks of the tables, it looks rows up by their
-- keys. It makes its plan when they are empty, and would go through all of them for every batch, until they are analyzed.
WITH {verdict},
mark AS (
    INSERT INTO lockstitch.elections AS e (name, holder, expire_at, position)
    SELECT $9::text, '', $10::bigint, '' FROM verdict WHERE holds AND $9 IS NOT NULL
    ON CONFLICT (name) DO UPDATE SET expire_at = excluded.expire_at WHERE e.expire_at < excluded.expire_at
    RETURNING true
),
decision AS MATERIALIZED (
    SELECT holds AND ($9 IS NULL OR EXISTS (SELECT FROM mark)) AS holds FROM verdict
),
put_sessions AS (
    INSERT INTO lockstitch.sessions ({saved_session})
    SELECT {saved_session} FROM unnest($3::lockstitch.session_row[])
    WHERE (SELECT holds FROM decision)
    ON CONFLICT (key) DO UPDATE SET {saved_session=}
),
put_checkpoints AS (
    INSERT INTO lockstitch.checkpoints ({searched_checkpoint})
    SELECT {searched_checkpoint} FROM unnest($4::lockstitch.checkpoint_row[])
    WHERE (SELECT holds FROM decision)
    ON CONFLICT (key, namespace, checkpoint_id) DO UPDATE SET {searched_checkpoint=}
),
grow_segments AS (
    INSERT INTO lockstitch.segments AS s ({segment})
    SELECT {segment} FROM unnest($5::lockstitch.segment_row[])
    WHERE (SELECT holds FROM decision)
    ON CONFLICT (key, log, start) DO UPDATE
    SET size = s.size + excluded.size, data = s.data || excluded.data, crc = excluded.crc
),
put_segments AS (
    INSERT INTO lockstitch.segments ({segment})
    SELECT {segment} FROM unnest($6::lockstitch.segment_row[])
    WHERE (SELECT holds FROM decision)
),
put_writes AS (
    INSERT INTO lockstitch.writes ({write})
    SELECT {write} FROM unnest($7::lockstitch.write_row[])
    WHERE (SELECT holds FROM decision)
    ON CONFLICT (key, namespace, checkpoint_id, task_id, task_index) DO UPDATE SET {write=}
)
SELECT holds, {clock} FROM decision

-- distributed: check
-- Locks the sessions of a batch, and tells whether it may be written.
WITH {verdict}
SELECT holds, {clock} FROM verdict

-- distributed: begin_session
INSERT INTO lockstitch.sessions ({bucket}{saved_session}) VALUES ({bucket_value}{saved_session$})
-- Another may begin the same session now, and is met in either of the unique indexes.
ON CONFLICT DO NOTHING RETURNING 1

-- distributed: put_session
INSERT INTO lockstitch.sessions ({bucket}{saved_session}) VALUES ({bucket_value}{saved_session$})
ON CONFLICT ({bucket}key) DO UPDATE SET {saved_session=}

-- distributed: put_checkpoint
INSERT INTO lockstitch.checkpoints ({bucket}{searched_checkpoint}) VALUES ({bucket_value}{searched_checkpoint$})
ON CONFLICT ({bucket}key, namespace, checkpoint_id) DO UPDATE SET {searched_checkpoint=}

-- distributed: grow_segment
INSERT INTO lockstitch.segments AS s ({bucket}{segment}) VALUES ({bucket_value}{segment$})
ON CONFLICT ({bucket}key, log, start) DO UPDATE
SET size = s.size + excluded.size, data = s.data || excluded.data, crc = excluded.crc

-- distributed: put_segment
-- Fails if there is such a row: it would take the place of what was acknowledged.
INSERT INTO lockstitch.segments ({bucket}{segment}) VALUES ({bucket_value}{segment$})

-- distributed: put_write
INSERT INTO lockstitch.writes ({bucket}{write}) VALUES ({bucket_value}{write$})
ON CONFLICT ({bucket}key, namespace, checkpoint_id, task_id, task_index) DO UPDATE SET {write=}

-- distributed: put_mark
-- The mark of a transaction (1, 2): see commit_marks.py. No row: a greater number is there.
INSERT INTO lockstitch.elections AS e ({bucket}name, holder, expire_at, position)
VALUES ({bucket_value}$1::text, '', $2::bigint, '')
ON CONFLICT ({bucket}name) DO UPDATE SET expire_at = excluded.expire_at WHERE e.expire_at < excluded.expire_at
RETURNING 1

-- name: get_clock
SELECT {clock}

-- name: was_committed
-- Whether a writer's last transaction (1) has this number (2): then there is no row. If not, the writer gets a greater one
-- (3), so that the transaction fails if it is still under way. This waits for a transaction that has its mark and is not
-- committed yet.
INSERT INTO lockstitch.elections AS e ({bucket}name, holder, expire_at, position)
VALUES ({bucket_value}$1::text, '', $3::bigint, '')
ON CONFLICT ({bucket}name) DO UPDATE SET expire_at = excluded.expire_at WHERE e.expire_at <> $2::bigint
RETURNING 1

-- name: remove_marks
DELETE FROM lockstitch.elections WHERE name LIKE $1 AND expire_at < $2

-- plain: get_misplaced
-- Keys, tenants and ids of sessions: those that stand under another key.
SELECT w.key FROM unnest($1::bytea[], $2::text[], $3::text[]) AS w(key, tenant, session_id)
CROSS JOIN LATERAL (
    SELECT FROM lockstitch.sessions s
    WHERE s.tenant = w.tenant AND s.session_id = w.session_id AND s.key <> w.key LIMIT 1) found

-- distributed: get_misplaced
-- One session's key, tenant and id: whether it stands under another key, in any bucket.
SELECT 1 FROM lockstitch.sessions s WHERE s.key <> $1 AND s.tenant = $2 AND s.session_id = $3 LIMIT 1

-- name: get_names
SELECT namespace, checkpoint_id FROM lockstitch.checkpoints WHERE {in_bucket}key = $1

-- name: count_checkpoints
SELECT w.key, c.found FROM unnest($1::bytea[]) AS w(key)
CROSS JOIN LATERAL (SELECT count(*) AS found FROM lockstitch.checkpoints c WHERE {c.in_bucket}c.key = w.key) c

-- name: get_terms
SELECT c.key, c.namespace, c.checkpoint_id, c.tenant_hash, c.terms
FROM unnest($1::bytea[], $2::text[], $3::text[]) AS w(key, namespace, checkpoint_id)
CROSS JOIN LATERAL (
    SELECT * FROM lockstitch.checkpoints l
    WHERE {l.in_bucket}l.key = w.key AND l.namespace = w.namespace AND l.checkpoint_id = w.checkpoint_id LIMIT 1) c

-- name: put_terms
UPDATE lockstitch.checkpoints SET tenant_hash = $4, terms = $5
WHERE {in_bucket}key = $1 AND namespace = $2 AND checkpoint_id = $3

-- name: has_amcheck
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'

-- name: btree_indexes
SELECT i.indexrelid, t.relname, c.relname
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_am a ON a.oid = c.relam
WHERE n.nspname = 'lockstitch' AND a.amname = 'btree' AND t.relname = ANY($1::text[])
ORDER BY t.relname, c.relname

-- name: get_totals
-- Damaged counters must not end it: a sum can be too large for a bigint.
SELECT count(*), least(coalesce(sum(checkpoint_count), 0), 9223372036854775807)::bigint,
       least(coalesce(sum(stored_bytes), 0), 9223372036854775807)::bigint,
       count(CASE WHEN lease_expire_at > {clock} THEN 1 END)
FROM lockstitch.sessions
