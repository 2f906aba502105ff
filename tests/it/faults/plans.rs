//! Small plans that are quick to kill: together they hold every way in which a step is recorded, settled and undone.

use cutover_tests::sqlite3;

use super::stores::Memory;
use crate::system::{System, folder_in_memory};

/// The databases of every plan but a demo's.
const DATABASES: &[&str] = &["app.db", "more.db"];

/// Those of a CORTEX brain.
const TIERS: &[&str] =
    &["cortex-brain/tier1/conversations.db", "cortex-brain/tier2/knowledge_graph.db", "cortex-brain/tier3/context.db"];

/// What is there exactly as long as a step is applied.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proof {
    /// A table of `app.db`; the ledger there knows the step.
    Table(&'static str),
    /// A file of the root; no ledger knows the step.
    File(&'static str),
}

/// A plan and what it comes to.
#[derive(Debug, Clone)]
pub(super) struct Small {
    pub(super) name: String,
    /// The exit code of an undisturbed apply.
    pub(super) ends: i32,
    text: String,
    filler: bool,
    /// The plan inside the program that it is, on its demo system.
    demo: Option<&'static str>,
    /// Its key-value data.
    memory: Option<Memory>,
    /// The steps that leave something to look at.
    pub(super) proofs: Vec<(&'static str, Proof)>,
}

/// The additions and multiplications do not commute: an order that is not the right one, and a script that ran twice,
/// show in the figures.
const SCRIPTS: &[(&str, &str, &str)] = &[
    ("a", "n = n + 1", "n = n - 1"),
    ("b", "n = n * 2", "n = n / 2"),
    ("c", "n = n + 3", "n = n - 3"),
    ("d", "n = n * 5", "n = n / 5"),
];

const OTHER: &[(&str, &str)] = &[
    ("bad.sql", "CREATE TABLE bad (x);\nINSERT INTO nowhere VALUES (1);\n"),
    ("bad.down.sql", "DROP TABLE bad;\n"),
    ("more.sql", "UPDATE orders SET n = n + 7;\n"),
    ("more.down.sql", "UPDATE orders SET n = n - 7;\n"),
    ("again.sql", "UPDATE orders SET n = n * 2;\n"),
    ("again.down.sql", "UPDATE orders SET n = n / 2;\n"),
    (
        "large.sql",
        "CREATE TABLE more_filler AS SELECT * FROM filler;\nUPDATE filler SET x = x || 'y';\nCREATE INDEX i ON filler(x);\n",
    ),
    (
        "tints.toml",
        "[[table]]\nname = \"tints\"\nold = \"colours\"\nnew = \"tints\"\nkey = [{ old = \"id\", new = \"id\" }]\n\
         [table.forth]\nlabel = \"old.name\"\n[table.back]\nname = \"new.label\"\n",
    ),
    ("tints.sql", "CREATE TABLE tints (id INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT NOT NULL);\n"),
    ("large.down.sql", "DROP INDEX i;\nUPDATE filler SET x = substr(x, 1, 4000);\nDROP TABLE more_filler;\n"),
];

const BEFORE: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
    INSERT INTO orders VALUES (1, 10), (2, 20), (3, 30), (4, 40), (5, 50);
    CREATE TABLE colours (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO colours VALUES (1, 'red'), (2, 'green'), (3, 'blue');
    CREATE TABLE copies (id INTEGER PRIMARY KEY, name TEXT);";

/// More than SQLite keeps in memory of a transaction: half of it reaches the file before the whole does.
const FILLER: &str = "CREATE TABLE filler (id INTEGER PRIMARY KEY, x TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    INSERT INTO filler SELECT i, printf('%.4000c', 'x') FROM n;";

/// The step `fail` fails as long as this file is not in the root.
pub(super) const MENDED: &str = "mended";

const SETTINGS: &str = r#"{ "name": "shop", "old": 1 }"#;

impl Small {
    /// All of them.
    pub(super) fn all() -> Vec<Small> {
        let mut all = vec![
            grouped(),
            alone(),
            mixed(),
            conditions(),
            two_databases(),
            restored(),
            restored_beside(),
            unit_over_phases(),
            backfilled(),
            mapped(),
        ];
        for policy in ["rollback-step", "rollback-phase", "rollback-all", "pause"] {
            all.push(failing(policy));
            all.push(failing_group(policy));
        }
        all
    }

    /// Whether a person is asked for an approval.
    pub(super) fn asks(&self) -> bool {
        self.text.contains("gate.approval")
    }

    pub(super) fn new(name: &str, head: &str, phases: &[&[String]]) -> Self {
        let mut text = format!(
            "name = \"{name}\"\n{head}\n\
             [targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n\
             [targets.more]\nkind = \"sqlite\"\npath = \"more.db\"\n\
             [targets.files]\nkind = \"dir\"\npath = \".\"\nwith = {{ include = [\"settings.json\", \"logs\", \"old\"] }}\n"
        );
        for (i, steps) in phases.iter().enumerate() {
            text.push_str(&format!("\n[[phase]]\nname = \"p{i}\"\nlayer = \"storage\"\n{}", steps.concat()));
        }
        let looked_at = [
            ("a", Proof::Table("a")),
            ("b", Proof::Table("b")),
            ("c", Proof::Table("c")),
            ("d", Proof::Table("d")),
            ("bad", Proof::Table("bad")),
            ("notes", Proof::Table("notes")),
            ("run", Proof::File("made")),
            ("archive", Proof::File("old/logs/a.jsonl")),
        ];
        let proofs = looked_at.into_iter().filter(|(id, _)| text.contains(&format!("id = \"{id}\"\n"))).collect();
        Self { name: name.to_owned(), ends: 0, text, filler: false, demo: None, memory: None, proofs }
    }

    /// The plan for CORTEX brains, which is not small.
    pub(super) fn cortex() -> Self {
        let (name, text) = ("cortex".to_owned(), String::new());
        Self { name, ends: 0, text, filler: false, demo: Some("cortex-2.0"), memory: None, proofs: Vec::new() }
    }

    /// One transaction that rewrites more than SQLite keeps in memory.
    pub(super) fn large() -> Self {
        Self::new("large", "", &[&[script("a", ""), script("large", ""), script("b", "")]]).with_filler(true)
    }

    /// The databases that are looked at.
    pub(super) fn databases(&self) -> &'static [&'static str] {
        if self.demo.is_some() { TIERS } else { DATABASES }
    }

    /// Whether what an apply makes is the same each time, but for bookkeeping: a brain is told the time.
    pub(super) fn always_the_same(&self) -> bool {
        self.demo.is_none()
    }

    /// With a database that is larger than SQLite's cache.
    pub(super) fn with_filler(self, filler: bool) -> Self {
        Self { filler, ..self }
    }

    /// With key-value data.
    pub(super) fn with_memory(mut self, memory: Option<Memory>) -> Self {
        self.memory = memory;
        self.text.push_str(&memory.map(|memory| format!("\n{}", memory.target())).unwrap_or_default());
        self
    }

    /// Its key-value data.
    pub(super) fn memory(&self) -> Option<Memory> {
        self.memory
    }

    fn ending(self, ends: i32) -> Self {
        Self { ends, ..self }
    }

    /// Whether the ledger of `app.db` knows all that matters: then nothing is lost with the journal.
    pub(super) fn ledger_knows_all(&self) -> bool {
        !["command.run", "file.archive", "config.map", "target.snapshot"].iter().any(|kind| self.text.contains(kind))
    }

    /// Whether programs run that are not ours.
    pub(super) fn runs_commands(&self) -> bool {
        self.demo.is_some() || self.text.contains("command.run") || self.text.contains("-command = ")
    }

    /// Whether `MENDED` makes an apply end well.
    pub(super) fn can_be_mended(&self) -> bool {
        self.text.contains(MENDED)
    }

    /// The system that it migrates, as it is before.
    pub(super) fn system(&self, wal: bool) -> System {
        if let Some(demo) = self.demo {
            return System::of_demo(folder_in_memory(), demo, "a");
        }
        let mode = if wal { "PRAGMA journal_mode = WAL;" } else { "" };
        let filler = if self.filler { FILLER } else { "" };
        let system = System::in_folder(folder_in_memory(), &format!("{mode} {BEFORE} {filler}"), &self.text);
        for (name, up, down) in SCRIPTS {
            system.write(&format!("{name}.sql"), &format!("CREATE TABLE {name} (x);\nUPDATE orders SET {up};\n"));
            system.write(&format!("{name}.down.sql"), &format!("UPDATE orders SET {down};\nDROP TABLE {name};\n"));
        }
        for (name, sql) in OTHER {
            system.write(name, sql);
        }
        sqlite3(system.root().join("more.db"), format!("{mode} {BEFORE}"));
        if let Some(memory) = self.memory {
            memory.build(&system.root());
        }
        system.write_root("settings.json", SETTINGS);
        for name in ["logs/a.jsonl", "logs/b.jsonl"] {
            system.write_root(name, name);
        }
        std::os::unix::fs::symlink("a.jsonl", system.root().join("logs/latest")).unwrap();
        system
    }
}

pub(super) fn step(id: &str, rest: &str) -> String {
    format!("\n[[phase.step]]\nid = \"{id}\"\n{rest}\n")
}

pub(super) fn script(id: &str, more: &str) -> String {
    step(
        id,
        &format!(
            "use = \"sqlite.script\"\ntarget = \"app\"\n{more}\nwith = {{ up = \"{id}.sql\", down = \"{id}.down.sql\" }}"
        ),
    )
}

/// Undone by restoring.
pub(super) fn one_way(id: &str, more: &str) -> String {
    step(id, &format!("use = \"sqlite.script\"\ntarget = \"app\"\n{more}\nwith = {{ up = \"{id}.sql\" }}"))
}

pub(super) fn copy() -> String {
    step("copy", "use = \"target.snapshot\"\nwith = { targets = [\"app\"], into = \"backups\" }")
}

/// A command that leaves a trace when it runs on top of itself.
fn command() -> String {
    step(
        "run",
        "use = \"command.run\"\n\
         with.apply = [\"sh\", \"-c\", \"if [ -e made ]; then echo twice >> runs; fi; touch made\"]\n\
         with.verify = [\"test\", \"-e\", \"made\"]\n\
         with.rollback = [\"rm\", \"-f\", \"made\"]",
    )
}

/// What the condition asks for is gone as soon as the step has begun.
fn archive() -> String {
    step(
        "archive",
        "use = \"file.archive\"\ntarget = \"files\"\nwhen = { target = \"files\", has = \"file:logs/a.jsonl\" }\n\
         with = { files = [\"logs/*.jsonl\"], into = \"old\" }",
    )
}

fn settings() -> String {
    step(
        "settings",
        "use = \"config.map\"\ntarget = \"files\"\n\
         with = { from = \"settings.json\", to = \"settings.json\", set = { version = 2 }, keep = [\"name\"], \
         drop = [{ key = \"old\", why = \"nobody reads it\" }] }",
    )
}

fn grouped() -> Small {
    Small::new("grouped", "", &[&[script("a", ""), script("b", "")], &[script("c", ""), script("d", "")]])
}

fn alone() -> Small {
    let alone = "atomic = false";
    Small::new("alone", "", &[&[script("a", alone), script("b", alone)], &[script("c", alone), script("d", alone)]])
}

fn mixed() -> Small {
    Small::new(
        "mixed",
        "",
        &[&[script("a", ""), command()], &[archive(), settings(), script("b", "")], &[script("c", "")]],
    )
}

fn conditions() -> Small {
    let fresh =
        |id: &str, more: &str| script(id, &format!("when = {{ target = \"app\", lacks = \"table:{id}\" }}\n{more}"));
    Small::new(
        "conditions",
        "",
        &[
            &[archive(), fresh("a", ""), fresh("b", "atomic = false")],
            &[fresh("c", ""), script("d", "when = { target = \"app\", has = \"table:nowhere\" }")],
        ],
    )
}

/// The figures of both go up and down together.
fn two_databases() -> Small {
    let more = |id: &str, rest: &str| script(id, rest).replace("\"app\"", "\"more\"");
    Small::new(
        "two-databases",
        "",
        &[
            &[script("a", ""), more("more", ""), script("b", ""), command()],
            &[more("again", "atomic = false"), script("c", "")],
        ],
    )
}

/// Both databases are copied, one is undone by its copy and the other by its scripts.
fn restored_beside() -> Small {
    let copy = copy().replace("[\"app\"]", "[\"app\", \"more\"]");
    let more = script("more", "").replace("\"app\"", "\"more\"");
    let alone = "atomic = false\nunit = \"u\"";
    Small::new(
        "restored-beside",
        "",
        &[&[copy, more], &[one_way("a", alone), one_way("b", alone), one_way("c", alone), archive()]],
    )
}

fn restored() -> Small {
    let unit = "unit = \"u\"";
    Small::new("restored", "", &[&[copy()], &[one_way("a", unit), one_way("b", unit)], &[script("c", ""), command()]])
}

fn unit_over_phases() -> Small {
    let unit = "unit = \"u\"";
    Small::new("unit-over-phases", "", &[&[script("a", unit), script("b", "")], &[script("c", unit), script("d", "")]])
}

fn backfilled() -> Small {
    let notes = step(
        "notes",
        "use = \"sqlite.tables\"\ntarget = \"app\"\n\
         with.create = [\"CREATE TABLE notes (id INTEGER PRIMARY KEY, n INTEGER)\"]",
    );
    let fill = step(
        "fill",
        "use = \"sqlite.backfill\"\ntarget = \"app\"\n\
         with = { into = \"notes\", key = \"id\", key-stored = true, batch = 2, rows = \"SELECT id, n FROM orders\" }",
    );
    Small::new("backfilled", "", &[&[notes], &[fill, script("a", "")]])
}

fn mapped() -> Small {
    let wide = step(
        "wide",
        "use = \"sqlite.expand\"\ntarget = \"app\"\nwith = { mapping = \"tints.toml\", up = \"tints.sql\" }",
    );
    let fill =
        step("fill", "use = \"sqlite.backfill\"\ntarget = \"app\"\nwith = { mapping = \"tints.toml\", batch = 1 }");
    Small::new("mapped", "", &[&[wide], &[fill, script("a", "")]])
}

/// Fails when all else of its phase is done.
fn failing(policy: &str) -> Small {
    let fail = step(
        "fail",
        &format!(
            "use = \"command.run\"\nneeds = [\"b\", \"archive\", \"settings\"]\n\
             with = {{ apply = [\"test\", \"-e\", \"{MENDED}\"], changes = false }}"
        ),
    );
    Small::new(
        &format!("failing-{policy}"),
        &format!("on-failure = \"{policy}\""),
        &[&[script("a", ""), command()], &[script("b", ""), archive(), settings(), fail]],
    )
    .ending(if policy == "pause" { 104 } else { 100 })
}

/// Fails inside a transaction that it shares.
fn failing_group(policy: &str) -> Small {
    Small::new(
        &format!("failing-group-{policy}"),
        &format!("on-failure = \"{policy}\""),
        &[&[script("a", ""), command()], &[archive(), script("b", ""), script("bad", ""), script("c", "")]],
    )
    .ending(if policy == "pause" { 104 } else { 100 })
}
