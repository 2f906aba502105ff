//! Statements that never end: the first Ctrl-C waits for the step, the second breaks its statement off and undoes it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr};

use cutover_tests::run;

use crate::locking::{signal, until};
use crate::system::{System, pasted};

/// Writes a row into `t`, then looks for a next one for ever.
const ENDLESS: &str = "CREATE TABLE t (i INTEGER);
    INSERT INTO t VALUES (0);
    INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0;";

const LOOKING: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0;";

/// Two scripts, in one transaction if they are in one phase.
fn system(phases: &str, endless: &str) -> System {
    let head = "name = \"endless\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n[[phase]]\nname = \"one\"\nlayer = \"storage\"\n";
    let step = |id: &str| {
        format!(
            "[[phase.step]]\nid = \"{id}\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = {{ up = \"{id}.sql\", down = \"{id}.down.sql\" }}\n"
        )
    };
    let system =
        System::new("CREATE TABLE was (i INTEGER);", &format!("{head}{}{phases}{}", step("first"), step("then")));
    system.write("first.sql", "CREATE TABLE first (i INTEGER);");
    system.write("first.down.sql", "DROP TABLE first;");
    system.write("then.sql", endless);
    system.write("then.down.sql", "DROP TABLE IF EXISTS t;");
    system
}

const APART: &str = "[[phase]]\nname = \"two\"\nlayer = \"storage\"\n";

/// Whether somebody holds the database's writing lock.
fn is_written(system: &System) -> bool {
    let conn = rusqlite::Connection::open(system.db()).unwrap();
    conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
}

/// One Ctrl-C, and what is said to it.
fn ctrl_c(child: &Child, said: &mut BufReader<ChildStderr>) -> String {
    signal(child, "-INT");
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    line
}

/// Runs the command until it is in its endless statement, and stops it there. Returns all that it said.
fn stopped_twice(system: &System, command: &str, args: &[&str], in_it: impl Fn() -> bool) -> String {
    let mut child = system.start(command, args);
    until("the statement", in_it);
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let first = ctrl_c(&child, &mut said);
    assert!(first.contains("once more breaks off a running SQL statement"), "{first}");
    assert!(child.try_wait().unwrap().is_none(), "the first one waits for the step");
    let second = ctrl_c(&child, &mut said);
    assert!(second.contains("broken off"), "{second}");
    until("the end of the process", || child.try_wait().unwrap().is_some());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    said.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
    text
}

fn tables(system: &System) -> String {
    system.ask("SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'cutover%' AND name NOT LIKE 'sqlite%' ORDER BY name)")
}

fn done(system: &System) -> String {
    system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger WHERE success = 1")
}

#[test]
fn a_second_ctrl_c_breaks_off_an_endless_statement_and_undoes_its_step() {
    let system = system(APART, ENDLESS);
    let text = stopped_twice(&system, "apply", &[], || {
        rusqlite::Connection::open(system.db()).unwrap().prepare("SELECT 1 FROM first").is_ok() && is_written(&system)
    });
    assert!(text.contains("broken off on request") && text.contains("interrupted"), "{text}");
    assert_eq!((tables(&system).as_str(), done(&system).as_str()), ("first was", "first"));
    for command in ["status", "history", "explain"] {
        let said = system.cutover(command, &[]).expect_code(0).stdout;
        assert!(said.contains("broken off on request"), "{command}: {said}");
    }
    // The step may be mended, as one that failed.
    system.write("then.sql", "CREATE TABLE t (i INTEGER);");
    system.cutover("apply", &[]).expect_code(0);
    assert_eq!((tables(&system).as_str(), done(&system).as_str()), ("first t was", "first then"));
}

#[test]
fn in_a_shared_transaction_it_takes_what_was_not_committed_with_it_and_the_same_command_goes_on() {
    for endless in [ENDLESS, LOOKING] {
        let system = system("", endless);
        stopped_twice(&system, "apply", &[], || is_written(&system));
        assert!(["", "first"].contains(&done(&system).as_str()), "{}", done(&system));
        assert_eq!(tables(&system).contains("first"), done(&system) == "first", "{}", tables(&system));
        system.write("then.sql", "CREATE TABLE t (i INTEGER);");
        system.cutover("apply", &[]).expect_code(0);
        assert_eq!((tables(&system).as_str(), done(&system).as_str()), ("first t was", "first then"));
        system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
        assert_eq!(tables(&system), "was");
    }
}

#[test]
fn a_way_back_that_never_ends_is_broken_off_too_and_what_explain_says_leads_on() {
    let system = system(APART, "CREATE TABLE t (i INTEGER);");
    system.write("then.down.sql", &format!("DROP TABLE t; {LOOKING}"));
    system.cutover("apply", &[]).expect_code(0);
    stopped_twice(&system, "rollback", &["--yes"], || is_written(&system));
    assert_eq!((tables(&system).as_str(), done(&system).as_str()), ("first t was", "first then"));
    let said = system.cutover("explain", &[]).expect_code(0).stdout;
    assert!(said.contains("broken off on request"), "{said}");
    // It is undone as it was applied: the mended way back is accepted first.
    system.write("then.down.sql", "DROP TABLE t;");
    let accept = said.lines().find_map(|l| l.find("cutover accept ").map(|at| &l[at..]));
    run(&mut pasted(accept.unwrap_or_else(|| panic!("no way to accept: {said}")))).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(tables(&system), "was");
}
