//! What a rollback takes back, with what it does so, and what it leaves.

use std::fs;

use crate::system::{System, scripts};

const HEAD: &str = "[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n";

fn phase(name: &str) -> String {
    format!("[[phase]]\nname = \"{name}\"\nlayer = \"storage\"\n")
}

fn script(id: &str, more: &str) -> String {
    format!(
        "[[phase.step]]\nid = \"{id}\"\nuse = \"sqlite.script\"\ntarget = \"app\"\n{more}\nwith = {{ up = \"{id}.sql\", down = \"{id}.down.sql\" }}\n"
    )
}

fn command(id: &str, more: &str, apply: &str, rollback: &str) -> String {
    let args = |line: &str| format!("[\"sh\", \"-c\", \"{line}\"]");
    format!(
        "[[phase.step]]\nid = \"{id}\"\nuse = \"command.run\"\n{more}\nwith = {{ apply = {}, rollback = {} }}\n",
        args(apply),
        args(rollback)
    )
}

#[test]
fn a_rollback_binds_the_variables_of_the_apply() {
    let plan = format!("name = \"vars\"\n[vars]\nwhich = 1\n{HEAD}{}{}", phase("p"), script("add", ""));
    let system = System::new("CREATE TABLE t (a); INSERT INTO t VALUES (2);", &plan);
    system.write("add.sql", "INSERT INTO t VALUES (:which);");
    system.write("add.down.sql", "DELETE FROM t WHERE a = :which;");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--yes", "--var", "which=2"]).expect_code(0);
    assert_eq!(system.ask("SELECT group_concat(a) FROM t"), "2");
}

#[test]
fn a_skipped_step_is_decided_again_after_a_rollback_to_before_it_or_an_edit_and_not_otherwise() {
    let when = "when = { target = \"app\", has = \"table:users\" }";
    let plan = format!("name = \"skips\"\n{HEAD}{}{}", phase("p"), script("mail", when));
    let system = System::new("CREATE TABLE t (a);", &plan);
    system.write("mail.sql", "ALTER TABLE users ADD COLUMN mail;");
    system.write("mail.down.sql", "ALTER TABLE users DROP COLUMN mail;");
    let mailed = || system.ask("SELECT count(*) FROM pragma_table_info('users') WHERE name = 'mail'") == "1";
    system.cutover("apply", &[]).expect_code(0);
    system.ask("CREATE TABLE users (id)");
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert!(ran.stdout.contains("nothing to do") && !mailed(), "{}", ran.stdout);
    let ran = system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert!(ran.stdout.contains("decided again for 1 step: mail"), "{}", ran.stdout);
    system.cutover("apply", &[]).expect_code(0);
    assert!(mailed());

    let system = System::new("CREATE TABLE t (a);", &plan);
    system.write("mail.sql", "SELECT 1;");
    system.write("mail.down.sql", "SELECT 1;");
    system.cutover("apply", &[]).expect_code(0);
    system.write("plan.toml", &plan.replace("table:users", "table:t"));
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert!(ran.stdout.contains("✓ mail"), "{}", ran.stdout);
}

#[test]
fn apply_to_a_step_runs_what_it_needs_and_rollback_to_a_step_leaves_no_step_without_what_it_needs() {
    let steps = [
        command("a", "needs = [\"z\"]", "touch a", "rm a"),
        command("b", "", "touch b", "rm b"),
        command("z", "", "touch z", "rm z"),
    ];
    let system = System::new("", &format!("name = \"needs\"\n{}{}", phase("p"), steps.concat()));
    let there = || {
        let here = |name: &&str| system.root().join(name).exists();
        ["a", "b", "z"].into_iter().filter(here).collect::<String>()
    };
    system.cutover("apply", &["--to", "a"]).expect_code(0);
    assert_eq!(there(), "az");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--to", "b", "--yes"]).expect_code(0);
    assert_eq!(there(), "b", "`z` is undone, and `a` needs it");
}

#[test]
fn a_unit_that_is_undone_takes_with_it_what_was_built_on_it() {
    let plan = format!(
        "name = \"units\"\n{HEAD}{}{}{}{}{}",
        phase("first"),
        script("one", "unit = \"u\""),
        script("between", ""),
        phase("second"),
        script("two", "unit = \"u\"")
    );
    let system = System::new("", &plan);
    for (id, up, down) in [
        ("one", "CREATE TABLE one (a)", "DROP TABLE one"),
        ("between", "ALTER TABLE one ADD COLUMN b", "ALTER TABLE one DROP COLUMN b"),
        ("two", "CREATE TABLE two (a)", "DROP TABLE two"),
    ] {
        system.write(&format!("{id}.sql"), up);
        system.write(&format!("{id}.down.sql"), down);
    }
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), "0");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("verify", &[]).expect_code(0);
}

