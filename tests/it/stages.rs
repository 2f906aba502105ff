//! A migration without downtime through all its stages by the real program, and back from each of them, seen by sqlite3.

use crate::system::System;

const OLD: &str = "PRAGMA journal_mode = WAL;
CREATE TABLE artifacts (id INTEGER PRIMARY KEY AUTOINCREMENT, spec_id TEXT NOT NULL, stage TEXT NOT NULL, -- of the plan
  agent TEXT NOT NULL, content_json TEXT NOT NULL, response_text TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX idx_spec_stage ON artifacts(spec_id, stage);
CREATE TABLE changes (n INTEGER);
CREATE TRIGGER counted AFTER DELETE ON artifacts BEGIN INSERT INTO changes VALUES (OLD.id); END;
INSERT INTO artifacts (spec_id, stage, agent, content_json, response_text, created_at) VALUES
  ('S1', 'plan', 'claude', '{}', 'said', '2025-11-13 10:00:00'), ('S1', 'plan', 'gemini', '{\"a\":\"ü\"}', NULL, '2025-11-13 10:00:00'),
  ('S1', 'tasks', 'claude', 'not json', NULL, '2025-11-13T10:00:05.5Z'), ('S2', 'plan', 'gpt', '{}', NULL, '2025-11-14');
DELETE FROM artifacts WHERE id = 4; INSERT INTO artifacts (spec_id, stage, agent, content_json, created_at) VALUES
  ('S2', 'plan', 'gpt', '{}', '2025-11-14 00:00:01');";

const NEW: &str = "
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, spec_id TEXT NOT NULL, stage TEXT NOT NULL, at INTEGER NOT NULL,
  ok BOOLEAN NOT NULL, UNIQUE (spec_id, stage, at));
CREATE TABLE outputs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  agent TEXT NOT NULL, model TEXT, content TEXT NOT NULL, at INTEGER NOT NULL);
";

