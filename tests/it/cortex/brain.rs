//! CORTEX brains of every shape, made by code: the plan's own demo systems, and what happens to files in real life.
//!
//! Owns how a brain is made, run on and looked at. What is looked at goes through SQLite's own eyes, not through ours.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cutover_runner::demo;
use cutover_tests::{Ran, Tree, run, sqlite3};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::system::{impatient, on};

/// The plan that these brains are for.
const PLAN: &str = "cortex-2.0";

/// The tiers, with the names of their targets.
pub(super) const TIERS: &[u8] = &[1, 2, 3];

/// A brain in a folder of its own, with a copy of the plan beside it.
#[derive(Debug)]
pub(super) struct Brain {
    folder: TempDir,
}

impl Brain {
    /// A brain of one of the plan's demo shapes.
    pub(super) fn of(shape: &str) -> Self {
        let brain = Self { folder: tempfile::tempdir().unwrap() };
        demo::build(PLAN, shape, &brain.root()).unwrap_or_else(|e| panic!("cannot build shape {shape}: {e}"));
        impatient(PLAN, &brain.plan());
        brain
    }

    /// The folder that is migrated.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("brain")
    }

    /// The plan's folder: a copy of the brain's own, free to be edited.
    pub(super) fn plan(&self) -> PathBuf {
        self.folder.path().join("plan")
    }

    /// Runs `cutover COMMAND PLAN ...` on the brain.
    pub(super) fn cutover(&self, command: &str, more: &[&str]) -> Ran {
        run(on(&self.plan(), &self.root(), command, more).arg("--yes"))
    }

    /// Applies the plan to its end.
    pub(super) fn migrated(self) -> Self {
        self.cutover("apply", &[]).expect_code(0);
        self
    }

    /// The database of a tier, 1 to 3.
    pub(super) fn tier(&self, tier: u8) -> PathBuf {
        self.root().join("cortex-brain").join(match tier {
            1 => "tier1/conversations.db",
            2 => "tier2/knowledge_graph.db",
            _ => "tier3/context.db",
        })
    }

    /// What a query says, as the `sqlite3` command prints it: an opinion that is not ours.
    pub(super) fn ask(&self, tier: u8, sql: &str) -> String {
        sqlite3(self.tier(tier), sql).trim_end().to_owned()
    }

    /// How many rows point at a parent that is not there.
    pub(super) fn orphans(&self, tier: u8) -> usize {
        self.ask(tier, "PRAGMA foreign_key_check").lines().count()
    }

    /// Runs statements on a tier, as the application would.
    pub(super) fn write(&self, tier: u8, sql: &str) {
        Connection::open(self.tier(tier)).unwrap().execute_batch(sql).unwrap();
    }

    /// Every file of the brain but the runner's state and locks.
    pub(super) fn files(&self) -> Tree {
        Tree::of(&self.root()).filter(|path| !path.starts_with(".cutover") && !path.ends_with(".cutover-lock"))
    }

    /// Every object and every row of the three tiers, and the configuration, in words; without ledger and state.
    pub(super) fn content(&self) -> BTreeMap<String, String> {
        let mut content = BTreeMap::new();
        for tier in TIERS {
            let db = Connection::open(self.tier(*tier)).unwrap();
            let objects = rows(&db, "SELECT type, name, tbl_name, sql FROM sqlite_master");
            for object in objects {
                let [kind, name, table, sql] = &object[..] else { panic!("four columns") };
                if table.contains("migrations") || table.contains("cutover_state") || table == "sqlite_sequence" {
                    continue;
                }
                let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
                content.insert(format!("tier{tier} {kind} {name}"), sql);
                if kind == "table" {
                    let all = rows(&db, &format!("SELECT * FROM \"{name}\""));
                    let lines: Vec<String> = all.iter().map(|row| row.join("|")).collect();
                    content.insert(format!("tier{tier} rows of {name}"), lines.join("\n"));
                }
            }
        }
        content.insert("configuration".into(), fs::read_to_string(self.root().join("cortex.config.json")).unwrap());
        content
    }

    /// Tier 1 in WAL mode with committed rows that only the log has. The connection keeps the log from being folded in;
    /// the brain is as a crash would leave it once it is dropped without its checkpoint.
    pub(super) fn with_unchecked_log(self) -> Self {
        let db = self.tier(1);
        let aside = self.folder.path().join("aside");
        fs::create_dir(&aside).unwrap();
        {
            let open = Connection::open(&db).unwrap();
            open.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
                 INSERT INTO entities (conversation_id, entity_type, entity_value, timestamp)
                 VALUES ('conv-0060', 'concept', 'only in the log', '2025-11-06T12:00:00');",
            )
            .unwrap();
            for suffix in ["", "-wal"] {
                copy(&with_suffix(&db, suffix), &aside.join(format!("tier1{suffix}")));
            }
        }
        for suffix in ["", "-wal"] {
            copy(&aside.join(format!("tier1{suffix}")), &with_suffix(&db, suffix));
        }
        self
    }

    /// Tier 1 as an encrypted file looks: no header, only noise.
    pub(super) fn encrypted(self) -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let noise: Vec<u8> = (0..64 * 1024)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            })
            .collect();
        fs::write(self.tier(1), noise).unwrap();
        self
    }

    /// Tier 1 with a page of a table overwritten: the header is whole, the tree behind it is not.
    pub(super) fn corrupt(self) -> Self {
        let mut bytes = fs::read(self.tier(1)).unwrap();
        let page = 4096;
        bytes[2 * page..6 * page].fill(0x55);
        fs::write(self.tier(1), bytes).unwrap();
        self
    }

    /// Tier 1 that may not be written.
    pub(super) fn read_only(self) -> Self {
        fs::set_permissions(self.tier(1), fs::Permissions::from_mode(0o444)).unwrap();
        self
    }

    /// Tier 2 after the buggy delete trigger did its work: the index holds words of a pattern that is gone.
    pub(super) fn with_stale_search(self) -> Self {
        self.write(2, "PRAGMA foreign_keys = ON; DELETE FROM patterns WHERE id = 7;");
        self
    }
}

/// All rows of a query, each value in words, sorted.
fn rows(db: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = db.prepare(sql).unwrap();
    let width = statement.column_count();
    let found =
        statement.query_map([], |row| (0..width).map(|i| row.get::<_, Value>(i)).collect::<Result<Vec<_>, _>>());
    let words = |value: Value| match value {
        Value::Text(text) => text,
        other => format!("{other:?}"),
    };
    let mut rows: Vec<Vec<String>> = found.unwrap().map(|row| row.unwrap().into_iter().map(words).collect()).collect();
    rows.sort();
    rows
}

/// What differs between two contents, by object.
pub(super) fn differences(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<String> {
    let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
    names.filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|e| panic!("cannot copy {} to {}: {e}", from.display(), to.display()));
}
