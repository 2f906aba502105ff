//! A rehearsal of a plan on the large database, by the released program as a child.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use wait4::Wait4;

use crate::Result;

const PLAN: &str = r#"
name = "tier-one"
summary = "Give a large tier the columns of its next version"

[targets.tier1]
kind = "sqlite"
path = "tier1.db"

[[phase]]
name = "baseline"
layer = "storage"

[[phase.step]]
id = "snapshot"
use = "target.snapshot"
with = { targets = ["tier1"], into = "backups/before" }

[[phase]]
name = "schema"
layer = "storage"

[[phase.step]]
id = "columns"
use = "sqlite.columns"
target = "tier1"
with = { table = "messages", add = ["tokens INTEGER", "language TEXT DEFAULT 'en'"] }

[[phase.step]]
id = "summary-table"
use = "sqlite.script"
target = "tier1"
with = { up = "summaries.sql", down = "summaries-down.sql" }

[[phase]]
name = "data"
layer = "storage"

[[phase.step]]
id = "summaries"
use = "sqlite.backfill"
target = "tier1"
with = { into = "summaries", key = "id", rows = "SELECT id, substr(body, 1, 40) AS summary FROM messages WHERE id % 10 = 0" }

[[phase.step]]
id = "index"
use = "sqlite.script"
target = "tier1"
with = { up = "index.sql", down = "index-down.sql" }
"#;

/// Rehearses it, prints what it says, its wall time, its time by stage and its memory.
pub(crate) fn rehearse(cutover: &Path, root: &Path, place: &Path) -> Result<()> {
    let folder = place.join("plan");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("plan.toml"), PLAN)?;
    std::fs::write(folder.join("index.sql"), "CREATE INDEX by_role ON messages(role, conversation);\n")?;
    std::fs::write(folder.join("index-down.sql"), "DROP INDEX by_role;\n")?;
    std::fs::write(folder.join("summaries.sql"), "CREATE TABLE summaries(id INTEGER PRIMARY KEY, summary TEXT);\n")?;
    std::fs::write(folder.join("summaries-down.sql"), "DROP TABLE summaries;\n")?;
    for format in ["text", "json"] {
        let began = Instant::now();
        let mut command = Command::new(cutover);
        command.args(["rehearse", "--format", format, "--root"]).arg(root).arg(&folder);
        let log = place.join(format!("rehearsal.{format}"));
        let child = command.stdin(Stdio::null()).stdout(std::fs::File::create(&log)?).spawn()?;
        let used = { child }.wait4()?;
        let wall = began.elapsed().as_secs_f64();
        let said = std::fs::read_to_string(&log)?;
        if !used.status.success() {
            return Err(format!("rehearse ended with {}:\n{said}", used.status).into());
        }
        if format == "text" {
            println!("{said}");
            continue;
        }
        let said: Value = serde_json::from_str(&said)?;
        let figures = &said["figures"];
        println!("wall {wall:.1} s, peak RSS {} MiB", used.rusage.maxrss / (1 << 20));
        for stage in ["copy", "apply", "verify", "rollback", "again"] {
            println!("  {stage} {:.1} s", figures[stage].as_f64().unwrap_or_default());
        }
    }
    Ok(())
}
