//! A person's claim about a step: proven, or refused, or taken on that person's word and shown as such.

use std::fs;

use crate::system::{System, scripts};

/// A command whose rollback fails, with a `verify` or none.
fn stuck(verify: &str) -> System {
    let plan = format!(
        "name = \"by-hand\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"c\"\nuse = \"command.run\"\n\
         with = {{ apply = [\"sh\", \"-c\", \"echo x >> made\"], {verify} rollback = [\"false\"] }}\n"
    );
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", &plan);
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--yes"]).expect_code(101);
    system
}

const CLAIM: [&str; 5] = ["c", "--as", "rolled-back", "--note", "removed by hand"];

#[test]
fn a_broken_verify_does_not_prove_that_nothing_is_left() {
    // A half-undone command has a broken verify too.
    let system = stuck(r#"verify = ["test", "-f", "made"],"#);
    fs::remove_file(system.root().join("made")).unwrap();
    let refused = system.cutover("resolve", &CLAIM).expect_code(101).stderr;
    assert!(refused.contains("cannot be proven") && refused.contains("nothing was recorded"), "{refused}");
    assert!(refused.contains("--unproven") && refused.contains("cutover rollback"), "{refused}");
    assert!(system.cutover("status", &[]).expect_code(0).stdout.contains("stuck"));
}

#[test]
fn what_cannot_be_proven_is_taken_on_the_operators_word_and_shown_as_such() {
    for verify in ["", r#"verify = ["test", "-f", "made"],"#] {
        let system = stuck(verify);
        fs::remove_file(system.root().join("made")).unwrap();
        let claim = [&CLAIM[..], &["--unproven"]].concat();
        let said = system.cutover("resolve", &claim).expect_code(0).stdout;
        assert!(said.contains("on your word"), "{said}");
        for command in ["status", "explain", "history"] {
            let shown = system.cutover(command, &[]).expect_code(0).stdout;
            assert!(
                shown.contains("on the operator's word") && shown.contains("removed by hand"),
                "{command}: {shown}"
            );
        }
        let explained = system.cutover("explain", &[]).expect_code(0).stdout;
        assert!(!explained.contains("Not applied, as far as journal and ledgers know: `c`"), "{explained}");
        // It runs again, once, and from then on nothing rests on anybody's word.
        system.cutover("apply", &[]).expect_code(0);
        assert_eq!(fs::read_to_string(system.root().join("made")).unwrap(), "x\n");
        assert!(!system.cutover("explain", &[]).expect_code(0).stdout.contains("operator's word"));
    }
}

#[test]
fn a_word_does_not_outweigh_what_inspection_finds() {
    let plan = "name = \"there\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
        [[phase.step]]\nid = \"s\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = { up = \"s.sql\", down = \"s.down.sql\" }\n";
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", plan);
    system.write("s.sql", "CREATE TABLE s (a TEXT);");
    system.write("s.down.sql", "DROP TABLE nowhere;");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--yes"]).expect_code(101);
    let claim = ["s", "--as", "rolled-back", "--note", "no", "--unproven"];
    let refused = system.cutover("resolve", &claim).expect_code(101).stderr;
    assert!(refused.contains("is not true") && refused.contains("all of it is there"), "{refused}");
    system.ask("DROP TABLE s");
    let said = system.cutover("resolve", &claim).expect_code(0).stdout;
    assert!(!said.contains("word"), "{said}");
}

#[test]
fn a_claim_about_a_file_that_somebody_changed_is_refused_with_what_was_found() {
    let plan = "name = \"file\"\n[targets.conf]\nkind = \"dir\"\npath = \"conf\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
        [[phase.step]]\nid = \"f\"\nuse = \"config.map\"\ntarget = \"conf\"\n\
        with = { from = \"a.json\", to = \"a.json\", set = { version = 2 }, keep = [\"name\"] }\n";
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", plan);
    let before = "{ \"name\": \"shop\" }";
    system.write_root("conf/a.json", before);
    system.cutover("apply", &[]).expect_code(0);
    let applied = fs::read_to_string(system.root().join("conf/a.json")).unwrap();
    system.write_root("conf/a.json", "{ \"name\": \"theirs\", \"version\": 7 }");
    system.cutover("rollback", &["--yes"]).expect_code(101);
    let refused = |claim: &str| {
        let said =
            system.cutover("resolve", &["f", "--as", claim, "--note", "no", "--unproven"]).expect_code(101).stderr;
        assert!(
            said.contains("is not true: inspection says") && said.contains("nothing was recorded"),
            "{claim}: {said}"
        );
    };
    refused("applied");
    assert!(system.cutover("status", &[]).expect_code(0).stdout.contains("stuck"));
    system.write_root("conf/a.json", &applied);
    refused("rolled-back");
    system.cutover("resolve", &["f", "--as", "applied", "--note", "put back"]).expect_code(0);
    system.cutover("rollback", &["--yes"]).expect_code(0);
    assert_eq!(fs::read_to_string(system.root().join("conf/a.json")).unwrap(), before);
}

#[test]
fn a_claim_about_a_fill_in_pieces_counts_what_its_ledger_and_its_rows_say() {
    let plan = "name = \"fill\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
        [[phase.step]]\nid = \"b\"\nuse = \"sqlite.backfill\"\ntarget = \"app\"\n\
        with = { into = \"copies\", key = \"id\", key-stored = true, batch = 2, rows = \"SELECT id, n FROM orders\" }\n";
    let tables = "CREATE TABLE orders (id INTEGER PRIMARY KEY, n); INSERT INTO orders VALUES (1, 1), (2, 2), (3, 3);
        CREATE TABLE copies (id INTEGER PRIMARY KEY, n);";
    let system = System::new(tables, plan);
    system.cutover("apply", &[]).expect_code(0);
    system.ask("CREATE TRIGGER held BEFORE DELETE ON copies BEGIN SELECT RAISE(ABORT, 'held'); END");
    system.cutover("rollback", &["--yes"]).expect_code(101);
    let claim = ["b", "--as", "rolled-back", "--note", "no", "--unproven"];
    let refused = system.cutover("resolve", &claim).expect_code(101).stderr;
    assert!(refused.contains("is not true: inspection says"), "{refused}");
    system.ask("DROP TRIGGER held");
    system.cutover("rollback", &["--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM copies"), "0");
}

/// A script whose `down` fails.
fn script(up: &str) -> System {
    let plan = "name = \"rows\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
        [[phase.step]]\nid = \"s\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = { up = \"s.sql\", down = \"s.down.sql\" }\n";
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1);", plan);
    system.write("s.sql", up);
    system.write("s.down.sql", "DROP TABLE nowhere;");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--yes"]).expect_code(101);
    system
}

