-- Shape (c): the monolithic cortex-brain/schema.sql (its main tables) where tier 1 is expected.
-- This plan does not know it and must refuse it with nothing changed.

CREATE TABLE tier0_rules (
    rule_id TEXT PRIMARY KEY,
    rule_number INTEGER UNIQUE NOT NULL,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('CRITICAL', 'HIGH', 'MEDIUM', 'LOW')),
    description TEXT NOT NULL,
    enforcement_mechanism TEXT,
    violation_response TEXT,
    created_at TEXT NOT NULL DEFAULT (datetime('now')),
    is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1))
);
CREATE TABLE tier1_conversations (
    conversation_id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'complete', 'archived')),
    created_at TEXT NOT NULL DEFAULT (datetime('now')),
    updated_at TEXT NOT NULL DEFAULT (datetime('now')),
    completed_at TEXT,
    message_count INTEGER NOT NULL DEFAULT 0,
    intent TEXT,
    outcome TEXT CHECK (outcome IS NULL OR outcome IN ('success', 'failure', 'cancelled')),
    duration_seconds INTEGER,
    primary_entity TEXT,
    related_files TEXT,
    associated_commits TEXT,
    queue_position INTEGER NOT NULL CHECK (queue_position > 0 AND queue_position <= 20)
);
CREATE TABLE tier1_messages (
    message_id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    sequence_number INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
    content TEXT NOT NULL,
    timestamp TEXT NOT NULL DEFAULT (datetime('now')),
    resolved_references TEXT,
    references_message_id TEXT,
    agent_used TEXT,
    intent_detected TEXT,
    confidence REAL CHECK (confidence IS NULL OR (confidence >= 0.0 AND confidence <= 1.0)),
    FOREIGN KEY (conversation_id) REFERENCES tier1_conversations(conversation_id) ON DELETE CASCADE,
    FOREIGN KEY (references_message_id) REFERENCES tier1_messages(message_id)
);
CREATE VIRTUAL TABLE tier1_conversations_fts USING fts5(conversation_id UNINDEXED, topic, primary_entity, content='tier1_conversations', content_rowid='rowid');
CREATE TRIGGER tier1_conversations_fts_insert AFTER INSERT ON tier1_conversations BEGIN
    INSERT INTO tier1_conversations_fts(rowid, conversation_id, topic, primary_entity) VALUES (new.rowid, new.conversation_id, new.topic, new.primary_entity);
END;
CREATE TABLE configuration (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    value_type TEXT NOT NULL DEFAULT 'string' CHECK (value_type IN ('string', 'integer', 'float', 'boolean', 'json')),
    description TEXT,
    updated_at TEXT NOT NULL DEFAULT (datetime('now'))
);
CREATE TABLE schema_version (version TEXT PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT (datetime('now')), description TEXT);
CREATE INDEX idx_conversations_created ON tier1_conversations(created_at DESC);
CREATE INDEX idx_conversations_queue ON tier1_conversations(queue_position);
CREATE INDEX idx_conversations_status ON tier1_conversations(status);
CREATE INDEX idx_messages_conversation ON tier1_messages(conversation_id, sequence_number);

INSERT INTO schema_version VALUES ('1.0.0', '2025-10-01 00:00:00', 'first schema'), ('1.1.0', '2025-10-20 00:00:00', 'tier 4');
INSERT INTO configuration VALUES ('fifo_limit', '20', 'integer', 'conversations kept', '2025-10-01 00:00:00');
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20)
INSERT INTO tier1_conversations (conversation_id, topic, created_at, updated_at, message_count, queue_position)
SELECT printf('c-%02d', i), 'A matter of the single-file brain', '2025-10-01 00:00:00', '2025-10-01 00:00:00', 1, i FROM c;
INSERT INTO tier1_messages (message_id, conversation_id, sequence_number, role, content, timestamp)
SELECT 'm-' || conversation_id, conversation_id, 1, 'user', 'Only the old tables know me', '2025-10-01 00:00:00' FROM tier1_conversations;
