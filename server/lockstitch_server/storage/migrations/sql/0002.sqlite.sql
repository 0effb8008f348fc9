-- Times are in ns since 1970. Columns that are mostly NULL take no room.
-- The last fencing token that was issued, whoever holds it or held it.
ALTER TABLE sessions ADD COLUMN lease_token INTEGER;
ALTER TABLE sessions ADD COLUMN lease_holder TEXT;
ALTER TABLE sessions ADD COLUMN lease_acquired_at INTEGER;
-- By the database's clock; NULL: the lease was given back.
ALTER TABLE sessions ADD COLUMN lease_expire_at INTEGER;
-- The session's revision in which the lease last changed hands.
ALTER TABLE sessions ADD COLUMN lease_revision INTEGER;
-- By the database's clock; counts while the session is expired.
ALTER TABLE sessions ADD COLUMN tombstone_until INTEGER;
-- The session's own retention; both NULL: the server's.
ALTER TABLE sessions ADD COLUMN keep_last INTEGER;
ALTER TABLE sessions ADD COLUMN max_age INTEGER;
-- The revision of the last deletion of checkpoints, and the greatest revision that one deleted was saved in.
ALTER TABLE sessions ADD COLUMN deletion_revision INTEGER;
ALTER TABLE sessions ADD COLUMN deleted_revision INTEGER;
-- Of a copy: what it was made of, and the revision that it had then.
ALTER TABLE sessions ADD COLUMN origin BLOB;

-- What one server does for all: who it is, how long he may take before another one does it, and how far he has come.
CREATE TABLE elections (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expire_at INTEGER NOT NULL,
    position BLOB NOT NULL
);
