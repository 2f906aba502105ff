//! All rows of the database as one list, from either schema: to find what was lost or is there twice.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Result};

/// One of the two schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `consensus_artifacts` and `consensus_synthesis`.
    Old,
    /// `consensus_runs` and `agent_outputs`.
    New,
}

impl Schema {
    fn table(self) -> &'static str {
        if self == Self::Old { "consensus_artifacts" } else { "agent_outputs" }
    }

    fn select(self) -> &'static str {
        match self {
            Self::Old => {
                "SELECT spec_id, stage, agent_name, content_json FROM consensus_artifacts \
                 UNION ALL SELECT spec_id, stage, '', output_markdown FROM consensus_synthesis"
            }
            Self::New => {
                "SELECT spec_id, stage, agent_name, content FROM agent_outputs JOIN consensus_runs AS run ON run.id = run_id \
                 UNION ALL SELECT spec_id, stage, '', COALESCE(CASE WHEN json_valid(synthesis_json) \
                 THEN synthesis_json ->> '$.output_markdown' ELSE synthesis_json END, '') \
                 FROM consensus_runs WHERE synthesis_json IS NOT NULL"
            }
        }
    }
}

/// How an artifact, or a synthesis (of no agent), is told from others.
pub fn identity(spec: &str, stage: &str, agent: &str, content: &str) -> String {
    [spec, stage, agent, content].join("\u{1f}")
}

/// The identities of all artifacts and syntheses of a schema, in their order; none where it is not there.
pub fn rows(database: &Path, schema: Schema) -> Result<Option<Vec<String>>> {
    let conn = Connection::open(database)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    if !conn.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?.exists([schema.table()])? {
        return Ok(None);
    }
    let mut select = conn.prepare(schema.select())?;
    let read = select.query_map([], |row| {
        let text = |at: usize| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
        Ok(identity(text(0)?, text(1)?, text(2)?, text(3)?))
    })?;
    let mut rows = read.collect::<Result<Vec<_>>>()?;
    rows.sort_unstable();
    Ok(Some(rows))
}

/// How many of `wanted` are not in `found`, and how many of `found` nobody wanted. Both in order.
pub fn differences(wanted: &[String], found: &[String]) -> (usize, usize) {
    let (mut lost, mut more) = (0, 0);
    let (mut wanted, mut found) = (wanted.iter().peekable(), found.iter().peekable());
    loop {
        match (wanted.peek(), found.peek()) {
            (Some(a), Some(b)) if a == b => drop((wanted.next(), found.next())),
            (Some(a), b) if b.is_none_or(|b| a < b) => {
                lost += 1;
                wanted.next();
            }
            (_, Some(_)) => {
                more += 1;
                found.next();
            }
            (_, None) => return (lost, more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_is_twice_is_counted() {
        let list = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        assert_eq!(differences(&list("aabcd"), &list("aabcd")), (0, 0));
        assert_eq!(differences(&list("aabcd"), &list("abbce")), (2, 2));
        assert_eq!(differences(&list("ab"), &[]), (2, 0));
        assert_eq!(differences(&[], &list("ab")), (0, 2));
    }
}
