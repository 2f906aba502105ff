//! No input makes the compiler panic, overflow its stack or hang.

use cutover_core::plan::CompileErrors;
use proptest::prelude::*;

use crate::kinds::{Case, phase, write};

/// Compiles, and checks that every span is a piece of the text.
fn survive(text: &str) -> Option<CompileErrors> {
    let errors = Case::of(text).file("sql/x.sql", "SELECT 1").compile().err()?;
    assert!(!errors.diagnostics.is_empty());
    for (d, span) in errors.diagnostics.iter().filter_map(|d| Some((d, d.span.clone()?))) {
        assert!(errors.source.get(span.clone()).is_some(), "{span:?} cuts a character or lies outside");
        errors.position(d, span.start);
    }
    assert!(!errors.to_string().is_empty());
    Some(errors)
}

fn codes(text: &str) -> Vec<&'static str> {
    survive(text).map(|e| e.diagnostics.iter().map(|d| d.code).collect()).unwrap_or_default()
}

#[test]
fn nesting_without_end_is_refused_once() {
    let n = 100_000;
    assert_eq!(codes(&format!("a = {}", "[".repeat(n))), ["P103"]);
    assert_eq!(codes(&format!("a = {}", "{a=".repeat(n))), ["P103"]);
    assert_eq!(codes(&format!("a{} = 1", ".a".repeat(n))), ["P103"]);
    assert_eq!(codes(&format!("[a{}]", ".a".repeat(n))), ["P103"]);
}

#[test]
fn nesting_that_the_parser_lets_through_is_refused_where_it_would_be_used() {
    let dotted = format!("{{ a{} = ", ".a".repeat(70));
    let deep = format!("{}1{}", dotted.repeat(70), "}".repeat(70));
    assert_eq!(
        survive(&phase(&write("s", "a", &format!("with = {deep}"))).text).map(|e| e.diagnostics[0].code),
        Some("P103")
    );
    assert!(codes(&format!("name = \"x\"\n[vars]\nv = {deep}\n")).contains(&"P103"));
    survive(&format!("unknown = {deep}"));
    survive(&format!("name = {deep}"));
}

#[test]
fn a_flood_of_mistakes_is_cut_short() {
    let errors = survive(&"= = ]\n".repeat(100_000)).map(|e| e.diagnostics).unwrap_or_default();
    assert_eq!((errors.len(), errors[200].code), (201, "P104"));
}

#[test]
fn a_file_of_a_hundred_megabytes_is_refused_unread() {
    assert_eq!(codes(&"# x\n".repeat(25 << 20)), ["P102"]);
}

#[test]
fn a_byte_order_mark_and_other_line_endings_are_tolerated_and_a_nul_is_not() {
    let plan = phase(&write("s", "a", "")).text;
    let windows = format!("\u{feff}{}", plan.replace('\n', "\r\n"));
    assert_eq!(codes(&windows), Vec::<&str>::new());
    assert!(codes(&plan.replace("\"a.db\"", "\"a\0.db\"")).iter().all(|code| *code == "P101"));
    assert_eq!(codes(&plan.replace("\"a.db\"", r#""a\u0000.db""#)), ["P311"]);
    let errors = survive(&windows.replace("name = \"p\"", "nome = \"é\"")).unwrap_or_else(|| panic!("refused"));
    assert_eq!(errors.to_string().lines().next(), Some("plan.toml:1:1: a plan has no key `nome` [P201]"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_plan_makes_the_compiler_panic(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[\\PC\n\"'{}=\\[\\].]{0,6}"), 1..6),
        wrong in any::<bool>(),
    ) {
        let plan = if wrong { include_str!("wrong.toml") } else { include_str!("whole.toml") };
        let mut text: Vec<char> = plan.chars().collect();
        for (at, length, new) in cuts {
            let at = at.index(text.len().max(1)).min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, new.chars());
        }
        survive(&text.into_iter().collect::<String>());
    }

    #[test]
    fn no_change_of_a_value_makes_the_compiler_panic(at in any::<prop::sample::Index>(), value in 0usize..12) {
        let values = ["1", "-0.0", "nan", "\"\"", "[]", "{}", "true", "1979-05-27", "[[]]", "\"${vars.\"", "\"é${env.\"", "{ a.b = 1 }"];
        let plan = include_str!("whole.toml");
        let lines: Vec<&str> = plan.lines().collect();
        let nth = at.index(lines.len());
        let changed = lines.iter().enumerate().map(|(i, line)| match line.split_once(" = ") {
            Some((key, _)) if i == nth => format!("{key} = {}\n", values[value]),
            _ => format!("{line}\n"),
        });
        survive(&changed.collect::<String>());
    }
}
