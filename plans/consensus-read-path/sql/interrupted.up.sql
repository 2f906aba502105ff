-- What only the new schema has becomes rows of the old one; what both have, the old one keeps. The new tables are kept
-- aside and go: they are made again, with triggers that keep the two in step.
CREATE TABLE interrupted_runs AS SELECT * FROM consensus_runs;
CREATE TABLE interrupted_outputs AS SELECT * FROM agent_outputs;
CREATE TABLE interrupted_sequences AS SELECT name, seq FROM sqlite_sequence;

INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json, created_at)
SELECT run.spec_id, run.stage, output.agent_name, output.content, datetime(output.output_timestamp / 1000, 'unixepoch')
FROM agent_outputs AS output
JOIN consensus_runs AS run ON run.id = output.run_id
WHERE NOT EXISTS (
    SELECT 1 FROM consensus_artifacts AS old
    WHERE old.spec_id = run.spec_id AND old.stage = run.stage
        AND old.agent_name = output.agent_name AND old.content_json = output.content
)
ORDER BY output.id;

INSERT INTO consensus_synthesis
    (spec_id, stage, output_markdown, output_path, status, artifacts_count, agreements, conflicts, degraded, created_at)
SELECT
    run.spec_id,
    run.stage,
    COALESCE(json_extract(run.synthesis_json, '$.output_markdown'), ''),
    json_extract(run.synthesis_json, '$.output_path'),
    COALESCE(json_extract(run.synthesis_json, '$.status'), 'ok'),
    json_extract(run.synthesis_json, '$.artifacts_count'),
    json_extract(run.synthesis_json, '$.agreements'),
    json_extract(run.synthesis_json, '$.conflicts'),
    run.degraded,
    datetime(run.run_timestamp / 1000, 'unixepoch')
FROM consensus_runs AS run
WHERE run.synthesis_json IS NOT NULL AND json_valid(run.synthesis_json)
    AND NOT EXISTS (
        SELECT 1 FROM consensus_synthesis AS old
        WHERE old.spec_id = run.spec_id AND old.stage = run.stage
            AND old.output_markdown = json_extract(run.synthesis_json, '$.output_markdown')
    )
ORDER BY run.id;

-- Which rows those were: ids are handed out upwards, and nobody else writes in this transaction.
CREATE TABLE interrupted_taken AS
SELECT before.name, before.seq AS above, now.seq AS upto
FROM interrupted_sequences AS before
JOIN sqlite_sequence AS now ON now.name = before.name AND now.seq > before.seq;

DROP TABLE agent_outputs;
DROP TABLE consensus_runs;
