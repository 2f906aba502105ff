-- The consensus database of an application that knows the old schema alone: 200 specs, 6 stages, 2 or 3 batches of 3 or 4
-- agents each. With what such databases have in the wild: JSON cut short, contents of 1 MB, names that are not ASCII, an
-- agent twice in a batch, times in other formats or none at all, rows with and without run_id and response_text.
PRAGMA journal_mode = WAL;
PRAGMA auto_vacuum = INCREMENTAL;

CREATE TABLE consensus_artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    spec_id TEXT NOT NULL,
    stage TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    content_json TEXT NOT NULL,
    response_text TEXT,
    run_id TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_spec_stage ON consensus_artifacts(spec_id, stage);

CREATE TABLE consensus_synthesis (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    spec_id TEXT NOT NULL,
    stage TEXT NOT NULL,
    output_markdown TEXT NOT NULL,
    output_path TEXT,
    status TEXT NOT NULL,
    artifacts_count INTEGER,
    agreements TEXT,
    conflicts TEXT,
    degraded BOOLEAN DEFAULT 0,
    run_id TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_synthesis_spec_stage ON consensus_synthesis(spec_id, stage);

CREATE TABLE agent_executions (
    agent_id TEXT PRIMARY KEY,
    spec_id TEXT NOT NULL,
    stage TEXT NOT NULL,
    phase_type TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    run_id TEXT,
    spawned_at TEXT NOT NULL,
    completed_at TEXT,
    response_text TEXT,
    extraction_error TEXT
);

BEGIN;
CREATE TEMP TABLE stages (at INTEGER, stage TEXT);
INSERT INTO stages VALUES
    (0, 'spec-plan'), (1, 'spec-tasks'), (2, 'spec-implement'), (3, 'spec-validate'), (4, 'spec-audit'), (5, 'spec-unlock');
CREATE TEMP TABLE agents (at INTEGER, agent TEXT);
INSERT INTO agents VALUES (0, 'claude'), (1, 'gemini'), (2, 'gpt_pro'), (3, 'gpt_codex');

-- One row a batch; its agents end within one second of one another, or a second later.
CREATE TEMP TABLE batches AS
WITH RECURSIVE
    specs(spec) AS (SELECT 1 UNION ALL SELECT spec + 1 FROM specs WHERE spec < 200),
    runs(run) AS (VALUES (0), (1), (2))
SELECT
    spec,
    CASE WHEN spec % 40 = 0 THEN printf('SPEC-KIT-%03d-größe', spec) ELSE printf('SPEC-KIT-%03d', spec) END AS spec_id,
    at AS stage_at,
    stage,
    run,
    unixepoch('2025-10-01 06:00:00') + spec * 17291 + at * 1733 + run * 86399 AS began
FROM specs, stages, runs
WHERE run < 2 + (spec * 7 + at) % 2;

INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json, response_text, run_id, created_at)
SELECT
    spec_id,
    stage,
    agent,
    json_object(
        'stage', stage, 'prompt_version', '2025-10-0' || (run + 1), 'agent', agent, 'model', agent || '-latest',
        'reasoning_mode', 'high', 'feasibility_notes', json_array('reads ' || spec, 'größer als ' || began),
        'missing_items', json_array(), 'final_plan', json_object('steps', printf('%.*c', 200 + (spec * 31 + agents.at * 7) % 400, '.'))
    ),
    CASE WHEN (spec + run) % 3 > 0 THEN 'answer of ' || agent || ' to ' || spec_id END,
    CASE WHEN spec > 60 THEN printf('run-%d-%d-%d', spec, stage_at, run) END,
    datetime(began + (agents.at = 2 AND spec % 5 = 0), 'unixepoch')
FROM batches, agents
WHERE agents.at < 3 + spec % 2
ORDER BY began, spec, agents.at;

