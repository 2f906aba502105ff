-- Tier 2 of a CORTEX 1.0 brain: patterns, how they hang together, and a full-text index kept by triggers.
-- `patterns_ad` is kept as it was found: on an FTS5 table with external content it should use the 'delete'
-- command, and so a deleted pattern leaves its words in the index.

CREATE TABLE patterns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pattern_id TEXT UNIQUE NOT NULL,
    title TEXT NOT NULL,
    content TEXT NOT NULL,
    pattern_type TEXT NOT NULL CHECK (pattern_type IN ('workflow', 'principle', 'anti_pattern', 'solution', 'context')),
    confidence REAL DEFAULT 1.0 CHECK (confidence >= 0.0 AND confidence <= 1.0),
    created_at TIMESTAMP NOT NULL,
    last_accessed TIMESTAMP NOT NULL,
    access_count INTEGER DEFAULT 0,
    source TEXT,
    metadata TEXT,
    is_pinned INTEGER DEFAULT 0,
    scope TEXT DEFAULT 'generic' CHECK (scope IN ('generic', 'application')),
    namespaces TEXT DEFAULT '["CORTEX-core"]'
);
CREATE TABLE pattern_relationships (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_pattern TEXT NOT NULL,
    to_pattern TEXT NOT NULL,
    relationship_type TEXT NOT NULL CHECK (relationship_type IN ('extends', 'relates_to', 'related_to', 'contradicts', 'supersedes')),
    strength REAL DEFAULT 1.0 CHECK (strength >= 0.0 AND strength <= 1.0),
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (from_pattern) REFERENCES patterns(pattern_id) ON DELETE CASCADE,
    FOREIGN KEY (to_pattern) REFERENCES patterns(pattern_id) ON DELETE CASCADE,
    UNIQUE (from_pattern, to_pattern, relationship_type)
);
CREATE TABLE pattern_tags (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pattern_id TEXT NOT NULL,
    tag TEXT NOT NULL,
    FOREIGN KEY (pattern_id) REFERENCES patterns(pattern_id) ON DELETE CASCADE,
    UNIQUE (pattern_id, tag)
);
CREATE TABLE confidence_decay_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pattern_id TEXT NOT NULL,
    old_confidence REAL,
    new_confidence REAL,
    decay_date TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    reason TEXT,
    FOREIGN KEY (pattern_id) REFERENCES patterns(pattern_id) ON DELETE CASCADE
);
CREATE INDEX idx_confidence ON patterns(confidence);
CREATE INDEX idx_last_accessed ON patterns(last_accessed);
CREATE INDEX idx_namespaces ON patterns(namespaces);
CREATE INDEX idx_pattern_type ON patterns(pattern_type);
CREATE INDEX idx_scope ON patterns(scope);
CREATE INDEX idx_relationship_from ON pattern_relationships(from_pattern);
CREATE INDEX idx_relationship_to ON pattern_relationships(to_pattern);
CREATE INDEX idx_tag ON pattern_tags(tag);

CREATE VIRTUAL TABLE pattern_fts USING fts5(pattern_id UNINDEXED, title, content, content='patterns', content_rowid='id');
CREATE TRIGGER patterns_ai AFTER INSERT ON patterns BEGIN
    INSERT INTO pattern_fts(rowid, pattern_id, title, content) VALUES (new.id, new.pattern_id, new.title, new.content);
END;
CREATE TRIGGER patterns_ad AFTER DELETE ON patterns BEGIN
    DELETE FROM pattern_fts WHERE rowid = old.id;
END;
CREATE TRIGGER patterns_au AFTER UPDATE ON patterns BEGIN
    UPDATE pattern_fts SET title = new.title, content = new.content WHERE rowid = new.id;
END;

CREATE TABLE lessons (n INTEGER PRIMARY KEY, title TEXT, content TEXT, kind TEXT);
INSERT INTO lessons (n, title, content, kind) VALUES
    (0, 'Test before refactor', 'Write the test that pins the present behaviour, see it pass, and only then move the code', 'workflow'),
    (1, 'Small commits', 'A commit that does one thing can be read, reverted and found again', 'principle'),
    (2, 'Swallowed exception', 'An except clause without a name hides the fault that matters', 'anti_pattern'),
    (3, 'Retry with a budget', 'Retry idempotent calls only, with growing pauses and an overall limit', 'solution'),
    (4, 'Night build window', 'The build machine is busy from two to four, long suites time out then', 'context'),
    (5, 'Ask for the file', 'When two modules bear the same name, ask which one before editing', 'workflow'),
    (6, 'One source of truth', 'A value that is kept twice is wrong once', 'principle'),
    (7, 'Clock in the test', 'A test that sleeps is slow today and flaky tomorrow', 'anti_pattern');

WITH RECURSIVE p(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM p WHERE i < 640)
INSERT INTO patterns (pattern_id, title, content, pattern_type, confidence, created_at, last_accessed, access_count, source, metadata, is_pinned, scope, namespaces)
SELECT printf('pat-%04d', i), l.title || ' ' || (i / 8), l.content || ', as seen in case ' || i || '.', l.kind,
       round(0.30 + (i % 70) / 100.0, 2),
       strftime('%Y-%m-%d %H:%M:%S', '2025-06-01', '+' || (i * 3) || ' hours'),
       strftime('%Y-%m-%d %H:%M:%S', '2025-09-01', '+' || (i * 2) || ' hours'),
       i % 23, CASE i % 2 WHEN 0 THEN 'review' ELSE 'conversation' END, json_object('case', i), i % 40 = 0,
       CASE i % 4 WHEN 3 THEN 'application' ELSE 'generic' END,
       CASE i % 4 WHEN 3 THEN '["demo-shop"]' ELSE '["CORTEX-core"]' END
FROM p JOIN lessons l ON l.n = p.i % 8;

WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 480)
INSERT INTO pattern_relationships (from_pattern, to_pattern, relationship_type, strength, created_at)
SELECT printf('pat-%04d', i), printf('pat-%04d', i + 8),
       CASE i % 4 WHEN 0 THEN 'extends' WHEN 1 THEN 'relates_to' WHEN 2 THEN 'contradicts' ELSE 'supersedes' END,
       round(0.5 + (i % 50) / 100.0, 2), strftime('%Y-%m-%d %H:%M:%S', '2025-08-01', '+' || i || ' hours')
FROM r;

INSERT INTO pattern_tags (pattern_id, tag)
SELECT pattern_id, pattern_type FROM patterns
UNION ALL SELECT pattern_id, 'reviewed' FROM patterns WHERE source = 'review';

INSERT INTO confidence_decay_log (pattern_id, old_confidence, new_confidence, decay_date, reason)
SELECT pattern_id, round(confidence + 0.01, 2), confidence, last_accessed, 'not used for thirty days'
FROM patterns WHERE access_count < 3;

DROP TABLE lessons;
