-- As an older application leaves it: executions of agents have neither a run nor an error.
ALTER TABLE agent_executions DROP COLUMN run_id;
ALTER TABLE agent_executions DROP COLUMN extraction_error;
PRAGMA user_version = 0;
