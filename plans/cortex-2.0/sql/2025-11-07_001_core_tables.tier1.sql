-- What a session did, and where it stood: tier 1, working memory. `session_id` is a v1 `conversation_id`
-- (1.0 knows no other session); it has no foreign key, so that actions outlive an evicted conversation.
CREATE TABLE IF NOT EXISTS conversation_actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    turn_number INTEGER NOT NULL,
    action_type TEXT NOT NULL,
    description TEXT NOT NULL,
    metadata_json TEXT,
    success INTEGER NOT NULL DEFAULT 1,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS idx_conversation_actions_session_turn ON conversation_actions(session_id, turn_number);

CREATE TABLE IF NOT EXISTS conversation_state_snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    turn_number INTEGER NOT NULL,
    state_json TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (session_id, turn_number)
);
CREATE INDEX IF NOT EXISTS idx_state_snapshots_session ON conversation_state_snapshots(session_id, turn_number DESC);
