//! The consensus database as the next version of its application knows it: the new schema, and the old one as long as
//! the migration asks for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutover_dual::{Counters, Counts, DualReader, DualWriter, Statements};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::old::{self, query_artifacts, query_latest_synthesis};
use super::{Artifact, NewArtifact, NewSynthesis, Synthesis};

/// The mapping's name in the plan.
const MAPPING: &str = "consensus";

const INSERT_RUN: &str = "INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok, degraded) \
                          VALUES (?1, ?2, ?3, 1, 0) ON CONFLICT (spec_id, stage, run_timestamp) DO NOTHING";
const INSERT_OUTPUT: &str = "INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) \
     SELECT id, ?4, ?5, ?3 FROM consensus_runs WHERE spec_id = ?1 AND stage = ?2 AND run_timestamp = ?3";
const INSERT_WHOLE_RUN: &str = "INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok, degraded, synthesis_json) \
     SELECT ?1, ?2, max(?3, COALESCE(1 + (SELECT max(run_timestamp) FROM consensus_runs \
     WHERE spec_id = ?1 AND stage = ?2), 0)), 1, ?4, json_object('output_markdown', ?5, 'output_path', ?6, \
     'status', ?7, 'artifacts_count', ?8, 'agreements', ?9, 'conflicts', ?10)";

/// A program's connection to both schemas.
#[derive(Debug)]
pub struct NewStore {
    conn: Connection,
    counters: Arc<Counters>,
    reader: DualReader,
    writer: DualWriter,
}

impl NewStore {
    /// Opens it as the application does; the database must be there.
    pub fn open(path: &Path) -> Result<Self> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(Duration::from_secs(5))?;
        conn.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32000;")?;
        let counters = Arc::new(Counters::default());
        let reader = DualReader::new(MAPPING, counters.clone()).compare_every(64);
        conn.set_prepared_statement_cache_capacity(32);
        let writer = DualWriter::new(MAPPING, counters.clone());
        Ok(Self { conn, counters, reader, writer })
    }

    /// Writes an artifact and returns its id.
    pub fn store_artifact(&self, artifact: &NewArtifact<'_>) -> Result<i64> {
        let statements = Statements { new: &[INSERT_RUN, INSERT_OUTPUT], old: &[old::INSERT_ARTIFACT] };
        let old = |conn: &Connection| old::store_artifact(conn, artifact);
        self.writer.write_compiled(&self.conn, statements, |conn| store_output(conn, artifact), old)
    }

    /// The artifacts of a stage, the latest first.
    pub fn query_artifacts(&self, spec: &str, stage: &str) -> Result<Vec<Artifact>> {
        let (new, old) =
            (|c: &Connection| query_outputs(c, spec, stage), |c: &Connection| query_artifacts(c, spec, stage));
        self.reader.read(&self.conn, new, old, |found| !found.is_empty())
    }

    /// Writes a synthesis.
    pub fn store_synthesis(&self, synthesis: &NewSynthesis<'_>) -> Result<i64> {
        let statements = Statements { new: &[INSERT_WHOLE_RUN], old: &[old::INSERT_SYNTHESIS] };
        let old = |conn: &Connection| old::store_synthesis(conn, synthesis);
        self.writer.write_compiled(&self.conn, statements, |conn| store_run(conn, synthesis), old)
    }

    /// The latest synthesis of a stage.
    pub fn query_latest_synthesis(&self, spec: &str, stage: &str) -> Result<Option<Synthesis>> {
        let new = |c: &Connection| query_latest_run(c, spec, stage);
        let old = |c: &Connection| query_latest_synthesis(c, spec, stage);
        self.reader.read_compared(&self.conn, new, old, Option::is_some)
    }

    /// What was read and written, and how.
    pub fn counts(&self) -> Counts {
        self.counters.counts()
    }

    /// Adds what was counted to the sums in the database.
    pub fn flush(&self) -> Result<()> {
        self.counters.flush(&self.conn, MAPPING)
    }
}

/// A run with one output: several programs may end in one millisecond, and are of one run then.
fn store_output(conn: &Connection, artifact: &NewArtifact<'_>) -> Result<i64> {
    let NewArtifact { spec, stage, agent, content, .. } = artifact;
    let now = now(conn)?;
    conn.prepare_cached(INSERT_RUN)?.execute(params![spec, stage, now])?;
    conn.prepare_cached(INSERT_OUTPUT)?.execute(params![spec, stage, now, agent, content])?;
    Ok(conn.last_insert_rowid())
}

/// A run with a synthesis, in the next millisecond that its stage has free.
fn store_run(conn: &Connection, synthesis: &NewSynthesis<'_>) -> Result<i64> {
    let NewSynthesis { spec, stage, markdown, path, status, artifacts, agreements, conflicts, degraded } = synthesis;
    let values = params![spec, stage, now(conn)?, degraded, markdown, path, status, artifacts, agreements, conflicts];
    conn.prepare_cached(INSERT_WHOLE_RUN)?.execute(values)?;
    Ok(conn.last_insert_rowid())
}

fn query_outputs(conn: &Connection, spec: &str, stage: &str) -> Result<Vec<Artifact>> {
    let select = "SELECT ao.id, ao.agent_name, ao.content FROM consensus_runs cr \
                  JOIN agent_outputs ao ON cr.id = ao.run_id \
                  WHERE cr.spec_id = ?1 AND cr.stage = ?2 ORDER BY ao.output_timestamp DESC";
    let mut found = conn.prepare_cached(select)?;
    let rows = found
        .query_map([spec, stage], |row| Ok(Artifact { id: row.get(0)?, agent: row.get(1)?, content: row.get(2)? }))?;
    rows.collect()
}

fn query_latest_run(conn: &Connection, spec: &str, stage: &str) -> Result<Option<Synthesis>> {
    let select = "SELECT synthesis_json ->> '$.output_markdown', synthesis_json ->> '$.output_path', \
                  synthesis_json ->> '$.status', synthesis_json ->> '$.artifacts_count', \
                  synthesis_json ->> '$.agreements', synthesis_json ->> '$.conflicts', degraded FROM consensus_runs \
                  WHERE spec_id = ?1 AND stage = ?2 AND synthesis_json IS NOT NULL ORDER BY run_timestamp DESC LIMIT 1";
    conn.prepare_cached(select)?.query_row([spec, stage], old::synthesis).optional()
}

/// Milliseconds since 1970.
fn now(conn: &Connection) -> Result<i64> {
    conn.prepare_cached("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)")?.query_row([], |row| row.get(0))
}
