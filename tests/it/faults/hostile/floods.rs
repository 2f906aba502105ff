//! Plans of many megabytes, of endless nesting, and of a hundred thousand of everything.

use std::fmt::Write as _;

use super::child::{Scene, plan, step};
use crate::faults::choice::Choice;
use crate::faults::tally::Tally;

const TABLE: &str = "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE t (a)\"] }";

fn each(count: usize, of: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, i| {
        let _ = write!(text, "{}", of(i));
        text
    })
}

/// A step of that kind, with a list or table of that many entries in its `with`.
fn with(kind: &str, rest: &str, key: &str, entries: &str) -> String {
    plan("storage", &step("s", &format!("use = \"{kind}\"\ntarget = \"app\"\nwith = {{ {rest} {key} = {entries} }}")))
}

fn list(count: usize, of: impl Fn(usize) -> String) -> String {
    format!("[{}]", each(count, |i| format!("{}, ", of(i))))
}

fn tables(count: usize, more: impl Fn(usize) -> String) -> String {
    let one = |i: usize| {
        step(&format!("s{i}"), &format!("{}\n{}", TABLE.replace("TABLE t", &format!("TABLE t{i}")), more(i)))
    };
    plan("storage", &each(count, one))
}

/// Each with its name, and the code that `check` ends with.
fn floods() -> Vec<(&'static str, i32, String)> {
    let n = 100_000;
    let whole = plan("storage", &step("s", TABLE));
    vec![
        ("100-megabytes", 65, "# a comment\n".repeat(9 << 20)),
        ("8-megabytes-in-one-text", 0, format!("{whole}summary = \"{}\"\n", "x".repeat(7 << 20))),
        ("8-megabytes-in-one-key", 65, format!("{} = 1\n{} = 2\n", "x".repeat(4 << 20), "y".repeat(3 << 20))),
        ("nested-lists", 65, format!("a = {}", "[".repeat(n))),
        ("nested-tables", 65, format!("a = {}", "{ a = ".repeat(n))),
        ("nested-lists-side-by-side", 65, format!("a = {}", "[[],".repeat(n))),
        ("dotted-key", 65, format!("a{} = 1", ".a".repeat(n))),
        ("dotted-header", 65, format!("[a{}]", ".a".repeat(n))),
        ("dotted-keys", 65, each(2000, |i| format!("k{i}{} = 1\n", ".a".repeat(70)))),
        ("headers", 65, format!("{whole}{}", each(n, |i| format!("[a{i}]\n")))),
        ("tables-of-a-list", 65, format!("{whole}{}", "[[a]]\n".repeat(n))),
        ("a-million-keys", 65, each(1_000_000, |i| format!("a{i} = 1\n"))),
        ("half-a-million-keys", 65, each(500_000, |i| format!("a{i}=1\n"))),
        ("keys-that-are-there-already", 65, "a = 1\n".repeat(n)),
        ("numbers-for-phases", 65, format!("phase = {}", list(n, |_| "1".to_owned()))),
        ("values-in-with", 65, with("sqlite.check", "", "x", &format!("{{ {} }}", each(n, |i| format!("k{i} = 1, "))))),
        (
            "multiplied-by-variables",
            65,
            format!(
                "{}[vars]\nv = \"{}\"\n",
                with("sqlite.tables", "", "create", &list(1, |_| format!("\"{}\"", "${vars.v}".repeat(5000)))),
                "y".repeat(1_000_000)
            ),
        ),
        (
            "lists-multiplied-by-variables",
            65,
            format!(
                "{}[vars]\nv = {}\n",
                with("sqlite.tables", "", "create", &list(5000, |_| "\"${vars.v}\"".to_owned())),
                list(n, |i| i.to_string())
            ),
        ),
        ("tables", 65, with("sqlite.tables", "", "create", &list(n, |i| format!("\"CREATE TABLE t{i} (a)\"")))),
        ("indexes", 65, with("sqlite.indexes", "", "create", &list(n, |i| format!("\"CREATE INDEX i{i} ON t (a)\"")))),
        ("columns", 65, with("sqlite.columns", "table = \"t\",", "add", &list(n, |i| format!("\"a{i} TEXT\"")))),
        (
            "rows",
            0,
            with("sqlite.rows", "table = \"t\", key = [\"a\"],", "rows", &list(20_000, |i| format!("{{ a = {i} }}"))),
        ),
        (
            "parentheses",
            65,
            with(
                "sqlite.tables",
                "",
                "create",
                &format!("[\"CREATE TABLE t (a DEFAULT {}1{})\"]", "(".repeat(n), ")".repeat(n)),
            ),
        ),
        ("steps", 0, tables(5000, |_| String::new())),
        ("needs-that-are-not-there", 65, tables(5000, |i| format!("needs = [\"q{i}\"]"))),
        ("one-id-for-all", 65, plan("storage", &step("s", TABLE).repeat(5000))),
        ("one-unit", 0, tables(5000, |_| "unit = \"u\"".to_owned())),
        (
            "targets-that-are-not-there",
            65,
            tables(5000, |_| String::new()).replace("target = \"app\"", "target = \"ape\""),
        ),
        (
            "targets",
            0,
            format!("{whole}{}", each(20_000, |i| format!("[targets.t{i}]\nkind = \"sqlite\"\npath = \"{i}.db\"\n"))),
        ),
    ]
}

#[test]
fn a_flood_of_anything_is_refused_or_taken_in_bounded_time_and_memory() {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    for (name, code, plan) in floods() {
        let name = format!("flood/{name}");
        if !choice.samples(&name, 3) {
            continue;
        }
        let scene = Scene::new(&plan);
        if let Some(ran) = scene.meet(&name, "check", &[], &mut tally) {
            let short = ran.stdout.len() + ran.stderr.len() < 200_000;
            let as_said = if ran.code == Some(code) && short { Ok(()) } else { Err(format!("{:?}", ran.code)) };
            tally.way_out(&name, as_said, &scene.system.seen(&ran).chars().take(2000).collect::<String>());
        }
    }
    tally.end("J", "floods of TOML", &choice);
}

#[test]
fn what_is_no_text_of_ours_is_refused_with_its_place() {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    let whole = plan("storage", &step("s", TABLE));
    let wide: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(&str, i32, Vec<u8>); 6] = [
        ("invalid-utf-8", 65, [whole.as_bytes(), b"# \xff\xfe\n"].concat()),
        ("utf-16", 65, wide),
        ("nul", 65, whole.replace("app.db", "app\0.db").into_bytes()),
        ("byte-order-mark", 0, [b"\xef\xbb\xbf", whole.as_bytes()].concat()),
        ("crlf", 0, whole.replace('\n', "\r\n").into_bytes()),
        ("nothing", 65, Vec::new()),
    ];
    for (name, code, bytes) in cases {
        let name = format!("text/{name}");
        if !choice.allows(&name) {
            continue;
        }
        let scene = Scene::new("");
        std::fs::write(scene.system.file("plan.toml"), bytes).unwrap();
        for command in ["check", "plan", "apply"] {
            if let Some(ran) = scene.meet(&name, command, &[], &mut tally) {
                let as_said = if ran.code == Some(code) { Ok(()) } else { Err(format!("{:?}", ran.code)) };
                tally.way_out(&name, as_said, &scene.system.seen(&ran));
            }
        }
    }
    tally.end("J", "bytes that are no TOML", &choice);
}
