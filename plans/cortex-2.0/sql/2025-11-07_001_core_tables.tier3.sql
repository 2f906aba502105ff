-- What the boundary guard allowed and denied: tier 3, context and telemetry.
CREATE TABLE IF NOT EXISTS boundary_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    occurred_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    event_type TEXT NOT NULL,
    path TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    reason TEXT,
    rule_reference TEXT,
    plugin_id TEXT,
    session_id TEXT
);
CREATE INDEX IF NOT EXISTS idx_boundary_events_path ON boundary_events(path);
CREATE INDEX IF NOT EXISTS idx_boundary_events_time ON boundary_events(occurred_at DESC);
