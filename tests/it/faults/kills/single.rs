//! kill -9 between any two journal records, then the same command again.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use cutover_runner::demo;
use cutover_tests::{Ran, run, sqlite3};

use super::POINTS;
use crate::system::{System, impatient, on, scripts};

/// Runs `command` with a kill at the `n`th passage of `point`; then again without. True when it was killed at all.
fn killed_then_again(plan: &Path, root: &Path, args: (&str, &[&str]), point: &str, n: usize) -> (bool, Ran) {
    let (command, more) = args;
    let first = run(on(plan, root, command, more).env("FAILPOINTS", format!("{point}={n}*off->return")));
    let killed = first.code.is_none();
    let again = if killed { run(&mut on(plan, root, command, more)) } else { first };
    (killed, again)
}

#[test]
fn apply_and_rollback_survive_a_kill_at_every_record() {
    for point in POINTS {
        for n in 0.. {
            let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
            scripts(&system, 6, 2, "");
            let before = system.ask(".dump");
            let (plan, root) = (system.file("plan.toml"), system.root());
            let (killed, again) = killed_then_again(&plan, &root, ("apply", &[]), point, n);
            again.expect_code(0);
            assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger WHERE success"), "6", "{point} {n}");
            assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name LIKE 'i_'"), "6", "{point} {n}");
            let back: &[&str] = &["--to", "start", "--yes"];
            let (killed_too, again) = killed_then_again(&plan, &root, ("rollback", back), point, n);
            again.expect_code(0);
            system.ask("DROP TABLE cutover_ledger; DROP TABLE cutover_state");
            assert_eq!(system.ask(".dump").replace("DELETE FROM sqlite_sequence;\n", ""), before, "{point} {n}");
            if !killed && !killed_too {
                assert!(n > 6, "the kill never came: `cargo test --workspace` builds the program with its failpoints");
                break;
            }
        }
    }
}

/// One brain, one command, again and again, killed after its first, second, third, fourth record, until nothing is left.
/// While the brain is frozen a run freezes it anew first: now and then one is left alone for longer, to come further.
#[test]
fn the_cortex_plan_survives_a_kill_between_any_two_records() {
    let whole = tempfile::tempdir().unwrap();
    let (plan, root) = brain(whole.path());
    run(&mut on(&plan, &root, "apply", &["--jobs", "1"])).expect_code(0);

    let folder = tempfile::tempdir().unwrap();
    let (plan, root) = brain(folder.path());
    let mut kills = 0;
    for passage in [0, 1, 2, 3, 0, 1, 2, 3, 20].into_iter().cycle() {
        let points = format!("journal-appended={passage}*off->return");
        let ran = run(on(&plan, &root, "apply", &["--jobs", "1", "--lock-timeout", "60s"]).env("FAILPOINTS", points));
        if ran.code.is_some() {
            ran.expect_code(0);
            break;
        }
        kills += 1;
        assert!(kills < 500, "no end in sight");
    }
    assert!(kills > 40, "only {kills} kills");
    assert_eq!(ledgers(folder.path()), ledgers(whole.path()));
    run(&mut on(&plan, &root, "verify", &[])).expect_code(0);
}

/// A fresh brain for each kill, four steps at once. Every eighth record, beginning at a place that moves from day to day;
/// `CUTOVER_KILLS=all` meets them all.
#[test]
fn the_cortex_plan_with_steps_side_by_side_survives_a_kill() {
    let whole = tempfile::tempdir().unwrap();
    let (plan, root) = brain(whole.path());
    run(&mut on(&plan, &root, "apply", WAIT)).expect_code(0);
    let expected = ledgers(whole.path());

    let day = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let all = std::env::var("CUTOVER_KILLS").is_ok_and(|kills| kills == "all");
    let (first, pace) = if all { (0, 1) } else { (usize::try_from(day).unwrap() % 8, 8) };
    println!("from record {first}, every {pace}");
    let next = AtomicUsize::new(first);
    let kills = AtomicUsize::new(0);
    let worker = || {
        loop {
            let n = next.fetch_add(pace, Ordering::Relaxed);
            let folder = tempfile::tempdir().unwrap();
            let (plan, root) = brain(folder.path());
            let (killed, again) = killed_then_again(&plan, &root, ("apply", WAIT), "journal-appended", n);
            again.expect_code(0);
            assert_eq!(ledgers(folder.path()), expected, "killed after write {n}");
            if !killed {
                break;
            }
            kills.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(worker);
        scope.spawn(worker);
    });
    assert!(kills.into_inner() > 5);
}

/// A program that the killed runner had started is waited for. The phases up to the move: those after it go one step at a time.
const WAIT: &[&str] = &["--lock-timeout", "60s", "--to", "verify"];

fn brain(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let root = folder.join("brain");
    demo::build("cortex-2.0", "a", &root).unwrap();
    let plan = impatient("cortex-2.0", &folder.join("plan"));
    (plan, root)
}

/// What the ledgers of a brain hold, and how many rows the migration made.
fn ledgers(folder: &Path) -> Vec<String> {
    ["tier1/conversations.db", "tier2/knowledge_graph.db", "tier3/context.db"]
        .iter()
        .map(|db| {
            let db = folder.join("brain/cortex-brain").join(db);
            sqlite3(
                &db,
                "SELECT step, success, checksum FROM migrations ORDER BY step; SELECT count(*) FROM sqlite_master",
            )
        })
        .collect()
}
