-- Shape (a) of a brain that has run for long: 1,920 messages and 5,070 entities point at conversations that eviction
-- took away, 6,990 foreign-key violations. But for those numbers this is shape (a).

CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL,
    start_time TEXT NOT NULL,
    end_time TEXT,
    goal TEXT,
    outcome TEXT,
    status TEXT DEFAULT 'active',
    message_count INTEGER DEFAULT 0,
    context TEXT
);
CREATE TABLE messages (
    message_id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id)
);
CREATE TABLE entities (
    entity_id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_value TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id)
);
CREATE TABLE files_modified (
    file_id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    file_path TEXT NOT NULL,
    operation TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id)
);
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
CREATE INDEX idx_conv_agent ON conversations(agent_id);
CREATE INDEX idx_conv_status ON conversations(status);
CREATE INDEX idx_msg_conv ON messages(conversation_id);
CREATE INDEX idx_entity_conv ON entities(conversation_id);
CREATE INDEX idx_file_conv ON files_modified(conversation_id);
CREATE INDEX idx_wm_conv_status ON working_memory_conversations(status, start_time);
CREATE INDEX idx_wm_msg_conv ON working_memory_messages(conversation_id, timestamp);

-- What people talked about. Dropped again below.
CREATE TABLE topics (n INTEGER PRIMARY KEY, goal TEXT, file TEXT);
INSERT INTO topics (n, goal, file) VALUES
    (0, 'make the invoice export survive a slow printer', 'src/billing/export.py'),
    (1, 'find out why the nightly import counts twice', 'src/import/nightly.py'),
    (2, 'split the settings page into tabs', 'web/settings/index.tsx'),
    (3, 'replace the home-made retry loop', 'src/net/retry.py'),
    (4, 'write down how releases are cut', 'docs/releasing.md'),
    (5, 'teach the search box about umlauts', 'src/search/normalise.py'),
    (6, 'stop the cache from growing without bound', 'src/cache/store.py'),
    (7, 'give every report a stable order', 'src/report/order.py'),
    (8, 'move the mail templates out of the code', 'templates/mail/welcome.html'),
    (9, 'measure where start-up spends its time', 'src/app/boot.py');

-- Conversations 41 to 60 are kept; the last eight are still active. Conversation c has 8 + c % 7 messages,
-- an active one 40 + 5 * (c % 8): from 40 to 75, so most have more than fifty turns.
WITH RECURSIVE c(i) AS (SELECT 41 UNION ALL SELECT i + 1 FROM c WHERE i < 60)
INSERT INTO conversations
SELECT printf('conv-%04d', i),
       CASE i % 3 WHEN 0 THEN 'work-planner' WHEN 1 THEN 'code-executor' ELSE 'test-generator' END,
       strftime('%Y-%m-%dT%H:%M:%S', '2025-09-01 08:00:00', '+' || (i * 26) || ' hours'),
       CASE WHEN i <= 52 THEN strftime('%Y-%m-%dT%H:%M:%S', '2025-09-01 09:30:00', '+' || (i * 26) || ' hours') END,
       t.goal,
       CASE WHEN i <= 52 THEN CASE i % 4 WHEN 0 THEN 'handed over' ELSE 'done' END END,
       CASE WHEN i <= 52 THEN 'completed' ELSE 'active' END,
       CASE WHEN i <= 52 THEN 8 + i % 7 ELSE 40 + 5 * (i % 8) END,
       json_object('branch', printf('topic/%d', i), 'file', t.file)
FROM c JOIN topics t ON t.n = c.i % 10;

-- Their messages: questions and answers in turn, a minute apart.
WITH RECURSIVE
    m(conversation_id, start_time, total, turn) AS (
        SELECT conversation_id, start_time, message_count, 1 FROM conversations
        UNION ALL
        SELECT conversation_id, start_time, total, turn + 1 FROM m WHERE turn < total
    )
INSERT INTO messages
SELECT printf('msg-%s-%03d', substr(m.conversation_id, 6), turn), m.conversation_id,
       CASE turn % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
       CASE turn % 6
           WHEN 1 THEN 'Let us ' || c.goal || '. Where do we start?'
           WHEN 2 THEN 'In ' || json_extract(c.context, '$.file') || '. I read it; part ' || (turn / 2) || ' is the one to change first.'
           WHEN 3 THEN 'Go on, but keep the old behaviour behind a switch until the tests agree.'
           WHEN 4 THEN 'Done: ' || (turn * 3) || ' lines changed, the switch is off by default and both ways are tested.'
           WHEN 5 THEN 'What is left before we can merge ' || json_extract(c.context, '$.branch') || '?'
           ELSE 'A line in the changelog, and a second look at the error text.'
       END,
       strftime('%Y-%m-%dT%H:%M:%S', m.start_time, '+' || turn || ' minutes')
