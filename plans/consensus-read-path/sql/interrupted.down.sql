-- The rows that were taken into the old tables leave them, and the new tables are there again as they were. A row that a
-- program has written since stays where it wrote it.
DELETE FROM consensus_artifacts
WHERE id IN (
    SELECT now.id FROM consensus_artifacts AS now JOIN interrupted_artifacts AS taken ON taken.id = now.id
    WHERE (now.spec_id, now.stage, now.agent_name, now.content_json, now.response_text, now.run_id, now.created_at)
        IS (taken.spec_id, taken.stage, taken.agent_name, taken.content_json, taken.response_text, taken.run_id, taken.created_at));
DELETE FROM consensus_synthesis
WHERE id IN (
    SELECT now.id FROM consensus_synthesis AS now JOIN interrupted_synthesis AS taken ON taken.id = now.id
    WHERE (now.spec_id, now.stage, now.output_markdown, now.output_path, now.status, now.artifacts_count, now.agreements,
            now.conflicts, now.degraded, now.run_id, now.created_at)
        IS (taken.spec_id, taken.stage, taken.output_markdown, taken.output_path, taken.status, taken.artifacts_count,
            taken.agreements, taken.conflicts, taken.degraded, taken.run_id, taken.created_at));

CREATE TABLE consensus_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    spec_id TEXT NOT NULL,
    stage TEXT NOT NULL,
    run_timestamp INTEGER NOT NULL,
    consensus_ok BOOLEAN NOT NULL,
    degraded BOOLEAN DEFAULT 0,
    synthesis_json TEXT,
    UNIQUE (spec_id, stage, run_timestamp)
);
CREATE INDEX idx_consensus_spec_stage ON consensus_runs(spec_id, stage);
CREATE INDEX idx_consensus_timestamp ON consensus_runs(run_timestamp);

CREATE TABLE agent_outputs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL REFERENCES consensus_runs(id) ON DELETE CASCADE,
    agent_name TEXT NOT NULL,
    model_version TEXT,
    content TEXT NOT NULL,
    output_timestamp INTEGER NOT NULL
);
CREATE INDEX idx_agent_outputs_agent ON agent_outputs(agent_name);
CREATE INDEX idx_agent_outputs_run ON agent_outputs(run_id);

INSERT INTO consensus_runs SELECT * FROM interrupted_runs;
INSERT INTO agent_outputs SELECT * FROM interrupted_outputs;

-- The next ids: those of before, unless others have written since.
UPDATE sqlite_sequence SET seq = max(
    (SELECT seq FROM interrupted_sequences AS before WHERE before.name = sqlite_sequence.name),
    CASE name
        WHEN 'consensus_artifacts' THEN (SELECT COALESCE(max(id), 0) FROM consensus_artifacts)
        WHEN 'consensus_synthesis' THEN (SELECT COALESCE(max(id), 0) FROM consensus_synthesis)
        ELSE 0
    END)
WHERE name IN (SELECT name FROM interrupted_sequences);

DROP TABLE interrupted_synthesis;
DROP TABLE interrupted_artifacts;
DROP TABLE interrupted_sequences;
DROP TABLE interrupted_outputs;
DROP TABLE interrupted_runs;