const MAPPING: &str = "
name = 'consensus'
[[table]]
name = 'outputs'
old = 'artifacts'
new = 'outputs'
key = [{ old = 'id', new = 'id' }]
[table.forth]
agent = 'old.agent'
content = 'old.content_json'
at = \"CAST(strftime('%s', old.created_at) AS INTEGER) * 1000\"
[table.back]
spec_id = 'parent.spec_id'
stage = 'parent.stage'
agent = 'new.agent'
content_json = 'new.content'
created_at = { sql = \"strftime('%Y-%m-%d %H:%M:%S', new.at / 1000, 'unixepoch')\", lossy = 'seconds' }
[table.check]
at = { from = '2000-01-01', to = '2100-01-01', unit = 'ms' }
[table.parent]
new = 'runs'
id = 'id'
refers = 'run_id'
key = { spec_id = 'old.spec_id', stage = 'old.stage', at = \"CAST(strftime('%s', old.created_at) AS INTEGER) * 1000\" }
set = { ok = '1' }
";

const FILL: &str = "UPDATE _cutover_guard SET origin = 'backfill';
INSERT OR IGNORE INTO runs (spec_id, stage, at, ok)
  SELECT spec_id, stage, CAST(strftime('%s', created_at) AS INTEGER) * 1000, 1 FROM artifacts ORDER BY id;
INSERT OR IGNORE INTO outputs (id, run_id, agent, content, at)
  SELECT a.id, r.id, a.agent, a.content_json, r.at FROM artifacts a JOIN runs r ON r.spec_id = a.spec_id
    AND r.stage = a.stage AND r.at = CAST(strftime('%s', a.created_at) AS INTEGER) * 1000;
UPDATE _cutover_guard SET origin = NULL;
";

/// The steps in order; each but the second and third is a stage.
const STEPS: [&str; 7] = ["expand", "fill", "same", "readers", "writers", "copy", "contract"];

pub(crate) fn plan() -> String {
    let mut text = "name = \"consensus\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n".to_owned();
    let on_app = |kind: &str, with: &str| format!("use = \"sqlite.{kind}\"\ntarget = \"app\"\nwith = {{ {with} }}");
    let of_mapping = |kind: &str, more: &str| on_app(kind, &format!("mapping = \"mapping.toml\"{more}"));
    for id in STEPS {
        let step = match id {
            "expand" => of_mapping("expand", ", up = \"new.sql\""),
            "fill" => on_app("script", "up = \"fill.sql\", down = \"nothing.sql\""),
            "same" => of_mapping("parity", ""),
            "readers" => of_mapping("cutover", ", to = \"prefer-new\""),
            "writers" => of_mapping("cutover", ", to = \"new-only\""),
            "copy" => "use = \"target.snapshot\"\nwith = { targets = [\"app\"], into = \"backups\" }".to_owned(),
            _ => of_mapping("contract", ""),
        };
        text.push_str(&format!(
            "[[phase]]\nname = \"{id}\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"{id}\"\n{step}\n"
        ));
    }
    text
}

pub(crate) fn system() -> System {
    let system = System::new(OLD, &plan());
    system.write("new.sql", NEW);
    system.write("mapping.toml", MAPPING);
    system.write("fill.sql", FILL);
    system.write("nothing.sql", "SELECT 1;\n");
    system
}

pub(crate) fn ends_well(system: &System, command: &str, args: &[&str]) -> String {
    let ran = system.cutover(command, args);
    assert_eq!(ran.code, Some(0), "{command} {args:?}\n{}{}", ran.stdout, ran.stderr);
    format!("{}{}", ran.stdout, ran.stderr)
}

/// Runs it, and what it says when it ends otherwise than well.
fn fails(system: &System, command: &str, args: &[&str]) -> String {
    let ran = system.cutover(command, args);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(100), "{command} {args:?}\n{said}");
    said
}

const ROWS: &str = "SELECT quote(id), quote(spec_id), quote(stage), quote(agent), quote(content_json), quote(response_text), \
    quote(created_at) FROM artifacts ORDER BY id";

/// Schema of all that is not Cutover's, word by word.
const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'cutover\\_%' ESCAPE '\\' \
    AND name NOT LIKE 'sqlite_autoindex_cutover%' AND name <> 'sqlite_stat1' ORDER BY type, name";

/// Differences of both sides, as somebody asks who knows nothing of us.
pub(crate) const UNLIKE: &str = "WITH o AS (SELECT id, spec_id, stage, agent, content_json, strftime('%s', created_at) FROM artifacts),
    n AS (SELECT p.id, r.spec_id, r.stage, p.agent, p.content, CAST(p.at / 1000 AS TEXT) FROM outputs p JOIN runs r ON r.id = p.run_id)
    SELECT (SELECT count(*) FROM (SELECT * FROM o EXCEPT SELECT * FROM n)) || ' ' || (SELECT count(*) FROM (SELECT * FROM n EXCEPT SELECT * FROM o))";

/// A new program writes: one row more, one changed, one gone.
const WRITES: &str = "PRAGMA foreign_keys = ON; INSERT INTO runs (spec_id, stage, at, ok) VALUES ('S9', 'plan', 1763200000123, 1);
    INSERT INTO outputs (run_id, agent, model, content, at) VALUES (last_insert_rowid(), 'new', 'm', '[]', 1763200000123);
    UPDATE outputs SET agent = 'Claude' WHERE id = 3; DELETE FROM outputs WHERE id = 2;";

/// What an old program sees of that: the raw time of the row that was changed elsewhere is as it was.
const SEEN: &str = "1|'S1'|'plan'|'claude'|'{}'|'said'|'2025-11-13 10:00:00'\n\
    3|'S1'|'tasks'|'Claude'|'not json'|NULL|'2025-11-13T10:00:05.5Z'\n\
    5|'S2'|'plan'|'gpt'|'{}'|NULL|'2025-11-14 00:00:01'\n\
    6|'S9'|'plan'|'new'|'[]'|NULL|'2025-11-15 09:46:40'";

#[test]
fn what_new_programs_write_at_any_stage_is_in_the_old_tables_after_the_way_back() {
    for (last, step) in STEPS.iter().enumerate().filter(|(_, step)| !["fill", "copy"].contains(step)) {
        let system = system();
        let schema = system.ask(SCHEMA);
        ends_well(&system, "apply", &["--to", step]);
        if *step == "expand" {
            // Rows that no backfill has shown yet are there for old programs only.
            system.ask("INSERT INTO runs (spec_id, stage, at, ok) VALUES ('S9', 'plan', 1763200000123, 1);
                INSERT INTO outputs (run_id, agent, model, content, at) VALUES (last_insert_rowid(), 'new', 'm', '[]', 1763200000123)");
        } else {
            system.ask(WRITES);
        }
        if last < 6 && last > 0 {
            assert_eq!(system.ask(ROWS), SEEN, "at {step}");
            assert_eq!(system.ask(UNLIKE), "0 0", "at {step}");
        }
        let said = ends_well(&system, "rollback", &["--to", "start", "--yes"]);
        let ways = STEPS[..=last].iter().filter(|step| ["expand", "readers", "writers", "contract"].contains(step));
        let told = |line: &&str| line.contains("(RTO), with 0 ") && line.contains("rows lost (RPO)");
        assert_eq!(said.lines().filter(told).count(), ways.count(), "from {step}\n{said}");
        if *step == "expand" {
            assert!(system.ask(ROWS).ends_with("6|'S9'|'plan'|'new'|'[]'|NULL|'2025-11-15 09:46:40'"), "from {step}");
        } else {
            assert_eq!(system.ask(ROWS), SEEN, "from {step}");
        }
        assert_eq!(system.ask(SCHEMA), schema, "from {step}");
        assert_eq!(system.ask("SELECT seq FROM sqlite_sequence WHERE name = 'artifacts'"), "6", "from {step}");
        // The trigger of the old table runs again, and the plan applies again.
        system.ask("DELETE FROM artifacts WHERE id = 6");
        assert_eq!(system.ask("SELECT max(n) FROM changes"), "6", "from {step}");
        ends_well(&system, "apply", &[]);
    }
}

#[test]
fn a_way_there_and_back_without_a_write_leaves_every_byte_of_the_old_tables() {
    let system = system();
    let before =
        [ROWS, SCHEMA, "SELECT name, seq FROM sqlite_sequence WHERE name = 'artifacts'"].map(|sql| system.ask(sql));
    ends_well(&system, "apply", &[]);
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name = 'artifacts'"), "0");
    assert!(ends_well(&system, "status", &[]).contains("app: mapping consensus is at stage contracted"));
    for (stage, step) in [("new-only", "copy"), ("prefer-new", "readers"), ("dual-write", "same")] {
        ends_well(&system, "rollback", &["--to", step, "--yes"]);
        assert!(ends_well(&system, "status", &[]).contains(&format!("app: mapping consensus is at stage {stage}")));
        assert_eq!(system.ask(ROWS), before[0], "at {stage}");
        assert_eq!(system.ask(UNLIKE), "0 0", "at {stage}");
    }
    ends_well(&system, "rollback", &["--to", "start", "--yes"]);
    let after =
        [ROWS, SCHEMA, "SELECT name, seq FROM sqlite_sequence WHERE name = 'artifacts'"].map(|sql| system.ask(sql));
    assert_eq!(after, before);
}

#[test]
fn old_programs_are_refused_in_our_words_where_only_new_ones_may_write() {
    let system = system();
    ends_well(&system, "apply", &["--to", "writers"]);
    let conn = rusqlite::Connection::open(system.db()).unwrap();
    for write in [
        "INSERT OR IGNORE INTO artifacts (spec_id, stage, agent, content_json) VALUES ('S', 's', 'a', 'c')",
        "REPLACE INTO artifacts (id, spec_id, stage, agent, content_json) VALUES (1, 'S', 's', 'a', 'c')",
        "UPDATE OR REPLACE artifacts SET agent = 'x'",
        "DELETE FROM artifacts",
    ] {
        let said = conn.execute_batch(write).unwrap_err().to_string();
        let expected = "table `artifacts` is closed to writes: `consensus` has moved on to `outputs` (stage new-only)";
        assert!(said.starts_with(expected), "{write}: {said}");
    }
    assert_eq!(system.ask("SELECT count(*) FROM artifacts"), "4");
}

#[test]
fn a_cutover_stays_where_it_is_when_one_row_differs_and_names_it() {
    let system = system();
    ends_well(&system, "apply", &["--to", "same"]);
    // Somebody got past the triggers.
    system.ask("UPDATE _cutover_guard SET origin = 'x'; UPDATE outputs SET content = 'lost' WHERE id = 3; UPDATE _cutover_guard SET origin = NULL");
    let said = fails(&system, "apply", &[]);
    let expected = "outputs: 1 row of `artifacts` is otherwise in `outputs`: id 3, content_json is \"not json\" and would come back as \"lost\"";
    assert!(said.contains(expected), "{said}");
    assert_eq!(system.ask("SELECT stage FROM _cutover_stage"), "dual-write");
}

#[test]
fn a_contract_refuses_without_a_snapshot_and_under_what_others_built_on_the_old_tables() {
    let without = system();
    let (before, rest) =
        plan().split_once("[[phase]]\nname = \"copy\"").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let behind = rest.split_once("[[phase]]").map(|(_, b)| format!("[[phase]]{b}")).unwrap();
    without.write("plan.toml", &format!("{before}{behind}"));
    let said = fails(&without, "apply", &[]);
    assert!(said.contains("no earlier step of the plan takes a snapshot of `app`"), "{said}");

    let seen = system();
    seen.ask("CREATE VIEW claudes AS SELECT * FROM artifacts WHERE agent = 'claude'");
    let said = fails(&seen, "apply", &[]);
    assert!(said.contains("view `claudes` names `artifacts`"), "{said}");

    let lost = system();
    ends_well(&lost, "apply", &["--to", "copy"]);
    std::fs::remove_dir_all(lost.root().join("backups")).unwrap();
    let ran = lost.cutover("apply", &[]);
    assert_ne!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(lost.ask("SELECT count(*) FROM artifacts"), "4");

    // As long as it was, with one byte that is another one.
    let damaged = system();
    ends_well(&damaged, "apply", &["--to", "copy"]);
    let copy = damaged.root().join("backups/app/app.db");
    let mut bytes = std::fs::read(&copy).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let said = fails(&damaged, "apply", &[]);
    assert!(said.contains("the snapshot of step `copy` is not whole") && said.contains("was changed since"), "{said}");
    assert_eq!(damaged.ask("SELECT count(*) FROM artifacts"), "4");
}

/// The same with a row whose time is none, one that is not mapped, and an old table that is stricter than the new one.
fn harder() -> System {
    let old = OLD.replace("agent TEXT NOT NULL,", "agent TEXT NOT NULL CHECK (length(agent) < 20),");
    let more = "INSERT INTO artifacts (id, spec_id, stage, agent, content_json, response_text, created_at) VALUES
        (20, 'S3', 'plan', 'claude', '{}', x'00ff', 'garbage'), (21, 'S3', 'draft', 'claude', 1.5, NULL, NULL);";
    let system = system();
    std::fs::remove_file(system.db()).unwrap();
    cutover_tests::sqlite3(system.db(), format!("{old}{more}"));
    let mapped = |text: &str| text.replace("key = [{ old", "when = \"old.stage <> 'draft'\"\nkey = [{ old");
    system.write("mapping.toml", &mapped(MAPPING));
    // What shows old rows that nobody touched: a write of them that changes nothing.
    system.write("fill.sql", "UPDATE artifacts SET agent = agent;\n");
    system
}

#[test]
fn rows_in_quarantine_pass_only_by_leave_and_come_back_whole_as_do_rows_that_are_not_mapped() {
    let system = harder();
    let said = fails(&system, "apply", &["--to", "same"]);
    assert!(said.contains("outputs: 1 row is in quarantine: 20 of `artifacts`"), "{said}");

    let text = plan();
    let allowed = ["parity", "cutover", "contract"].iter().fold(text, |text, kind| {
        let (with, more) = ("mapping = \"mapping.toml\"", ", quarantined = 1");
        text.split("[[phase]]")
            .map(|part| {
                if part.contains(&format!("sqlite.{kind}")) {
                    part.replace(with, &format!("{with}{more}"))
                } else {
                    part.to_owned()
                }
            })
            .collect::<Vec<_>>()
            .join("[[phase]]")
    });
    system.write("plan.toml", &allowed);
    let before = system.ask(ROWS);
    ends_well(&system, "apply", &[]);
    assert_eq!(system.ask("SELECT count(*) FROM outputs"), "4");
    let said = ends_well(&system, "rollback", &["--to", "copy", "--yes"]);
    assert!(said.contains("0 of 6 rows lost (RPO)"), "{said}");
    assert_eq!(system.ask(ROWS), before);

    // A row that the old table does not take is not lost: it is where it was written, and the way back says so.
    ends_well(&system, "apply", &[]);
    system.ask("INSERT INTO outputs (id, run_id, agent, content, at) SELECT 50, id, 'an agent with a long name', 'c', at FROM runs LIMIT 1");
    let said = ends_well(&system, "rollback", &["--to", "copy", "--yes"]);
    assert!(said.contains("1 row that was written since does not fit"), "{said}");
    assert_eq!(system.ask(ROWS), before);
    assert_eq!(system.ask("SELECT agent FROM outputs WHERE id = 50"), "an agent with a long name");
    assert_eq!(
        system.ask("SELECT side || key || reason FROM _cutover_quarantine WHERE key = '50'"),
        "new50CHECK constraint failed: length(agent) < 20"
    );
}

#[test]
fn a_time_that_no_clock_has_shown_is_told_on_the_way_back_and_in_its_way_nowhere() {
    let system = system();
    let before = system.ask(ROWS);
    ends_well(&system, "apply", &["--to", "writers"]);
    // Old programs see it, and the next move on would refuse it.
    system.ask("UPDATE outputs SET at = 17 WHERE id = 3");
    let said = fails(&system, "apply", &[]);
    assert!(said.contains("`at` outside of"), "{said}");
    let said = ends_well(&system, "rollback", &["--to", "start", "--yes"]);
    assert!(said.contains("1 row of `outputs` with `at` outside of"), "{said}");
    assert_eq!(system.ask(ROWS), before.replace("'2025-11-13T10:00:05.5Z'", "'1970-01-01 00:00:00'"));
}

/// The lines of `text` about times and rows of the way back, with their times made the same.
fn promised(text: &str) -> String {
    let lines = text.lines().filter(|line| line.contains("(RTO)"));
    let timeless = |line: &str| {
        let words = line.trim().split(' ').map(|word| match word.parse::<f64>() {
            Ok(_) if word.contains('.') => "N.NNN",
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    lines.map(timeless).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_way_back_says_how_long_it_takes_and_that_no_row_is_lost() {
    let system = system();
    let forth = promised(&ends_well(&system, "apply", &[]));
    system.ask("INSERT INTO outputs (id, run_id, agent, content, at) SELECT 50, id, 'new', 'c', at FROM runs LIMIT 1");
    let back = promised(&ends_well(&system, "rollback", &["--to", "start", "--yes"]));
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("stages-promised", format!("{forth}\n\n{back}"));
    });
    let system = harder();
    ends_well(&system, "apply", &["--to", "expand"]);
    system.ask(
        "INSERT INTO runs (spec_id, stage, at, ok) VALUES ('S9', 'plan', 1763200000000, 1);
        INSERT INTO outputs (run_id, agent, content, at) SELECT id, 'an agent with a long name', 'c', at FROM runs",
    );
    let back = promised(&ends_well(&system, "rollback", &["--to", "start", "--yes"]));
    assert!(back.ends_with("with 0 rows lost (RPO): 1 that the old tables do not take is set aside"), "{back}");
}

#[test]
fn a_contract_stays_where_it_is_when_one_row_differs_or_is_in_quarantine_and_names_it() {
    let differs = system();
    ends_well(&differs, "apply", &["--to", "copy"]);
    differs.ask("UPDATE _cutover_guard SET origin = 'x'; UPDATE outputs SET content = 'lost' WHERE id = 3; DELETE FROM outputs WHERE id = 5; UPDATE _cutover_guard SET origin = NULL");
    let said = fails(&differs, "apply", &[]);
    for expected in [
        "the old tables stay: outputs: 1 row of `artifacts` is not in `outputs`: id 5",
        "outputs: 1 row of `artifacts` is otherwise in `outputs`: id 3, content_json is \"not json\" and would come back as \"lost\"",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let held = system();
    ends_well(&held, "apply", &["--to", "copy"]);
    held.ask("INSERT INTO _cutover_quarantine VALUES ('outputs', 'old', '3', 'at is NULL', 0, '{}', '')");
    let said = fails(&held, "apply", &[]);
    assert!(
        said.contains("the old tables stay: outputs: 1 row is in quarantine: 3 of `artifacts` (at is NULL)"),
        "{said}"
    );
    for system in [differs, held] {
        assert_eq!(system.ask("SELECT stage FROM _cutover_stage"), "new-only");
        assert_eq!(system.ask("SELECT count(*) FROM artifacts"), "4");
        assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name LIKE '_cutover_raw%'"), "0");
    }
}

#[test]
fn a_cutover_stays_where_it_is_when_a_row_is_in_quarantine_on_the_way_there_and_back() {
    let system = system();
    ends_well(&system, "apply", &["--to", "same"]);
    system.ask("INSERT INTO artifacts (spec_id, stage, agent, content_json, created_at) VALUES ('S3', 'plan', 'x', '{}', 'garbage')");
    for step in ["readers", "writers"] {
        let said = fails(&system, "apply", &["--to", step]);
        let expected = "mapping `consensus` stays where it is: outputs: 1 row is in quarantine: 6 of `artifacts`";
        assert!(said.contains(expected), "{step}: {said}");
        assert_eq!(system.ask("SELECT stage FROM _cutover_stage"), "dual-write");
    }
    system.ask("DELETE FROM artifacts WHERE id = 6");
    ends_well(&system, "apply", &["--to", "readers"]);
    // What differs is in the way of the way back, too: programs would see other rows from one moment to the next.
    system.ask("UPDATE _cutover_guard SET origin = 'x'; UPDATE outputs SET content = 'lost' WHERE id = 3; UPDATE _cutover_guard SET origin = NULL");
    let ran = system.cutover("rollback", &["--yes"]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(101), "{said}");
    assert!(said.contains("would come back as \"lost\""), "{said}");
    assert_eq!(system.ask("SELECT stage FROM _cutover_stage"), "prefer-new");
    system.ask("UPDATE outputs SET content = 'not json' WHERE id = 3");
    ends_well(&system, "rollback", &["--yes"]);
    assert_eq!(system.ask("SELECT stage FROM _cutover_stage"), "dual-write");
}

#[test]
fn a_group_of_which_a_reader_of_the_new_tables_would_get_less_is_named_by_parity_and_in_the_cutover() {
    // Of S1/plan one row is on the new side, and a reader that finds it does not look for the other.
    const HIDDEN: &str = "UPDATE _cutover_guard SET origin = 'x'; DELETE FROM outputs WHERE id = 2; UPDATE _cutover_guard SET origin = NULL";
    let expected = "spec_id \"S1\", stage \"plan\" has 2 rows, a reader of the new schema gets 1";
    for step in ["same", "readers", "writers", "contract"] {
        let system = system();
        let before = STEPS[STEPS.iter().position(|s| *s == step).unwrap() - 1];
        ends_well(&system, "apply", &["--to", before]);
        let stage = system.ask("SELECT stage FROM _cutover_stage");
        system.ask(HIDDEN);
        let said = fails(&system, "apply", &["--to", step]);
        assert!(said.contains(expected), "{step}: {said}");
        assert_eq!(system.ask("SELECT stage FROM _cutover_stage"), stage, "{step}");
    }
}

#[test]
fn status_tells_the_stage_of_a_mapping_and_what_programs_counted_in_text_and_in_json() {
    let system = system();
    let told = |format: &str| ends_well(&system, "status", &["--format", format]);
    ends_well(&system, "apply", &["--to", "fill"]);
    assert!(
        told("text").lines().any(|line| line == "app: mapping consensus is at stage dual-write"),
        "{}",
        told("text")
    );
    ends_well(&system, "apply", &["--to", "readers"]);
    // As the library `cutover-dual` writes them, and as it did before it told times apart.
    system.ask("INSERT INTO _cutover_counters VALUES ('consensus', 'reads.new', 900), ('consensus', 'reads.fallback', 7),
        ('consensus', 'reads.mismatched', 0), ('consensus', 'reads.new.below-us.16', 800), ('consensus', 'reads.new.below-us.32', 95),
        ('consensus', 'reads.new.below-us.more', 5), ('consensus', 'reads.new.longest-us', 700412), ('consensus', 'reads.fallback.below-us.64', 7),
        ('consensus', 'reads.fallback.longest-us', 41), ('consensus', 'writes.below-us.16', 1), ('consensus', 'writes.longest-us', 12),
        ('other', 'reads.new', 1)");
    let lines = [
        "app: mapping consensus is at stage prefer-new; counted: reads.fallback 7, reads.new 900",
        "app: mapping consensus, µs (p50, p99, longest): reads.fallback 41, 41, 41; reads.new 16, 32, 700412; writes 12, 12, 12",
    ];
    for line in lines {
        assert!(told("text").lines().any(|found| found == line), "{}", told("text"));
    }
    let document: serde_json::Value = serde_json::from_str(&told("json")).unwrap();
    let remarks = document["remarks"].as_array().unwrap();
    assert!(lines.iter().all(|line| remarks.contains(&(*line).into())), "{document}");
    // Who only looks leaves no trace.
    assert_eq!(system.ask("SELECT count(*), sum(value) FROM _cutover_counters"), "12|702281");
}