FROM m JOIN conversations c USING (conversation_id);

-- What they spoke of, and what they did to files. Three large documents could not be written; one of them was later.
WITH RECURSIVE e(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM e WHERE i < 240)
INSERT INTO entities (conversation_id, entity_type, entity_value, timestamp)
SELECT printf('conv-%04d', 41 + i % 20),
       CASE i % 3 WHEN 0 THEN 'file' WHEN 1 THEN 'function' ELSE 'concept' END,
       CASE i % 3 WHEN 0 THEN t.file WHEN 1 THEN printf('handle_part_%d', i % 17) ELSE 'retry budget' END,
       strftime('%Y-%m-%dT%H:%M:%S', '2025-10-15', '+' || (i * 7) || ' minutes')
FROM e JOIN topics t ON t.n = e.i % 10;

WITH RECURSIVE f(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM f WHERE i < 60)
INSERT INTO files_modified (conversation_id, file_path, operation, timestamp)
SELECT printf('conv-%04d', 41 + i % 20), t.file,
       CASE i % 5 WHEN 0 THEN 'create' WHEN 4 THEN 'delete' ELSE 'modify' END,
       strftime('%Y-%m-%dT%H:%M:%S', '2025-10-16', '+' || (i * 11) || ' minutes')
FROM f JOIN topics t ON t.n = f.i % 10;

INSERT INTO files_modified (conversation_id, file_path, operation, timestamp) VALUES
    ('conv-0055', 'docs/architecture/complete-guide.md', 'create_failed', '2025-11-01T10:00:00'),
    ('conv-0055', 'docs/architecture/complete-guide.md', 'create_failed', '2025-11-01T10:20:00'),
    ('conv-0058', 'src/report/generated_tables.py', 'create_failed', '2025-11-03T16:45:00'),
    ('conv-0059', 'docs/handbook.md', 'create_failed', '2025-11-04T09:00:00'),
    ('conv-0059', 'docs/handbook.md', 'create', '2025-11-04T09:30:00');

-- The children of conversations 1 to 40, which eviction left behind.
WITH RECURSIVE o(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM o WHERE i < 1919)
INSERT INTO messages
SELECT printf('msg-%04d-%03d', 1 + i % 40, 1 + i / 40), printf('conv-%04d', 1 + i % 40),
       CASE (i / 40) % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
       CASE (i / 40) % 2 WHEN 0 THEN 'Please ' || t.goal || '.' ELSE 'That is in ' || t.file || ', I will begin there.' END,
       strftime('%Y-%m-%dT%H:%M:%S', '2025-09-01 08:00:00', '+' || ((1 + i % 40) * 26) || ' hours', '+' || (i / 40) || ' minutes')
FROM o JOIN topics t ON t.n = o.i % 10;

WITH RECURSIVE o(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM o WHERE i < 5069)
INSERT INTO entities (conversation_id, entity_type, entity_value, timestamp)
SELECT printf('conv-%04d', 1 + i % 40),
       CASE i % 2 WHEN 0 THEN 'file' ELSE 'concept' END,
       CASE i % 2 WHEN 0 THEN t.file ELSE 'evicted thought ' || i END,
       strftime('%Y-%m-%dT%H:%M:%S', '2025-09-01', '+' || (i * 90) || ' minutes')
FROM o JOIN topics t ON t.n = o.i % 10;

-- Fifty conversations of the second store, all completed.
WITH RECURSIVE w(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM w WHERE i < 50)
INSERT INTO working_memory_conversations
SELECT printf('wm-%04d', i),
       strftime('%Y-%m-%dT%H:%M:%S', '2025-10-01', '+' || (i * 5) || ' hours'),
       strftime('%Y-%m-%dT%H:%M:%S', '2025-10-01', '+' || (i * 5 + 1) || ' hours'),
       CASE i % 4 WHEN 0 THEN 'PLAN' WHEN 1 THEN 'EXECUTE' WHEN 2 THEN 'TEST' ELSE 'FIX' END,
       'completed',
       strftime('%Y-%m-%dT%H:%M:%S', '2025-10-01', '+' || (i * 5 + 1) || ' hours')
FROM w;

DROP TABLE topics;
