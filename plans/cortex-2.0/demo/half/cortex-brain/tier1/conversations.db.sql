-- Laid over shape (a): someone began the 2.0 migration by hand and gave up. `task_status` is there and in use, `archived`
-- and `last_action_at` are not; one 2.0 table is there without its index, with a row of its own.
ALTER TABLE conversations ADD COLUMN task_status TEXT DEFAULT 'open';
UPDATE conversations SET task_status = 'in_progress' WHERE conversation_id IN ('conv-0058', 'conv-0060');
CREATE TABLE IF NOT EXISTS creation_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file_path TEXT NOT NULL UNIQUE,
    file_type TEXT NOT NULL,
    total_chunks INTEGER NOT NULL,
    started_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_update TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0
);
INSERT INTO creation_sessions (file_path, file_type, total_chunks, started_at, last_update)
VALUES ('docs/written-by-hand.md', 'markdown', 4, '2025-11-05 08:00:00', '2025-11-05 08:10:00');
