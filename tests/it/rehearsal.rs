//! Rehearsals: the real system is only read, and what would not come back is named.

use std::fs;

use cutover_tests::{Tree, run};

use crate::system::{System, scripts};

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);
                      INSERT INTO orders VALUES (1, 'one'), (2, 'two');";

fn without_state(system: &System) -> Tree {
    Tree::of(&system.root()).filter(|p| !p.starts_with(".cutover"))
}

#[test]
fn a_rehearsal_proves_the_way_there_and_back_and_only_reads_the_real_system() {
    for journal in ["DELETE", "WAL"] {
        let system = System::new(ORDERS, "");
        scripts(&system, 3, 2, "");
        system.ask(&format!("PRAGMA journal_mode = {journal}"));
        fs::create_dir(system.root().join("docs")).unwrap();
        fs::write(system.root().join("docs/readme"), "kept").unwrap();
        let before = without_state(&system);
        let ran = system.cutover("rehearse", &[]).expect_code(0);
        for said in ["passed", "s2", "recovery time (rollback)", "space needed", "estimate of the real run"] {
            assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
        }
        before.assert_same(&without_state(&system), "after a rehearsal");
        assert!(
            !system.root().join(".cutover/scratch").exists() && !system.root().join(".cutover/journal.db").exists()
        );
    }
}

#[test]
fn a_rollback_that_leaves_something_fails_the_rehearsal_and_table_and_rows_are_named() {
    let system = System::new(ORDERS, "");
    scripts(&system, 2, 1, "");
    system.write("1.sql", "UPDATE orders SET note = 'TWO' WHERE id = 2; INSERT INTO orders VALUES (3, 'three');");
    system.write("1.down.sql", "DELETE FROM orders WHERE id = 3;");
    let before = without_state(&system);
    let ran = system.cutover("rehearse", &[]).expect_code(100);
    for said in [
        "after the rollback: app: table orders: content changed (2 entries then and now)",
        "table orders: only in the original: id=2, note=\"two\"",
        "table orders: not in the original: id=2, note=\"TWO\"",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
    }
    before.assert_same(&without_state(&system), "after a failed rehearsal");
    let refused = system.cutover("apply", &["--require-rehearsal"]).expect_code(102).stderr;
    assert!(refused.contains("has not passed a rehearsal"), "{refused}");
}

#[test]
fn apply_can_require_a_rehearsal_of_this_plan_on_this_structure() {
    let system = System::new(ORDERS, "");
    scripts(&system, 3, 1, "");
    let refused = |named: &str| {
        let said = system.cutover("apply", &["--require-rehearsal"]).expect_code(102).stderr;
        assert!(said.contains(named) && said.contains("cutover rehearse"), "{said}");
    };
    refused("has not passed a rehearsal here");
    system.cutover("rehearse", &["--to", "s1"]).expect_code(0);
    refused("went only to `s1`");
    system.cutover("rehearse", &[]).expect_code(0);
    system.ask("CREATE INDEX late ON orders(note)");
    refused("app: index late is new");
    system.ask("DROP INDEX late");
    // Killed, it goes on: the target moved by itself.
    let mut killed = system.command("apply", &["--require-rehearsal"]);
    run(killed.env("FAILPOINTS", "journal-append=3*off->return"));
    system.cutover("apply", &["--require-rehearsal"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), "3");
}

#[test]
fn only_what_is_pending_is_rehearsed_and_taken_back_again() {
    let system = System::new(ORDERS, "");
    scripts(&system, 4, 2, "");
    system.cutover("apply", &["--to", "p0"]).expect_code(0);
    let ran = system.cutover("rehearse", &[]).expect_code(0);
    assert!(ran.stdout.contains("s2") && !ran.stdout.contains("  s1 "), "{}", ran.stdout);
    assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), "2");
    system.cutover("apply", &["--require-rehearsal"]).expect_code(0);
}

const PROGRAMS: &str = r#"
name = "programs"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "outside"
use = "command.run"
with = { apply = ["sh", "-c", "echo ran >> OUT"], rollback = ["true"] }
[[phase.step]]
id = "substituted"
use = "command.run"
with = { apply = ["sh", "-c", "echo ran >> OUT"], rollback = ["sh", "-c", "echo back >> OUT"], rehearse = ["touch", "stand-in"] }
[[phase.step]]
id = "inside"
use = "command.run"
with = { apply = ["sh", "-c", "test -e stand-in && touch made"], rollback = ["rm", "-f", "made"], contained = true }
needs = ["substituted"]
"#;

#[test]
fn what_was_applied_once_and_taken_back_is_rehearsed_as_if_it_were_new() {
    let system = System::new(ORDERS, "");
    scripts(&system, 3, 1, "");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--to", "s0", "--yes"]).expect_code(0);
    let said = system.cutover("rehearse", &[]).expect_code(0).stdout;
    assert!(said.contains("s1") && said.contains("s2") && !said.contains("s0"), "{said}");
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    let said = system.cutover("rehearse", &[]).expect_code(0).stdout;
    assert!(said.contains("s0") && said.contains("s1") && said.contains("s2"), "{said}");
}

