//! Worlds of an old and a new schema that are kept in step.

use std::ops::Deref;

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::expand::weave::Weave;
use crate::expand::{check, install};
use crate::mapping::{Mapping, read_text};
use crate::parity::Sides;

/// Old rows that were there before the new tables.
pub(super) const BEFORE: &str = "INSERT INTO consensus_artifacts (id, spec_id, stage, agent_name, content_json, created_at) VALUES
  (1, 's1', 'spec-plan', 'claude', '{}', '2025-11-13 10:00:00'), (7, 's1', 'spec-plan', 'gemini', '{}', '2025-11-13 10:00:00');";

/// A mapping of two plain columns.
pub(super) const PLAIN: &str = "[[table]]\nname = 'p'\nold = 'o'\nnew = 'n'\nkey = [{ old = 'id', new = 'id' }]\n\
    [table.forth]\nu = 'old.u'\nv = 'old.v'\n[table.back]\nu = 'new.u'\nv = 'new.v'\n";

pub(super) struct World {
    pub(super) conn: Connection,
    pub(super) mapping: Mapping,
    pub(super) weaves: Vec<Weave>,
    /// For each pair its name and what parity compares.
    sides: Vec<(String, Sides)>,
}

impl World {
    /// A database with these tables, expanded by this mapping.
    pub(super) fn open(schema: &str, mapping: &str) -> Self {
        let conn = Connection::open_in_memory().unwrap();
        // As plain clients have it.
        conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        conn.execute_batch(schema).unwrap();
        Self::over(conn, mapping)
    }

    /// A database that is there, expanded by this mapping.
    pub(super) fn over(conn: Connection, mapping: &str) -> Self {
        let mapping = read_text("m.toml", mapping).unwrap_or_else(|e| panic!("{e}"));
        let woven = install::woven(check::weaves(&conn, &mapping).unwrap_or_else(|e| panic!("{e}")));
        install::install(&conn, &woven).unwrap_or_else(|e| panic!("{}", e.chain()));
        let weaves = woven.into_iter().map(|(weave, _)| weave).collect();
        let sides = mapping.pairs.iter().map(|pair| (pair.name.clone(), Sides::of(&conn, pair).unwrap())).collect();
        Self { conn, mapping, weaves, sides }
    }

    pub(super) fn run(&self, sql: &str) {
        self.conn.execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// The rows of a query: `a|b` a line.
    pub(super) fn list(&self, query: &str) -> String {
        let mut statement = self.conn.prepare_cached(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| Ok((0..columns).map(|i| shown(&row.get(i).unwrap())).collect::<Vec<_>>().join("|")));
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    /// Fails where the two sides differ; rows in the quarantine aside.
    pub(super) fn in_step(&self) {
        let differences = self.differences();
        assert!(differences.is_empty(), "not in step:\n{}", differences.join("\n"));
    }

    /// The rows that one side shows and the other does not.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut lines = install::stuck(&self.conn, &self.weaves).unwrap();
        for (name, sides) in &self.sides {
            let (old, new) = (sides.old_query(), sides.new_query());
            for (what, query) in
                [("only old", format!("{old} EXCEPT {new}")), ("only new", format!("{new} EXCEPT {old}"))]
            {
                lines.extend(self.list(&query).lines().map(|line| format!("{name}: {what}: {line}")));
            }
        }
        lines
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(i) => i.to_string(),
        Value::Real(r) => format!("{r:?}"),
        Value::Text(t) => t.clone(),
        Value::Blob(b) => format!("{b:?}"),
    }
}

/// The tables of the consensus database.
pub(super) const SCHEMA: &str = "
CREATE TABLE consensus_artifacts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, spec_id TEXT NOT NULL, stage TEXT NOT NULL, agent_name TEXT NOT NULL,
  content_json TEXT NOT NULL, response_text TEXT, run_id TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE consensus_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, spec_id TEXT NOT NULL, stage TEXT NOT NULL, run_timestamp INTEGER NOT NULL,
  consensus_ok BOOLEAN NOT NULL, degraded BOOLEAN DEFAULT 0, synthesis_json TEXT, UNIQUE (spec_id, stage, run_timestamp)
);
CREATE TABLE agent_outputs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL, agent_name TEXT NOT NULL, model_version TEXT,
  content TEXT NOT NULL, output_timestamp INTEGER NOT NULL,
  FOREIGN KEY (run_id) REFERENCES consensus_runs(id) ON DELETE CASCADE
);
CREATE INDEX idx_agent_outputs_run ON agent_outputs(run_id);
";

