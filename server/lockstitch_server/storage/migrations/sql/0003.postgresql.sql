-- Checksums of a session's row: of its key, names and counters, and of its settings (NULL: it has none).
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS crc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lockstitch.sessions ADD COLUMN IF NOT EXISTS settings_crc INTEGER;

-- Rows of earlier versions have other checksums, which SQL cannot make.
DO $$
BEGIN
    IF EXISTS (SELECT FROM lockstitch.lockstitch_version WHERE version_num IN ('0001', '0002'))
        AND EXISTS (SELECT FROM lockstitch.sessions) THEN
        RAISE EXCEPTION 'version 0003 stores rows in another way: export this store with the server that made it, '
            'and import the archive into a new database';
    END IF;
END $$;
