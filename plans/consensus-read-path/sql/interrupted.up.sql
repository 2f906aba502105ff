-- What only the new schema has becomes rows of the old one; what both have, the old one keeps. The new tables are kept
-- aside and go: they are made again, with triggers that keep the two in step.
CREATE TABLE interrupted_runs AS SELECT * FROM consensus_runs;
CREATE TABLE interrupted_outputs AS SELECT * FROM agent_outputs;
CREATE TABLE interrupted_sequences AS SELECT name, seq FROM sqlite_sequence;

-- An answer may have been given twice: as many as the old table has of it count as written to both.
INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json, created_at)
WITH
    there AS (
        SELECT spec_id, stage, agent_name, content_json, count(*) AS times FROM consensus_artifacts GROUP BY 1, 2, 3, 4
    ),
    written AS (
        SELECT
            output.id, run.spec_id, run.stage, output.agent_name, output.content, output.output_timestamp,
            row_number() OVER (
                PARTITION BY run.spec_id, run.stage, output.agent_name, output.content ORDER BY output.id
            ) AS time
        FROM agent_outputs AS output
        JOIN consensus_runs AS run ON run.id = output.run_id
    )
SELECT written.spec_id, written.stage, written.agent_name, content, datetime(output_timestamp / 1000, 'unixepoch')
FROM written
LEFT JOIN there
    ON there.spec_id = written.spec_id AND there.stage = written.stage
    AND there.agent_name = written.agent_name AND there.content_json = written.content
WHERE written.time > COALESCE(there.times, 0)
ORDER BY written.id;

INSERT INTO consensus_synthesis
    (spec_id, stage, output_markdown, output_path, status, artifacts_count, agreements, conflicts, degraded, created_at)
WITH
    there AS (SELECT spec_id, stage, output_markdown, count(*) AS times FROM consensus_synthesis GROUP BY 1, 2, 3),
    -- What is no JSON is taken as it is.
    read AS (
        SELECT
            id, spec_id, stage, degraded, run_timestamp,
            CASE WHEN json_valid(synthesis_json) THEN synthesis_json
                ELSE json_object('output_markdown', synthesis_json) END AS json
        FROM consensus_runs
        WHERE synthesis_json IS NOT NULL
    ),
    written AS (
        SELECT
            *, COALESCE(json ->> '$.output_markdown', '') AS markdown,
            row_number() OVER (
                PARTITION BY spec_id, stage, COALESCE(json ->> '$.output_markdown', '') ORDER BY id
            ) AS time
        FROM read
    )
SELECT
    written.spec_id, written.stage, markdown, json ->> '$.output_path', COALESCE(json ->> '$.status', 'ok'),
    json ->> '$.artifacts_count', json ->> '$.agreements', json ->> '$.conflicts', degraded,
    datetime(run_timestamp / 1000, 'unixepoch')
FROM written
LEFT JOIN there
    ON there.spec_id = written.spec_id AND there.stage = written.stage AND there.output_markdown = written.markdown
WHERE written.time > COALESCE(there.times, 0)
ORDER BY written.id;

-- Which rows those were, as they are now: ids are handed out upwards, and nobody else writes in this transaction.
CREATE TABLE interrupted_artifacts AS
SELECT * FROM consensus_artifacts
WHERE id > COALESCE((SELECT seq FROM interrupted_sequences WHERE name = 'consensus_artifacts'), 0);
CREATE TABLE interrupted_synthesis AS
SELECT * FROM consensus_synthesis
WHERE id > COALESCE((SELECT seq FROM interrupted_sequences WHERE name = 'consensus_synthesis'), 0);

DROP TABLE agent_outputs;
DROP TABLE consensus_runs;