#[test]
fn that_its_tables_are_gone_does_not_prove_that_the_rows_of_a_script_are() {
    let claim = ["s", "--as", "rolled-back", "--note", "dropped by hand"];
    for more in [
        "INSERT INTO orders VALUES (77);",
        "UPDATE orders SET id = 5;",
        "WITH n AS (SELECT 77) INSERT INTO orders SELECT * FROM n;",
        "ALTER TABLE orders ADD COLUMN note;",
        "CREATE TRIGGER mirrored AFTER INSERT ON s BEGIN INSERT INTO orders VALUES (77); END; INSERT INTO s VALUES ('x');",
    ] {
        let system = script(&format!("CREATE TABLE s (a TEXT); {more}"));
        let before = system.ask("SELECT * FROM orders");
        system.ask("DROP TABLE s");
        let refused = system.cutover("resolve", &claim).expect_code(101).stderr;
        assert!(refused.contains("cannot be proven") && refused.contains("nothing was recorded"), "{more}: {refused}");
        assert!(refused.contains("--unproven"), "{more}: {refused}");
        assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), "1", "{more}");
        assert_eq!(system.ask("SELECT * FROM orders"), before);
        let said = system.cutover("resolve", &[&claim[..], &["--unproven"]].concat()).expect_code(0).stdout;
        assert!(said.contains("on your word"), "{more}: {said}");
    }
    // Rows of a table of its own are gone with that.
    let system = script("CREATE TABLE s (a TEXT); CREATE INDEX i ON orders(id); INSERT INTO \"S\" VALUES ('x');");
    system.ask("DROP TABLE s; DROP INDEX i;");
    let said = system.cutover("resolve", &claim).expect_code(0).stdout;
    assert!(!said.contains("word"), "{said}");
}

/// Two steps on `app`, applied, and a ledger row of the second whose receipt is no JSON.
fn torn() -> System {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 2, 2, "");
    system.cutover("apply", &[]).expect_code(0);
    system.ask("UPDATE cutover_ledger SET receipt = '{bad' WHERE step = 's1'");
    system
}

#[test]
fn where_a_ledgers_receipt_cannot_be_read_the_journals_is_used() {
    let system = torn();
    let verified = system.cutover("verify", &[]).expect_code(0).stdout;
    assert!(verified.contains("2 applied steps verified, 0 broken"), "{verified}");
    assert!(verified.contains("cannot be read: the journal's is used"), "{verified}");
    // It is a receipt that was used, and not none.
    system.ask("DROP INDEX i1");
    assert!(system.cutover("verify", &[]).expect_code(102).stdout.contains("index i1: missing"));
    system.ask("CREATE INDEX i1 ON t1(a)");
    system.cutover("apply", &[]).expect_code(0);
    let back = system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert!(back.stdout.contains("the journal's is used"), "{}", back.stdout);
    assert_eq!(system.ask("SELECT group_concat(name) FROM sqlite_master WHERE name LIKE 't_'"), "");
}

#[test]
fn a_receipt_that_nobody_has_any_more_is_settled_by_resolve() {
    for claim in ["applied", "rolled-back"] {
        let system = torn();
        fs::remove_dir_all(system.root().join(".cutover")).unwrap();
        for command in [&["verify"][..], &["apply"], &["rollback", "--yes"]] {
            let refused = system.cutover(command[0], &command[1..]).expect_code(102).stderr;
            assert!(
                refused.contains("the receipt of step `s1`") && refused.contains("the journal has none"),
                "{refused}"
            );
            assert!(refused.contains(&format!("s1 --as {claim} --note WHY")), "{refused}");
        }
        assert!(system.cutover("explain", &[]).expect_code(0).stdout.contains("cutover resolve"));
        if claim == "rolled-back" {
            system.ask("DROP TABLE t1");
        }
        system.cutover("resolve", &["s1", "--as", claim, "--note", "looked"]).expect_code(0);
        system.cutover("apply", &[]).expect_code(0);
        system.cutover("verify", &[]).expect_code(0);
        assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger WHERE success AND json_valid(receipt)"), "2");
        system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    }
}
