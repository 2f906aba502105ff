//! `prune`: deletes what no rollback needs, after showing it, and nothing else.

use std::fs;

use crate::system::System;

const PLAN: &str = r#"
name = "pruned"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "copies"
layer = "storage"
[[phase.step]]
id = "copies"
use = "target.snapshot"
with = { targets = ["app"], into = "backups/set" }
[[phase]]
name = "change"
layer = "storage"
[[phase.step]]
id = "rewrite"
use = "sqlite.script"
target = "app"
with = { up = "rewrite.sql" }
"#;

#[test]
fn earlier_sets_and_what_was_set_aside_go_and_what_a_rollback_needs_stays() {
    let system = System::new("CREATE TABLE t (a); INSERT INTO t VALUES ('one');", PLAN);
    system.write("rewrite.sql", "UPDATE t SET a = upper(a);");
    assert!(system.cutover("prune", &[]).expect_code(0).stdout.contains("nothing to delete"));
    for _ in 0..3 {
        system.cutover("apply", &[]).expect_code(0);
        system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
        // Sets are named by the second in which they were taken.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    system.cutover("apply", &[]).expect_code(0);
    let backups = || fs::read_dir(system.root().join("backups")).unwrap().count();
    assert_eq!(backups(), 4);
    let refused = system.cutover("prune", &[]).expect_code(2);
    assert!(
        refused.stdout.contains("an earlier set of snapshots") && refused.stdout.contains("what a rollback set aside")
    );
    assert_eq!(backups(), 4, "it was not confirmed");
    fs::write(system.root().join(".cutover/journal.damaged-20260101T000000Z.db"), "damaged").unwrap();
    let shown = system.cutover("prune", &["--keep", "0", "--yes"]).expect_code(0).stdout;
    assert!(shown.contains("7 leftovers, ") && shown.ends_with("deleted\n"), "{shown}");
    assert_eq!(backups(), 1);
    // The way back is whole.
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT a FROM t"), "one");
}