-- An agent that answered twice in a batch.
INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json, run_id, created_at)
SELECT spec_id, stage, 'claude', '{"agent":"claude","again":true}', NULL, datetime(began, 'unixepoch')
FROM batches WHERE run = 1 AND (spec * 6 + stage_at) % 29 = 0;
-- An agent that failed.
UPDATE consensus_artifacts SET content_json = json_object(
    'spec_id', spec_id, 'stage', stage, 'agent', agent_name, 'error', 'agent execution failed',
    'consensus', json_object('agreements', json_array(), 'conflicts', json_array(agent_name || ' execution failed')))
WHERE id % 53 = 7;
UPDATE consensus_artifacts SET content_json = substr(content_json, 1, 100) WHERE id % 211 = 5;
UPDATE consensus_artifacts SET content_json = '{"stage":"${stage}","specId":"${spec}"}' WHERE id % 1013 = 11;
UPDATE consensus_artifacts SET content_json = json_object('agent', agent_name, 'final_plan', printf('%.*c', 1000000, 'x'))
WHERE id IN (100, 4000, 8000);
-- Times of programs that wrote them themselves.
UPDATE consensus_artifacts SET created_at = replace(created_at, ' ', 'T') || 'Z' WHERE id % 97 = 3;
UPDATE consensus_artifacts SET created_at = created_at || '.500' WHERE id % 101 = 4;
UPDATE consensus_artifacts SET created_at = 'yesterday' WHERE id IN (1234, 5678);
UPDATE consensus_artifacts SET created_at = '' WHERE id = 2345;
UPDATE consensus_artifacts SET created_at = '0000-00-00 00:00:00' WHERE id = 3456;
UPDATE consensus_artifacts SET created_at = NULL WHERE id = 4567;
-- Some were taken away.
DELETE FROM consensus_artifacts WHERE id % 307 = 1;

INSERT INTO consensus_synthesis
    (spec_id, stage, output_markdown, output_path, status, artifacts_count, agreements, conflicts, degraded, run_id, created_at)
SELECT
    spec_id,
    stage,
    '# ' || stage || ' of ' || spec_id || char(10) || printf('%.*c', 300 + spec, '-'),
    CASE WHEN spec % 4 > 0 THEN 'evidence/' || spec_id || '/' || stage || '.md' END,
    CASE (spec + stage_at + run) % 4 WHEN 0 THEN 'ok' WHEN 1 THEN 'degraded' WHEN 2 THEN 'conflict' ELSE 'completed' END,
    3 + spec % 2,
    CASE WHEN spec % 3 > 0 THEN json_array('agreed on ' || stage) END,
    CASE WHEN (spec + stage_at + run) % 4 = 2 THEN json_array('gemini differs') END,
    (spec + stage_at + run) % 4 = 1,
    CASE WHEN spec > 60 THEN printf('run-%d-%d-%d', spec, stage_at, run) END,
    datetime(began + 2, 'unixepoch')
FROM batches
WHERE (spec + run) % 2 = 0
ORDER BY began, spec;
-- Two of one second.
INSERT INTO consensus_synthesis (spec_id, stage, output_markdown, status, artifacts_count, degraded, created_at)
SELECT spec_id, stage, output_markdown || char(10) || 'again', 'ok', artifacts_count, 0, created_at
FROM consensus_synthesis WHERE id % 111 = 9;

INSERT INTO agent_executions
SELECT
    printf('agent-%d-%d-%d-%s', spec, stage_at, run, agent), spec_id, stage,
    CASE WHEN stage_at > 2 THEN 'quality_gate' ELSE 'regular_stage' END,
    agent,
    CASE WHEN spec > 60 THEN printf('run-%d-%d-%d', spec, stage_at, run) END,
    strftime('%Y-%m-%dT%H:%M:%SZ', began - 60, 'unixepoch'),
    CASE WHEN spec % 9 > 0 THEN strftime('%Y-%m-%dT%H:%M:%SZ', began, 'unixepoch') END,
    CASE WHEN spec % 9 > 0 THEN 'answer of ' || agent END,
    CASE WHEN spec % 31 = 0 THEN 'no JSON in the answer' END
FROM batches, agents
WHERE agents.at < 3 + spec % 2;
COMMIT;
