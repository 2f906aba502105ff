//! The application that is migrated: the seed's old and new tables, in short.

use std::path::Path;

use cutover_steps_sqlite as _;
use cutover_tests::{Bench, Fixture};
use rusqlite::Connection;

use crate::Result;

const OLD: &str = "
CREATE TABLE artifacts (id INTEGER PRIMARY KEY AUTOINCREMENT, spec_id TEXT NOT NULL, stage TEXT NOT NULL,
  agent_name TEXT NOT NULL, content_json TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX artifacts_spec ON artifacts(spec_id, stage);";

/// The new table, and the mapping, without and with a parent.
const NEW: [&str; 2] = [
    "CREATE TABLE outputs (id INTEGER PRIMARY KEY AUTOINCREMENT, spec_id TEXT NOT NULL, stage TEXT NOT NULL,
       agent_name TEXT NOT NULL, content TEXT NOT NULL, output_timestamp INTEGER NOT NULL);
     CREATE INDEX outputs_spec ON outputs(spec_id, stage);",
    "CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, spec_id TEXT NOT NULL, stage TEXT NOT NULL,
       consensus_ok BOOLEAN NOT NULL, UNIQUE (spec_id, stage));
     CREATE TABLE outputs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
       agent_name TEXT NOT NULL, content TEXT NOT NULL, output_timestamp INTEGER NOT NULL);
     CREATE INDEX outputs_run ON outputs(run_id);",
];

const MAPPING: [&str; 2] = [
    "[[table]]\nname = 'outputs'\nold = 'artifacts'\nnew = 'outputs'\nkey = [{ old = 'id', new = 'id' }]\n\
     [table.forth]\nspec_id = 'old.spec_id'\nstage = 'old.stage'\nagent_name = 'old.agent_name'\ncontent = 'old.content_json'\n\
     output_timestamp = \"CAST(strftime('%s', old.created_at) AS INTEGER) * 1000\"\n\
     [table.back]\nspec_id = 'new.spec_id'\nstage = 'new.stage'\nagent_name = 'new.agent_name'\ncontent_json = 'new.content'\n\
     created_at = { sql = \"strftime('%Y-%m-%d %H:%M:%S', new.output_timestamp / 1000, 'unixepoch')\", lossy = 'seconds' }\n",
    "[[table]]\nname = 'outputs'\nold = 'artifacts'\nnew = 'outputs'\nkey = [{ old = 'id', new = 'id' }]\n\
     [table.forth]\nagent_name = 'old.agent_name'\ncontent = 'old.content_json'\n\
     output_timestamp = \"CAST(strftime('%s', old.created_at) AS INTEGER) * 1000\"\n\
     [table.back]\nspec_id = 'parent.spec_id'\nstage = 'parent.stage'\nagent_name = 'new.agent_name'\ncontent_json = 'new.content'\n\
     created_at = { sql = \"strftime('%Y-%m-%d %H:%M:%S', new.output_timestamp / 1000, 'unixepoch')\", lossy = 'seconds' }\n\
     [table.parent]\nnew = 'runs'\nid = 'id'\nrefers = 'run_id'\nkey = { spec_id = 'old.spec_id', stage = 'old.stage' }\n\
     set = { consensus_ok = '1' }\n",
];

/// How old rows become new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One row for one row.
    Flat,
    /// Rows of a spec and stage under one run, as the seed has it.
    Grouped,
}

impl Shape {
    /// The SQL of the new tables.
    pub(crate) fn tables(self) -> &'static str {
        NEW[self as usize]
    }
}

/// In which order the rows of a spec were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As an application writes them: 20 specs at a time, each through its stages, then the next 20.
    Near,
    /// A row of each of 3,000 specs in turn: neighbours by key are nowhere near each other in the index.
    Far,
}

/// A new database of that journal mode in `root`, with the old table and `rows` rows in it.
pub(crate) fn old(root: &Path, journal: &str, rows: u32, order: Order) -> Result<Connection> {
    let path = root.join("main.db");
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    let conn = Connection::open(&path)?;
    conn.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |_| Ok(()))?;
    conn.execute_batch(OLD)?;
    // 24 rows are six stages of four agents.
    let (spec, stage) = match order {
        Order::Near => ("printf('SPEC-%06d', i / 480 * 20 + i % 20)", "i / 80 % 6"),
        Order::Far => ("'SPEC-' || (i % 3000)", "i % 6"),
    };
    conn.execute(
        &format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO artifacts SELECT i, {spec}, 'stage-' || ({stage}), 'agent-' || (i % 4),
               substr(hex(randomblob(80)), 1, 140), '2025-11-13 10:00:00' FROM n WHERE ?1 > 0"
        ),
        [rows],
    )?;
    if journal == "wal" {
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(conn)
}

/// The steps `wide`, `fill`, `readers`, `writers`, `copy` and `drop` over the database in `root`, with more settings of the
/// backfill.
pub(crate) fn steps(root: &Path, shape: Shape, more: &str) -> Bench {
    Fixture::new(format!(
        "name = \"b\"\n[targets.main]\nkind = \"sqlite\"\npath = \"main.db\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
         [[phase.step]]\nid = \"wide\"\nuse = \"sqlite.expand\"\ntarget = \"main\"\nwith = {{ mapping = \"m.toml\", up = \"new.sql\" }}\n\
         [[phase.step]]\nid = \"fill\"\nuse = \"sqlite.backfill\"\ntarget = \"main\"\nwith = {{ mapping = \"m.toml\"{more} }}\n\
         [[phase.step]]\nid = \"readers\"\nuse = \"sqlite.cutover\"\ntarget = \"main\"\nwith = {{ mapping = \"m.toml\", to = \"prefer-new\" }}\n\
         [[phase.step]]\nid = \"writers\"\nuse = \"sqlite.cutover\"\ntarget = \"main\"\nwith = {{ mapping = \"m.toml\", to = \"new-only\" }}\n\
         [[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = {{ targets = [\"main\"] }}\n\
         [[phase.step]]\nid = \"drop\"\nuse = \"sqlite.contract\"\ntarget = \"main\"\nwith = {{ mapping = \"m.toml\" }}\n"
    ))
    .file("m.toml", MAPPING[shape as usize])
    .file("new.sql", shape.tables())
    .open(root)
}

/// Puts triggers between both schemas.
pub(crate) fn expand(root: &Path, shape: Shape) -> Result<()> {
    let bench = steps(root, shape, "");
    bench.apply("wide")?;
    bench.close()?;
    Ok(())
}