pub(super) const MAPPING: &str = r#"
[[table]]
name = "outputs"
old = "consensus_artifacts"
new = "agent_outputs"
key = [{ old = "id", new = "id" }]
[table.forth]
agent_name = "old.agent_name"
content = "old.content_json"
output_timestamp = "CAST(round((julianday(old.created_at) - 2440587.5) * 86400000) AS INTEGER)"
[table.back]
spec_id = "parent.spec_id"
stage = "parent.stage"
agent_name = "new.agent_name"
content_json = "new.content"
created_at = { sql = "strftime('%Y-%m-%d %H:%M:%S', new.output_timestamp / 1000, 'unixepoch')", lossy = "seconds" }
[table.check]
output_timestamp = { from = "2000-01-01", to = "2100-01-01", unit = "ms" }
[table.parent]
new = "consensus_runs"
id = "id"
refers = "run_id"
set = { consensus_ok = "1", degraded = "0" }
[table.parent.key]
spec_id = "old.spec_id"
stage = "old.stage"
run_timestamp = "CAST(round((julianday(old.created_at) - 2440587.5) * 86400000) AS INTEGER)"
"#;

/// The table of syntheses, and how each is a run of its own: a table that is also the parent of outputs.
pub(super) const SYNTHESES: &str = "
CREATE TABLE consensus_synthesis (
  id INTEGER PRIMARY KEY AUTOINCREMENT, spec_id TEXT NOT NULL, stage TEXT NOT NULL, output_markdown TEXT NOT NULL,
  status TEXT, degraded BOOLEAN DEFAULT 0, run_id TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);";

pub(super) const SYNTHESES_MAPPING: &str = r#"
[[table]]
name = "syntheses"
old = "consensus_synthesis"
new = "consensus_runs"
key = [{ old = "id", new = "id", negated = true }]
when_new = "new.synthesis_json IS NOT NULL"
[table.forth]
spec_id = "old.spec_id"
stage = "old.stage"
run_timestamp = "CAST(strftime('%s', old.created_at) AS INTEGER) * 1000 + 1 + (old.id % 998 + 998) % 998"
consensus_ok = "1"
degraded = "old.degraded"
synthesis_json = "json_object('output_markdown', old.output_markdown, 'status', old.status)"
[table.back]
spec_id = "new.spec_id"
stage = "new.stage"
output_markdown = "COALESCE(CASE WHEN json_valid(new.synthesis_json) THEN json_extract(new.synthesis_json, '$.output_markdown') END, '')"
status = "CASE WHEN json_valid(new.synthesis_json) THEN json_extract(new.synthesis_json, '$.status') END"
degraded = "new.degraded"
created_at = { sql = "datetime(new.run_timestamp / 1000, 'unixepoch')", lossy = "milliseconds" }
[table.check]
run_timestamp = { from = "2000-01-01", to = "2100-01-01", unit = "ms" }
[table.gone]
synthesis_json = "NULL"
"#;

/// Artifacts and syntheses of one database.
pub(super) fn shared() -> World {
    World::open(&format!("{SCHEMA}{SYNTHESES}"), &format!("{MAPPING}{SYNTHESES_MAPPING}"))
}

/// The consensus database, in step.
pub(super) struct Consensus(World);

impl Deref for Consensus {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl Consensus {
    pub(super) fn open() -> Self {
        Self(World::open(SCHEMA, MAPPING))
    }

    /// The same over old rows that were there before.
    pub(super) fn over(rows: &str) -> Self {
        Self(World::open(&format!("{SCHEMA}{rows}"), MAPPING))
    }

    /// An old program writes.
    pub(super) fn old(&self, spec: &str, stage: &str, agent: &str, at: &str) {
        let insert = "INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json, created_at) VALUES (?1, ?2, ?3, '{}', ?4)";
        self.conn.execute(insert, [spec, stage, agent, at]).unwrap();
    }
}
