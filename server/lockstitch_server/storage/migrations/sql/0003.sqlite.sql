-- Checksums of a session's row: of its key, names and counters, and of its settings (NULL: it has none).
ALTER TABLE sessions ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN settings_crc INTEGER;
