//! Identifiers that end a quotation, a statement or a comment: the database holds exactly them, and nothing else ran.

use cutover_tests::sqlite3;

use super::child::{Scene, plan, quoted, step};
use crate::faults::choice::Choice;
use crate::faults::tally::Tally;

const NAMES: &[(&str, &str)] = &[
    ("double-quote", "a\"; DROP TABLE precious; --"),
    ("single-quote", "a'; DROP TABLE precious; --"),
    ("backtick", "a`; DROP TABLE precious; --"),
    ("bracket", "a]; DROP TABLE precious; --"),
    ("comment", "--"),
    ("block-comment", "a/*"),
    ("keyword", "select"),
    ("blank", "a b"),
    ("line-break", "a\nb"),
    ("unicode", "größe"),
    ("emoji", "🗄️"),
    ("combining", "e\u{301}"),
    ("right-to-left", "\u{202e}abc"),
    ("percent", "%s%n$x"),
    ("colon", ":name"),
    ("dot", "main.precious"),
    ("backslash", "a\\"),
    (
        "long",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
];

/// All kinds that name a table or a column, on one of that name.
fn steps(name: &str) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (raw, more, index) = (quoted(name), format!("{name}2"), format!("{name}3"));
    let create = format!("CREATE TABLE {0} (id INTEGER PRIMARY KEY, {0} TEXT)", quote(name));
    let on = |kind: &str, with: &str| format!("use = \"sqlite.{kind}\"\ntarget = \"app\"\nwith = {{ {with} }}");
    [
        step("make", &on("tables", &format!("create = [{}]", quoted(&create)))),
        step("add", &on("columns", &format!("table = {raw}, add = [{}]", quoted(&format!("{} TEXT", quote(&more)))))),
        step(
            "index",
            &on(
                "indexes",
                &format!(
                    "create = [{}]",
                    quoted(&format!("CREATE INDEX {} ON {}({})", quote(&index), quote(name), quote(name)))
                ),
            ),
        ),
        step("rows", &on("rows", &format!("table = {raw}, key = [{raw}], rows = [{{ {raw} = {raw} }}]"))),
        step(
            "fill",
            &on(
                "backfill",
                &format!(
                    "into = {raw}, key = \"id\", key-stored = true, rows = {}",
                    quoted(&format!("SELECT id + 7 AS id, x AS {} FROM precious", quote(name)))
                ),
            ),
        ),
        step("check", &on("check", &format!("tables = {{ {raw} = [{raw}, {}] }}", quoted(&more)))),
        step("export", &on("export", "into = \"export.sql\"")),
    ]
    .concat()
}

#[test]
fn an_identifier_is_that_name_and_nothing_more() {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    for (what, name) in NAMES {
        let name_of_case = format!("name/{what}");
        if !choice.allows(&name_of_case) {
            continue;
        }
        // `${` has a meaning in a plan, and an escape.
        let scene = Scene::new(&plan("storage", &steps(&name.replace("${", "$${"))));
        let dump = || {
            scene
                .system
                .ask("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'cutover%' AND name NOT LIKE 'sqlite%'; SELECT * FROM precious")
        };
        let before = dump();
        let mut result = Ok(());
        for (command, args) in [("apply", &[][..]), ("verify", &[]), ("rollback", &["--to", "start", "--yes"])] {
            let ran = scene.meet(&name_of_case, command, args, &mut tally);
            let said = ran.as_ref().map(|ran| scene.system.seen(ran)).unwrap_or_default();
            if ran.is_some_and(|ran| ran.code != Some(0)) {
                result = Err(format!("{command}: {said}"));
                break;
            }
            if command == "apply" {
                let found = sqlite3(
                    scene.system.db(),
                    "SELECT hex(name) FROM sqlite_master WHERE name NOT LIKE 'cutover%' AND name NOT LIKE 'sqlite%' ORDER BY type, name",
                );
                let hex = |name: &str| name.bytes().map(|b| format!("{b:02X}")).collect::<String>();
                let mut expected = [hex(name), hex("precious")];
                expected.sort();
                let expected = format!("{}\n{}\n", hex(&format!("{name}3")), expected.join("\n"));
                if found != expected {
                    result = Err(format!("the database holds {found} instead of {expected}"));
                    break;
                }
                let again = Scene::new("");
                let export = scene.system.root().join("export.sql");
                sqlite3(again.system.root().join("again.db"), format!(".read '{}'", export.display()));
            }
        }
        if result.is_ok() && dump() != before {
            result = Err(format!("after all is undone there is {}\ninstead of {before}", dump()));
        }
        tally.way_out(&name_of_case, result, "");
    }
    tally.end("J", "identifiers with quotes", &choice);
}

#[test]
fn the_names_of_a_plan_are_plain_or_refused() {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    let table = "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE t (a)\"] }";
    let whole = plan("storage", &step("s", table));
    let places = [
        ("step", "id = \"s\"", "id = NAME"),
        ("phase", "name = \"p\"", "name = NAME"),
        ("plan", "name = \"hostile\"", "name = NAME"),
        ("target", "[targets.app]", "[targets.NAME]"),
        ("ledger", "path = \"app.db\"", "path = \"app.db\"\nledger = NAME"),
        ("unit", "id = \"s\"", "id = \"s\"\nunit = NAME"),
        ("needs", "id = \"s\"", "id = \"s\"\nneeds = [NAME]"),
        ("when", "id = \"s\"", "id = \"s\"\nwhen = { target = \"app\", lacks = NAME }"),
    ];
    let more =
        [("nul", "a\0b"), ("up", "../../around/x"), ("slash", "/etc/x"), ("control", "a\u{1b}[2Jb"), ("empty", "")];
    for (place, from, to) in places {
        for (what, name) in NAMES.iter().chain(&more) {
            let case = format!("word/{place}/{what}");
            if !choice.samples(&case, 3) {
                continue;
            }
            let scene = Scene::new(&whole.replace(from, &to.replace("NAME", &quoted(name))));
            let ran = scene.meet(&case, "apply", &[], &mut tally);
            let raw = ran.is_some_and(|ran| ran.stdout.contains('\u{1b}') || ran.stderr.contains('\u{1b}'));
            let kept = scene.system.ask("SELECT * FROM precious") == "1|kept";
            tally.way_out(
                &case,
                if kept && !raw { Ok(()) } else { Err("precious is gone, or a terminal is told what to do".into()) },
                "",
            );
        }
    }
    tally.end("J", "names of steps, phases, targets", &choice);
}
