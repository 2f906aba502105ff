-- Large files that are written in chunks, and can be taken up again: tier 1, working memory.
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
CREATE INDEX IF NOT EXISTS idx_creation_sessions_status ON creation_sessions(completed, failed);

CREATE TABLE IF NOT EXISTS creation_chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id INTEGER NOT NULL,
    chunk_number INTEGER NOT NULL,
    chunk_type TEXT NOT NULL,
    line_start INTEGER NOT NULL,
    line_end INTEGER NOT NULL,
    estimated_tokens INTEGER,
    status TEXT NOT NULL DEFAULT 'pending',
    validation_warnings TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (session_id, chunk_number),
    FOREIGN KEY (session_id) REFERENCES creation_sessions(id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS idx_creation_chunks_session ON creation_chunks(session_id, chunk_number);
