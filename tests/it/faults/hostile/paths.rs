//! Paths that lead out, that no file system takes, or that mean something to another one.

use super::child::{Scene, plan, quoted, step};
use crate::faults::choice::Choice;
use crate::faults::tally::Tally;

/// Each with its name.
fn paths() -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    vec![
        ("up", text("../around/x")),
        ("up-to-a-file", text("../around/s.json")),
        ("down-and-up", text("logs/../../around/x")),
        ("absolute", text("/etc/passwd")),
        ("proc", text("/proc/self/mem")),
        ("home", text("~/x")),
        ("nul", text("a\0b")),
        ("control", text("a\u{1}\u{1b}[31m\r\nb")),
        ("empty", String::new()),
        ("dot", text(".")),
        ("blank", text(" ")),
        ("long-name", "x".repeat(300)),
        ("long-path", "x/".repeat(5000)),
        ("windows", text("C:\\Windows\\x")),
        ("windows-up", text("..\\around\\x")),
        ("unc", text("\\\\server\\share\\x")),
        ("device", text("NUL")),
        ("uri", text("file:../around/app.db?mode=rw")),
        ("memory", text(":memory:")),
        ("state", text(".cutover/journal.db")),
        ("lock", text(".app.db.cutover-lock")),
        ("log-of-the-database", text("app.db-wal")),
        ("right-to-left", text("\u{202e}gpj.exe")),
        ("option", text("--root=/")),
        ("through-a-link", text("out/x")),
        ("a-link", text("out")),
    ]
}

/// Where a plan may name a path: the plan, with `PATH` in its place.
fn places() -> Vec<(&'static str, String)> {
    let at_app = |rest: &str| plan("storage", &step("s", &format!("target = \"app\"\n{rest}")));
    let alone = |layer: &str, rest: &str| plan(layer, &step("s", rest));
    let table = "use = \"sqlite.tables\"\nwith = { create = [\"CREATE TABLE t (a)\"] }";
    vec![
        ("sqlite", at_app(table).replace("\"app.db\"", "PATH")),
        (
            "dir",
            alone(
                "integration",
                "use = \"file.archive\"\ntarget = \"files\"\nwith = { files = [\"x\"], into = \"old\" }",
            ) + "[targets.files]\nkind = \"dir\"\npath = PATH\n",
        ),
        ("sqlite.script", at_app("use = \"sqlite.script\"\nirreversible = \"no\"\nwith = { up = PATH }")),
        ("sqlite.tables", at_app("use = \"sqlite.tables\"\nwith = { script = PATH }")),
        ("sqlite.rows", at_app("use = \"sqlite.rows\"\nwith = { table = \"precious\", key = [\"id\"], file = PATH }")),
        ("sqlite.export", at_app("use = \"sqlite.export\"\nwith = { into = PATH }")),
        ("target.snapshot", alone("storage", "use = \"target.snapshot\"\nwith = { targets = [\"app\"], into = PATH }")),
        ("target.assess", alone("storage", "use = \"target.assess\"\nwith = { targets = [\"app\"], into = PATH }")),
        (
            "command.run",
            alone(
                "integration",
                "use = \"command.run\"\nirreversible = \"no\"\nwith = { apply = [\"touch\", \"made\"], cwd = PATH }",
            ),
        ),
        (
            "file.archive-files",
            alone("integration", "use = \"file.archive\"\nwith = { files = [PATH], into = \"old\" }"),
        ),
        (
            "file.archive-into",
            alone("integration", "use = \"file.archive\"\nwith = { files = [\"logs/*\"], into = PATH }"),
        ),
        (
            "config.map-from",
            alone("integration", "use = \"config.map\"\nwith = { from = PATH, to = \"new.json\", set = { v = 1 } }"),
        ),
        (
            "config.map-to",
            alone("integration", "use = \"config.map\"\nwith = { from = \"s.json\", to = PATH, keep = [\"a\"] }"),
        ),
    ]
}

#[test]
fn no_path_of_a_plan_leads_out_of_its_root() {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    let paths = paths();
    for (place, text) in places() {
        let drawn = choice.draw(place, paths.len());
        for (at, (name, path)) in paths.iter().enumerate() {
            let name = format!("path/{place}/{name}");
            if !choice.samples(&name, 4) {
                continue;
            }
            let scene = Scene::new(&text.replace("PATH", &quoted(path)));
            std::os::unix::fs::symlink("../around", scene.system.root().join("out")).unwrap();
            let compiled = scene.meet(&name, "check", &[], &mut tally).is_some_and(|ran| ran.code == Some(0));
            // What the compiler lets through is applied, and a part of what it does not.
            if compiled || choice.all() || at == drawn {
                let approve = ["--all", "--as", "ada", "--note", "a test"];
                for (command, args) in [
                    ("plan", &[][..]),
                    ("approve", &approve),
                    ("apply", &["--yes"]),
                    ("rollback", &["--to", "start", "--yes"]),
                ] {
                    scene.meet(&name, command, args, &mut tally);
                }
            }
        }
    }
    tally.end("J", "paths that lead out", &choice);
}
