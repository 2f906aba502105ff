//! What the compiler says of plans that it refuses, one line a mistake.

use crate::kinds::{Case, around, phase, write};

fn said(case: &Case) -> Vec<String> {
    let errors = case.errors();
    errors
        .diagnostics
        .iter()
        .map(|d| {
            let at = d.span.clone().map_or("", |span| &errors.source[span]);
            let at = at.lines().next().unwrap_or("");
            format!("{} at `{at}`: {} ({})", d.code, d.message, d.help.as_deref().unwrap_or(""))
        })
        .collect()
}

#[test]
fn all_mistakes_of_a_plan_are_named_at_once() {
    insta::assert_debug_snapshot!(said(&Case::of(include_str!("wrong.toml"))));
}

#[test]
fn every_unknown_and_every_missing_key_of_a_with_is_named() {
    let case = phase(&write("s", "a", "with = { notes = 1, colour = 2 }"));
    insta::assert_debug_snapshot!(said(&case));
}

#[test]
fn a_refusal_of_the_kind_points_at_the_field_inside_with() {
    let case = phase(&write("s", "a", "with = { add = [{ name = \"é\" }, { name = \"bad\" }] }"));
    insta::assert_debug_snapshot!(said(&case));
}

#[test]
fn a_cycle_is_named_step_by_step() {
    let steps = write("x", "a", "needs = [\"z\"]") + &write("y", "b", "needs = [\"x\"]") + &write("z", "b", "");
    insta::assert_debug_snapshot!(said(&phase(&steps)));
    insta::assert_debug_snapshot!(said(&phase(&write("x", "a", "needs = [\"x\"]"))));
}

#[test]
fn a_snapshot_that_may_be_skipped_does_not_count() {
    let snapshot = "[[phase.step]]\nid = \"shot\"\nuse = \"test.snapshot\"\nwith = { targets = [\"a\"] }\n";
    let when = "when = { target = \"a\", has = \"empty\" }\n";
    let restore = write("x", "a", "with = { add = [], back = \"restore\" }");
    insta::assert_debug_snapshot!(said(&phase(&(snapshot.to_owned() + when + &restore))));
    let between = snapshot.to_owned() + &write("w", "a", "unit = \"u\"") + &restore;
    insta::assert_debug_snapshot!(said(&phase(&between)));
}

#[test]
fn nothing_is_said_of_snapshots_after_a_step_that_could_not_be_built() {
    let snapshot = "[[phase.step]]\nid = \"shot\"\nuse = \"test.snapshot\"\nwith = { targets = [\"aa\"] }\n";
    let restore = write("x", "a", "with = { add = [], back = \"restore\" }");
    insta::assert_debug_snapshot!(said(&phase(&(snapshot.to_owned() + &restore))));
}

#[test]
fn variables_and_secrets_that_are_not_there_are_named() {
    let with = |note: &str| phase(&write("s", "a", &format!("with = {{ add = [], note = \"{note}\" }}")));
    insta::assert_debug_snapshot!(said(&with("${vars.wrd} ${env.NOPE} ${HOME}")));
    insta::assert_debug_snapshot!(said(&with("x").var("siz", "1")));
    insta::assert_debug_snapshot!(said(&with("a ${vars.word}").var("word", "[1]")));
}

#[test]
fn a_plan_of_nothing_is_refused() {
    insta::assert_debug_snapshot!(said(&Case::of("")));
    insta::assert_debug_snapshot!(said(&around("[[phase]]\nname = \"x\"\nlayer = \"storage\"\n")));
}

#[test]
fn a_step_id_may_be_in_capitals_but_two_may_not_differ_in_case_alone() {
    let start = write("MIGRATION_START", "a", "");
    assert_eq!(phase(&start).plan().steps().next().map(|(_, s)| s.id.as_str()), Some("MIGRATION_START"));
    insta::assert_debug_snapshot!(said(&phase(&(start + &write("migration_start", "b", "")))), @r#"
    [
        "P301 at `\"migration_start\"`: two steps have the id `migration_start` (give one of them another name; what was applied already is known by its old one)",
    ]
    "#);
}
