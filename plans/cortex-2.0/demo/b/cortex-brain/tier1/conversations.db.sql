-- Tier 1 of a CORTEX 1.0 brain, as src/tier1/working_memory.py makes it: shape (b).
-- Its index idx_conversations_active bears the name that the 2.0 document wants for another index.

CREATE TABLE working_memory_conversations (
    conversation_id TEXT PRIMARY KEY,
    start_time TEXT NOT NULL,
    end_time TEXT,
    intent TEXT,
    status TEXT DEFAULT 'active',
    last_activity TEXT
);
CREATE TABLE working_memory_messages (
    message_id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    FOREIGN KEY (conversation_id) REFERENCES working_memory_conversations(conversation_id)
);
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT UNIQUE NOT NULL,
    title TEXT NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    message_count INTEGER DEFAULT 0,
    is_active BOOLEAN DEFAULT 0,
    summary TEXT,
    tags TEXT
);
CREATE TABLE entities (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entity_type TEXT NOT NULL,
    entity_name TEXT NOT NULL,
    file_path TEXT,
    first_seen TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    last_accessed TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    access_count INTEGER DEFAULT 1,
    UNIQUE (entity_type, entity_name, file_path)
);
CREATE TABLE conversation_entities (
    conversation_id TEXT NOT NULL,
    entity_id INTEGER NOT NULL,
    relevance_score REAL DEFAULT 1.0,
    PRIMARY KEY (conversation_id, entity_id),
    FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id),
    FOREIGN KEY (entity_id) REFERENCES entities(id)
);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id)
);
CREATE TABLE eviction_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    details TEXT
);
CREATE INDEX idx_wm_conv_status ON working_memory_conversations(status, start_time);
CREATE INDEX idx_wm_msg_conv ON working_memory_messages(conversation_id, timestamp);
CREATE INDEX idx_conversations_active ON conversations(is_active);
CREATE INDEX idx_conversations_created ON conversations(created_at DESC);
CREATE INDEX idx_entities_accessed ON entities(last_accessed DESC);
CREATE INDEX idx_entities_type ON entities(entity_type);
CREATE INDEX idx_messages_conversation ON messages(conversation_id);

-- Twenty conversations; every fifth is active and has 60 messages, the others have ten.
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20)
INSERT INTO conversations (conversation_id, title, created_at, updated_at, message_count, is_active, summary, tags)
SELECT printf('session-%03d', i), printf('Session %d about the %s', i, CASE i % 3 WHEN 0 THEN 'importer' WHEN 1 THEN 'search box' ELSE 'report' END),
       datetime('2025-10-01 09:00:00', '+' || i || ' days'), datetime('2025-10-01 10:00:00', '+' || i || ' days'),
       CASE WHEN i % 5 = 0 THEN 60 ELSE 10 END, i % 5 = 0, 'What was asked, tried and agreed', '["demo"]'
FROM c;

WITH RECURSIVE m(conversation_id, created_at, total, turn) AS (
    SELECT conversation_id, created_at, message_count, 1 FROM conversations
    UNION ALL
    SELECT conversation_id, created_at, total, turn + 1 FROM m WHERE turn < total
)
INSERT INTO messages (conversation_id, role, content, timestamp)
SELECT conversation_id, CASE turn % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
       CASE turn % 2 WHEN 1 THEN 'Question ' || turn || ': may we change this now?' ELSE 'Answer ' || turn || ': yes, the test for it is green.' END,
       datetime(created_at, '+' || turn || ' minutes')
FROM m ORDER BY turn, conversation_id;

WITH RECURSIVE e(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM e WHERE i < 90)
INSERT INTO entities (entity_type, entity_name, file_path, first_seen, last_accessed, access_count)
SELECT CASE i % 2 WHEN 0 THEN 'file' ELSE 'class' END, printf('Part%02d', i), printf('src/part_%02d.py', i),
       datetime('2025-10-01', '+' || i || ' hours'), datetime('2025-10-20', '+' || i || ' hours'), 1 + i % 7
FROM e;
INSERT INTO conversation_entities (conversation_id, entity_id, relevance_score)
SELECT printf('session-%03d', 1 + id % 20), id, round(1.0 - (id % 10) / 20.0, 2) FROM entities;

-- Thirty sessions were evicted; the messages of the last few of them are still there.
WITH RECURSIVE v(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM v WHERE i < 30)
INSERT INTO eviction_log (conversation_id, event_type, timestamp, details)
SELECT printf('session-old-%03d', i), 'evicted', datetime('2025-09-01', '+' || i || ' days'), '{"reason": "fifo", "limit": 20}' FROM v;
WITH RECURSIVE v(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM v WHERE i < 119)
INSERT INTO messages (conversation_id, role, content, timestamp)
SELECT printf('session-old-%03d', 19 + i % 12), CASE (i / 12) % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
       'Left over from an evicted session, line ' || (i / 12), datetime('2025-09-20', '+' || i || ' minutes')
FROM v;

-- The second store: one conversation is still active here too.
INSERT INTO working_memory_conversations VALUES
    ('wm-0001', '2025-10-02T08:00:00', '2025-10-02T09:00:00', 'PLAN', 'completed', '2025-10-02T09:00:00'),
    ('wm-0002', '2025-10-05T08:00:00', NULL, 'EXECUTE', 'active', '2025-10-05T08:07:00');
WITH RECURSIVE m(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM m WHERE i < 7)
INSERT INTO working_memory_messages
SELECT printf('wm-msg-%03d', i), 'wm-0002', strftime('%Y-%m-%dT%H:%M:%S', '2025-10-05 08:00:00', '+' || i || ' minutes'),
       CASE i % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'Step ' || i || ' of the running task' FROM m;
