-- Times are in ns since 1970. Columns that are mostly NULL take no room.
-- The last fencing token that was issued, whoever holds it or held it.
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS lease_token BIGINT;
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS lease_holder TEXT;
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS lease_acquired_at BIGINT;
-- By the database's clock; NULL: the lease was given back.
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS lease_expire_at BIGINT;
-- The session's revision in which the lease last changed hands.
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS lease_revision BIGINT;
-- By the database's clock; counts while the session is expired.
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS tombstone_until BIGINT;
-- The session's own retention; both NULL: the server's.
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS keep_last BIGINT;
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS max_age BIGINT;
-- The revision of the last deletion of checkpoints, and the greatest revision that one deleted was saved in.
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS deletion_revision BIGINT;
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS deleted_revision BIGINT;
-- Of a copy: what it was made of, and the revision that it had then.
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS origin BYTEA;

-- What one server does for all: who it is, how long he may take before another one does it, and how far he has come.
CREATE TABLE IF NOT EXISTS lockstitch.elections (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expire_at BIGINT NOT NULL,
    position BYTEA NOT NULL
);
