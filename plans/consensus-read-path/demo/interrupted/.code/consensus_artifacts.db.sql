-- The application had begun to write both schemas, each in a transaction of its own, and was killed now and then: rows of
-- the new schema alone, rows of both, and runs without an output.
INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok)
SELECT spec_id, stage, unixepoch('2025-11-13 08:00:00') * 1000 + id * 7, 1 FROM consensus_artifacts WHERE id > 10400;
INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp)
SELECT run.id, old.agent_name, old.content_json, run.run_timestamp
FROM consensus_artifacts AS old
JOIN consensus_runs AS run ON run.run_timestamp = unixepoch('2025-11-13 08:00:00') * 1000 + old.id * 7
WHERE old.id % 9 > 0;
-- The old row was never written.
INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok, synthesis_json)
SELECT spec_id, 'spec-clarify', run_timestamp + 3, 1,
    json_object('output_markdown', '# of the new schema alone ' || id, 'status', 'ok', 'artifacts_count', 1)
FROM consensus_runs WHERE id % 10 = 0;
INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp)
SELECT id, 'gemini', '{"only":"in the new schema, ' || id || '"}', run_timestamp
FROM consensus_runs WHERE stage = 'spec-clarify';
INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp)
SELECT run_id, agent_name, content, output_timestamp + 1 FROM agent_outputs WHERE id % 20 = 3;
INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok, synthesis_json)
VALUES ('SPEC-KIT-001', 'spec-plan', unixepoch('2025-11-13 09:00:00') * 1000, 1, '{"output_markdown": "# cut');
DELETE FROM consensus_artifacts WHERE id IN (10490, 10491, 10492);
PRAGMA user_version = 2;
