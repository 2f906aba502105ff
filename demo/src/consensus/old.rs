//! The consensus database as its application knew it first. Plain SQLite: nothing here has heard of a migration.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};

use super::{Artifact, NewArtifact, NewSynthesis, Synthesis};

pub(super) const INSERT_ARTIFACT: &str = "INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json, \
                                          response_text, run_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(super) const INSERT_SYNTHESIS: &str = "INSERT INTO consensus_synthesis (spec_id, stage, output_markdown, output_path, status, artifacts_count, agreements, \
     conflicts, degraded) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// A program's connection to the old schema.
#[derive(Debug)]
pub struct OldStore {
    conn: Connection,
}

impl OldStore {
    /// Opens it as the application does; the database must be there.
    pub fn open(path: &Path) -> Result<Self> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(Duration::from_secs(5))?;
        conn.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32000;")?;
        Ok(Self { conn })
    }

    /// Writes an artifact and returns its id.
    pub fn store_artifact(&self, artifact: &NewArtifact<'_>) -> Result<i64> {
        store_artifact(&self.conn, artifact)
    }

    /// The artifacts of a stage, the latest first.
    pub fn query_artifacts(&self, spec: &str, stage: &str) -> Result<Vec<Artifact>> {
        query_artifacts(&self.conn, spec, stage)
    }

    /// Writes a synthesis and returns its id.
    pub fn store_synthesis(&self, synthesis: &NewSynthesis<'_>) -> Result<i64> {
        store_synthesis(&self.conn, synthesis)
    }

    /// The latest synthesis of a stage.
    pub fn query_latest_synthesis(&self, spec: &str, stage: &str) -> Result<Option<Synthesis>> {
        query_latest_synthesis(&self.conn, spec, stage)
    }
}

pub(super) fn store_artifact(conn: &Connection, artifact: &NewArtifact<'_>) -> Result<i64> {
    let NewArtifact { spec, stage, agent, content, response, run } = artifact;
    conn.prepare_cached(INSERT_ARTIFACT)?.execute(params![spec, stage, agent, content, response, run])?;
    Ok(conn.last_insert_rowid())
}

pub(super) fn store_synthesis(conn: &Connection, synthesis: &NewSynthesis<'_>) -> Result<i64> {
    let NewSynthesis { spec, stage, markdown, path, status, artifacts, agreements, conflicts, degraded } = synthesis;
    let values = params![spec, stage, markdown, path, status, artifacts, agreements, conflicts, degraded];
    conn.prepare_cached(INSERT_SYNTHESIS)?.execute(values)?;
    Ok(conn.last_insert_rowid())
}

pub(super) fn query_artifacts(conn: &Connection, spec: &str, stage: &str) -> Result<Vec<Artifact>> {
    let select = "SELECT id, agent_name, content_json FROM consensus_artifacts \
                  WHERE spec_id = ?1 AND stage = ?2 ORDER BY created_at DESC";
    let mut found = conn.prepare_cached(select)?;
    let rows = found
        .query_map([spec, stage], |row| Ok(Artifact { id: row.get(0)?, agent: row.get(1)?, content: row.get(2)? }))?;
    rows.collect()
}

pub(super) fn query_latest_synthesis(conn: &Connection, spec: &str, stage: &str) -> Result<Option<Synthesis>> {
    let select = "SELECT output_markdown, output_path, status, artifacts_count, agreements, conflicts, degraded \
                  FROM consensus_synthesis WHERE spec_id = ?1 AND stage = ?2 ORDER BY created_at DESC, id DESC LIMIT 1";
    conn.prepare_cached(select)?.query_row([spec, stage], synthesis).optional()
}

/// Its columns in their order.
pub(super) fn synthesis(row: &Row<'_>) -> Result<Synthesis> {
    Ok(Synthesis {
        markdown: row.get(0)?,
        path: row.get(1)?,
        status: row.get(2)?,
        artifacts: row.get(3)?,
        agreements: row.get(4)?,
        conflicts: row.get(5)?,
        degraded: row.get::<_, Option<bool>>(6)?.unwrap_or_default(),
    })
}