#[test]
fn programs_that_reach_outside_are_not_run_and_are_listed_and_a_stand_in_is_run() {
    let system = System::new("", "");
    let out = system.file("out").display().to_string();
    system.write("plan.toml", &PROGRAMS.replace("OUT", &out));
    let ran = system.cutover("rehearse", &["--keep"]).expect_code(0);
    assert!(ran.stdout.contains("not rehearsed: 1 step") && ran.stdout.contains("outside "), "{}", ran.stdout);
    assert!(!system.file("out").exists(), "a program of the real system was run");
    assert!(!system.root().join("made").exists() && !system.root().join("stand-in").exists());
    assert!(system.root().join(".cutover/scratch/root/made").exists(), "the copy is kept after the second apply");
}

#[test]
fn a_link_into_the_root_leads_into_the_copy() {
    let step = "[[phase.step]]\nid = \"write\"\nuse = \"command.run\"\nwith = { apply = [\"sh\", \"-c\", \"echo new > link\"], rollback = [\"sh\", \"-c\", \"echo old > link\"], contained = true }\n";
    let system = System::new("", &format!("name = \"links\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n{step}"));
    let root = system.root().canonicalize().unwrap();
    fs::write(root.join("real"), "old\n").unwrap();
    std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
    system.cutover("rehearse", &["--keep"]).expect_code(0);
    assert_eq!(fs::read_to_string(root.join("real")).unwrap(), "old\n");
    assert_eq!(fs::read_to_string(root.join(".cutover/scratch/root/real")).unwrap(), "new\n");
}

const SECRET: &str = r#"
name = "secrets"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "keys"
use = "command.run"
with = { apply = ["sqlite3", "app.db", "UPDATE orders SET note = '${env.S3CRET}' WHERE id = 1"], rollback = ["true"], contained = true, writes = ["app"] }
"#;

#[test]
fn a_row_that_differs_does_not_show_the_plans_secret() {
    let system = System::new(ORDERS, SECRET);
    let ran = run(system.command("rehearse", &[]).env("S3CRET", "hunter2-canary"));
    assert_eq!(ran.code, Some(100), "{}", ran.stderr);
    assert!(ran.stdout.contains("not in the original: id=1, note=\"***\""), "{}", ran.stdout);
    assert!(!ran.stdout.contains("hunter2-canary"));
}

#[test]
fn a_run_that_has_not_ended_is_not_rehearsed() {
    let system = System::new(ORDERS, "");
    scripts(&system, 3, 1, "on-failure = \"pause\"");
    system.write("1.sql", "nonsense;");
    system.cutover("apply", &[]).expect_code(104);
    let refused = system.cutover("rehearse", &[]).expect_code(100).stderr;
    assert!(refused.contains("has not come to its end") && refused.contains("cutover explain"), "{refused}");
}

#[test]
fn a_folder_that_lies_outside_of_the_root_is_rehearsed_on_a_copy_with_its_applied_steps() {
    let plan = |more: &str| {
        format!(
            "name = \"out\"\n[targets.conf]\nkind = \"dir\"\npath = \"conf\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
             [[phase.step]]\nid = \"one\"\nuse = \"config.map\"\ntarget = \"conf\"\n\
             with = {{ from = \"a.json\", to = \"a.json\", set = {{ version = 2 }}, keep = [\"name\"] }}\n{more}"
        )
    };
    let system = System::new(ORDERS, &plan(""));
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("real/deep")).unwrap();
    for name in ["a.json", "b.json", "deep/c.json"] {
        fs::write(outside.path().join("real").join(name), "{ \"name\": \"shop\" }").unwrap();
    }
    let bind = format!("conf={}", outside.path().join("real").display());
    system.cutover("apply", &["--bind", &bind]).expect_code(0);
    let more = plan(
        "[[phase.step]]\nid = \"two\"\nuse = \"config.map\"\ntarget = \"conf\"\n\
         with = { from = \"b.json\", to = \"b.json\", set = { version = 3 }, keep = [\"name\"] }\n",
    );
    system.write("plan.toml", &more);
    let before = Tree::of(outside.path());
    let ran = system.cutover("rehearse", &["--bind", &bind, "--jobs", "1"]);
    assert_eq!(ran.code, Some(0), "{}", system.seen(&ran));
    assert!(ran.stdout.contains("two") && ran.stdout.contains("passed"), "{}", ran.stdout);
    before.assert_same(&Tree::of(outside.path()), "after a rehearsal");
    system.cutover("apply", &["--bind", &bind, "--require-rehearsal"]).expect_code(0);
}

#[test]
fn a_target_that_changes_while_it_is_copied_proves_nothing() {
    let system = System::new(ORDERS, "");
    scripts(&system, 2, 1, "");
    let mut slow = system.command("rehearse", &[]);
    let child = slow.env("FAILPOINTS", "rehearsal.begun=sleep(2000)").stdout(std::process::Stdio::piped());
    let child = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !system.root().join(".cutover/scratch/.cutover-scratch").exists() {
        assert!(began.elapsed().as_secs() < 60, "the rehearsal did not begin");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    system.ask("CREATE TABLE need (a)");
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(75), "{said}");
    assert!(said.contains("changed while it was copied: app: table need is new"), "{said}");
    system.ask("DROP TABLE need");
    system.cutover("apply", &["--require-rehearsal"]).expect_code(102);
}