#[test]
fn a_failure_above_an_irreversible_step_is_not_called_rolled_back() {
    let steps = [
        command("before", "", "touch b", "rm b"),
        command("mail", "needs = [\"before\"]\nirreversible = \"a mail is sent\"", "touch m", "true"),
        command("after", "needs = [\"mail\"]", "touch a; test -e mended", "rm -f a"),
    ];
    let steps = steps.concat().replace(", rollback = [\"sh\", \"-c\", \"true\"]", "");
    let system = System::new("", &format!("name = \"mails\"\n{}{steps}", phase("p")));
    system.cutover("approve", &["mail", "--as", "ada", "--note", "the text was read"]).expect_code(0);
    let ran = system.cutover("apply", &[]).expect_code(104);
    assert!(ran.stdout.contains("as far as a step that cannot be undone"), "{}", ran.stdout);
    assert!(!system.root().join("a").exists() && system.root().join("b").exists());
    let status = system.cutover("status", &[]).expect_code(0).stdout;
    assert!(status.contains("as far as a step that cannot be undone"), "{status}");
    // Also when nothing comes after it, a rollback past it is no "nothing to do".
    for args in [&["--yes"][..], &["--to", "start", "--yes"]] {
        let refused = system.cutover("rollback", args).expect_code(100).stderr;
        assert!(refused.contains("step `mail` cannot be undone"), "{refused}");
    }
    fs::write(system.root().join("mended"), "").unwrap();
    system.cutover("apply", &[]).expect_code(0);
}

#[test]
fn a_script_that_undoes_the_whole_transaction_by_itself_is_a_failure_like_any_other() {
    for policy in ["pause", "rollback-step", "rollback-phase"] {
        let system = System::new("CREATE TABLE u (a UNIQUE); INSERT INTO u VALUES (1);", "");
        scripts(&system, 3, 3, &format!("on-failure = \"{policy}\""));
        system.write("1.sql", "INSERT OR ROLLBACK INTO u VALUES (1);");
        let code = if policy == "pause" { 104 } else { 100 };
        let ran = system.cutover("apply", &[]).expect_code(code);
        assert!(ran.stdout.contains("UNIQUE"), "{policy}: {}", ran.stdout);
        assert_eq!(system.ask("SELECT step, success FROM cutover_ledger WHERE success = 0"), "s1|0", "{policy}");
        system.write("1.sql", "CREATE TABLE t1 (a TEXT);\nCREATE INDEX i1 ON t1(a);\n");
        system.cutover("apply", &[]).expect_code(0);
        assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "s0 s1 s2", "{policy}");
    }
}

#[test]
fn ctrl_c_while_unwinding_stops_between_two_steps_and_the_same_command_goes_on() {
    let step = |id: &str| command(id, "", &format!("touch {id}"), &format!("touch {id}.back; sleep 0.4; rm {id}"));
    let system = System::new("", &format!("name = \"slow\"\n{}{}{}", phase("p"), step("a"), step("b")));
    system.cutover("apply", &["--jobs", "1"]).expect_code(0);
    let mut child = system.start("rollback", &["--yes"]);
    while !system.root().join("b.back").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(system.root().join("a").exists() && !system.root().join("b").exists());
    let explained = system.cutover("explain", &[]).expect_code(0).stdout;
    assert!(explained.contains("has not ended") && explained.contains("next: cutover rollback"), "{explained}");
    // Who asks to apply must not take the rest of the rollback for it.
    let ran = system.cutover("apply", &[]).expect_code(100);
    assert!(ran.stdout.contains("the interrupted rollback is finished; nothing was applied"), "{}", ran.stdout);
    assert!(!system.root().join("a").exists());
}

#[test]
fn a_killed_apply_that_was_to_go_part_of_the_way_is_printed_with_how_far() {
    let system = System::new("", "");
    scripts(&system, 4, 2, "");
    let mut killed = system.command("apply", &["--to", "p0"]);
    cutover_tests::run(killed.env("FAILPOINTS", "journal-append=1*off->return"));
    for command in ["status", "explain"] {
        let said = system.cutover(command, &[]).expect_code(0).stdout;
        assert!(said.contains("--to p0"), "{command}: {said}");
    }
}

#[test]
fn an_open_unwinding_whose_target_left_the_plan_goes_on_by_rollback() {
    let other = HEAD.replace("app", "other");
    let of_other = script("o", "").replace("\"app\"", "\"other\"");
    let head = format!("name = \"two\"\n{HEAD}");
    let plan = format!("{head}{other}{}{}{}", phase("p"), script("a", ""), of_other);
    let system = System::new("", &plan);
    cutover_tests::sqlite3(system.root().join("other.db"), "VACUUM");
    for id in ["a", "o"] {
        system.write(&format!("{id}.sql"), &format!("CREATE TABLE {id} (x);"));
        system.write(&format!("{id}.down.sql"), &format!("DROP TABLE {id};"));
    }
    system.cutover("apply", &["--jobs", "1"]).expect_code(0);
    let mut killed = system.command("rollback", &["--to", "start", "--yes"]);
    cutover_tests::run(killed.env("FAILPOINTS", "journal-append=1*off->return"));
    system.write("plan.toml", &format!("{head}{}{}", phase("p"), script("a", "")));
    let refused = system.cutover("apply", &[]).expect_code(102).stderr;
    assert!(refused.contains("no longer has its target `other`") && refused.contains("cutover rollback"), "{refused}");
    system.cutover("rollback", &["--yes"]).expect_code(0);
    assert_eq!(cutover_tests::sqlite3(system.root().join("other.db"), "SELECT count(*) FROM cutover_ledger"), "0\n");
    system.cutover("apply", &[]).expect_code(0);
}
