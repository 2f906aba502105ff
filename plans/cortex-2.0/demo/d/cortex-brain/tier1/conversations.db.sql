-- Shape (d): the performance fixture (tests/cortex-performance) where tier 1 is expected: a `conversations` table of other
-- columns, patterns with their search index, WAL. This plan does not know it and must refuse it with nothing changed.
PRAGMA journal_mode = WAL;

CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp TEXT NOT NULL,
    prompt TEXT NOT NULL,
    response TEXT NOT NULL,
    tokens_used INTEGER,
    model TEXT,
    metadata TEXT
);
CREATE INDEX idx_conversations_timestamp ON conversations(timestamp DESC);
CREATE TABLE patterns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pattern TEXT NOT NULL,
    context TEXT,
    confidence REAL DEFAULT 1.0,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    occurrence_count INTEGER DEFAULT 1,
    decay_factor REAL DEFAULT 0.95
);
CREATE VIRTUAL TABLE patterns_fts USING fts5(pattern, context, content=patterns, content_rowid=id);
CREATE TRIGGER patterns_ai AFTER INSERT ON patterns BEGIN
    INSERT INTO patterns_fts(rowid, pattern, context) VALUES (new.id, new.pattern, new.context);
END;
CREATE TRIGGER patterns_ad AFTER DELETE ON patterns BEGIN
    INSERT INTO patterns_fts(patterns_fts, rowid, pattern, context) VALUES ('delete', old.id, old.pattern, old.context);
END;
CREATE TRIGGER patterns_au AFTER UPDATE ON patterns BEGIN
    INSERT INTO patterns_fts(patterns_fts, rowid, pattern, context) VALUES ('delete', old.id, old.pattern, old.context);
    INSERT INTO patterns_fts(rowid, pattern, context) VALUES (new.id, new.pattern, new.context);
END;

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
INSERT INTO conversations (timestamp, prompt, response, tokens_used, model)
SELECT strftime('%Y-%m-%dT%H:%M:%S', '2025-10-01', '+' || i || ' minutes'), 'prompt ' || i, 'answer ' || i, 40 + i % 60, 'm-' || i % 3
FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
INSERT INTO patterns (pattern, context, first_seen, last_seen)
SELECT 'pattern ' || i, 'seen beside pattern ' || (i % 97), '2025-10-01', '2025-10-02' FROM n;
