//! Where things lie: lock files, symbolic links, targets that are one file, and commands printed for a shell.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::system::{System, on, scripts};

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);";

fn small() -> System {
    let system = System::new(ORDERS, "");
    scripts(&system, 2, 1, "");
    system
}

#[test]
fn a_lock_file_that_leads_elsewhere_is_refused_and_nothing_is_written_through_it() {
    let system = small();
    let victim = system.root().join("victim");
    fs::write(&victim, "precious").unwrap();
    let lock = system.root().join(".app.db.cutover-lock");
    symlink("victim", &lock).unwrap();
    for args in [&[][..], &["--take-over"]] {
        let ran = system.cutover("apply", args).expect_code(66);
        assert!(ran.stderr.contains("is a symbolic link") && ran.stderr.contains("move it away"), "{}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    fs::remove_file(&lock).unwrap();
    fs::hard_link(&victim, &lock).unwrap();
    let ran = system.cutover("apply", &[]).expect_code(66);
    assert!(ran.stderr.contains("has another name too"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let ran = system.cutover("apply", &[]).expect_code(66);
    assert!(ran.stderr.contains("is no regular file"), "{}", ran.stderr);
    fs::remove_dir(&lock).unwrap();
    system.cutover("apply", &[]).expect_code(0);
}

#[test]
fn looking_does_not_wait_for_a_pipe_in_the_place_of_a_lock() {
    let system = small();
    system.cutover("apply", &[]).expect_code(0);
    let lock = system.root().join(".cutover/lock");
    fs::remove_file(&lock).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let mut looking = system.start("status", &[]);
    let limit = Instant::now() + Duration::from_secs(20);
    while looking.try_wait().unwrap().is_none() {
        if Instant::now() > limit {
            looking.kill().unwrap();
            panic!("status waits for a pipe");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    system.cutover("apply", &["--take-over"]).expect_code(66);
}

/// Two databases as two targets, and nothing to do in them.
fn two(a: &str, b: &str) -> System {
    let plan = format!(
        "name = \"two\"\n[targets.first]\nkind = \"sqlite\"\npath = \"{a}\"\n[targets.second]\nkind = \"sqlite\"\npath = \"{b}\"\n\
         [[phase]]\nname = \"p\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"t\"\nuse = \"sqlite.tables\"\ntarget = \"first\"\n\
         with = {{ create = [\"CREATE TABLE t (a)\"] }}\n"
    );
    System::new(ORDERS, &plan)
}

#[test]
fn two_targets_that_a_link_makes_one_file_are_refused() {
    let system = two("app.db", "other.db");
    let other = system.root().join("other.db");
    symlink("app.db", &other).unwrap();
    for command in ["plan", "apply"] {
        let ran = system.cutover(command, &[]).expect_code(66);
        assert!(ran.stderr.contains("targets `first` and `second` are one file"), "{}", ran.stderr);
    }
    fs::remove_file(&other).unwrap();
    fs::hard_link(system.db(), &other).unwrap();
    let ran = system.cutover("apply", &[]).expect_code(66);
    assert!(ran.stderr.contains("targets `first` and `second` are one file"), "{}", ran.stderr);

    // Also where the file is not there yet.
    fs::remove_file(&other).unwrap();
    fs::remove_file(system.db()).unwrap();
    symlink("app.db", &other).unwrap();
    let ran = system.cutover("plan", &[]).expect_code(66);
    assert!(ran.stderr.contains("targets `first` and `second` are one file"), "{}", ran.stderr);
}

#[test]
fn a_target_that_a_link_puts_inside_another_is_refused() {
    let system = two("app.db", "other.db");
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let plan = plan.replace("kind = \"sqlite\"\npath = \"other.db\"", "kind = \"dir\"\npath = \"folder\"");
    system.write("plan.toml", &plan);
    fs::create_dir(system.root().join("real")).unwrap();
    fs::rename(system.db(), system.root().join("real/app.db")).unwrap();
    symlink("real/app.db", system.db()).unwrap();
    symlink("real", system.root().join("folder")).unwrap();
    let ran = system.cutover("plan", &[]).expect_code(66);
    assert!(ran.stderr.contains("target `first` lies inside target `second`"), "{}", ran.stderr);
}

#[test]
fn two_binds_on_one_file_are_a_mistake_of_the_command_line() {
    let system = two("app.db", "other.db");
    let file = system.db().display().to_string();
    let (first, second) = (format!("first={file}"), format!("second={file}"));
    let ran = system.cutover("apply", &["--bind", &first, "--bind", &second]).expect_code(2);
    assert!(ran.stderr.contains("targets `first` and `second` are one file"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--bind"), "{}", ran.stderr);
    assert!(!system.root().join(".cutover").exists());
}

#[test]
fn one_file_under_two_names_has_one_lock() {
    let system = small();
    symlink("app.db", system.root().join("link.db")).unwrap();
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    system.write("plan.toml", &plan.replace("\"app.db\"", "\"link.db\""));
    system.cutover("apply", &[]).expect_code(0);
    assert!(system.root().join(".app.db.cutover-lock").exists());
    assert!(!system.root().join(".link.db.cutover-lock").exists());
}

#[test]
fn a_link_to_nothing_outside_the_root_is_refused_too() {
    let system = two("app.db", "other.db");
    symlink("../elsewhere.db", system.root().join("other.db")).unwrap();
    let ran = system.cutover("plan", &[]).expect_code(66);
    assert!(ran.stderr.contains("leads out of the root"), "{}", ran.stderr);
}

/// The command after "next: " (up to a remark in brackets), as a shell runs it.
fn say_again(printed: &str, args: &str) -> cutover_tests::Ran {
    let next = printed.lines().find_map(|l| l.strip_prefix("next: ")).unwrap();
    let next = next.split(" (").next().unwrap().strip_prefix("cutover ").unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(format!("\"$CUTOVER\" {next} {args}"));
    cutover_tests::run(shell.env("CUTOVER", assert_cmd::cargo::cargo_bin("cutover")))
}

#[test]
fn a_printed_command_can_be_pasted_into_a_shell_and_says_all_that_was_said() {
    let system = small();
    scripts(&system, 3, 1, "on-failure = \"pause\"\nvars = { v = \"x\" }");
    system.write("1.sql", "CREATE TABLE t1 (a TEXT); INSERT INTO nowhere VALUES (1);");
    let root = system.root().with_file_name("it's a $HOME");
    fs::rename(system.root(), &root).unwrap();
    let db = root.join("my app.db");
    fs::rename(root.join("app.db"), &db).unwrap();
    let bind = format!("app={}", db.display());
    let plan = system.file("plan.toml");
    let apply = ["--bind", &bind, "--var", "v=a b", "--to", "p1"];
    let failed = cutover_tests::run(&mut on(&plan, &root, "apply", &apply)).expect_code(104);
    assert!(failed.stdout.contains("'v=a b'") && failed.stdout.contains("--to p1"), "{}", failed.stdout);
    system.write("1.sql", "CREATE TABLE t1 (a TEXT);");
    say_again(&failed.stdout, "").expect_code(0);
    // No further than the operator said.
    assert_eq!(cutover_tests::sqlite3(&db, "SELECT group_concat(step, ' ') FROM cutover_ledger").trim(), "s0 s1");

    cutover_tests::sqlite3(&db, "DROP TABLE t0");
    let back = ["--bind", &bind, "--var", "v=a b", "--to", "start", "--accept-loss", "--yes"];
    let stuck = cutover_tests::run(&mut on(&plan, &root, "rollback", &back)).expect_code(101);
    assert!(stuck.stdout.contains("--to start --accept-loss"), "{}", stuck.stdout);
}

#[test]
fn the_holder_of_a_lock_is_shown_as_it_was_called() {
    let system = small();
    system.cutover("apply", &["--var", "note=two words"]).expect_code(65);
    scripts(&system, 2, 1, "vars = { note = \"\" }");
    system.cutover("apply", &["--var", "note=two words"]).expect_code(0);
    let lock = fs::read_to_string(system.root().join(".cutover/lock")).unwrap();
    assert!(lock.contains("--var 'note=two words'"), "{lock}");
}
