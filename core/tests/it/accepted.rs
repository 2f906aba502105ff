//! What the compiler makes of plans that it accepts.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::kinds::{Case, around, phase, write};
use cutover_core::Occasion;
use cutover_core::plan::{Likelihood, OnFailure};
use serde_json::json;

fn needs(case: &Case) -> Vec<String> {
    case.plan().steps().map(|(_, s)| format!("{} <- {}", s.id, s.needs.join(" "))).collect()
}

#[test]
fn a_whole_plan_compiles_to_its_model() {
    let case = Case::of(include_str!("whole.toml")).file("sql/x.sql", "SELECT 1");
    let plan = case.plan();
    assert_eq!((plan.name.as_str(), plan.on_failure), ("whole", OnFailure::Pause));
    assert_eq!(plan.targets["a"].ledger.as_deref(), Some("migrations"));
    let step = plan.step("things").expect("it is there");
    assert_eq!(step.kind, "test.write", "an alias is resolved");
    assert_eq!(
        step.config,
        json!({ "add": [{ "name": "hi there", "count": 3 }], "script": "sql/x.sql", "note": "${env.TOKEN}" })
    );
    assert_eq!(step.files["sql/x.sql"], Arc::from(*b"SELECT 1"));
    // SHA-256 of "SELECT 1".
    assert_eq!(step.checksum, "e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701f386135d72cdecf5");
    assert_eq!(step.when.as_ref().map(|w| w.lacks.clone()), Some(vec!["table:t".into(), "column:t.c".into()]));
    assert_eq!(step.unit.as_deref(), Some("both"));
    assert!(!step.atomic);
    assert_eq!(plan.step("end").map(|s| s.supersedes.clone()), Some(vec!["things".into()]));
    assert_eq!(plan.secrets, ["s3cret"]);
    let told: Vec<_> = plan.notify.iter().map(|n| (n.kind.as_str(), &n.on[..], n.config["to"].clone())).collect();
    assert_eq!(told, [("test.tell", &[Occasion::Failed, Occasion::Milestone][..], json!("${env.TOKEN}"))]);
    assert_eq!(plan.risks[0].likelihood, Likelihood::Medium);
}

#[test]
fn steps_that_share_a_target_follow_each_other_and_readers_run_side_by_side() {
    let look = |id: &str| format!("[[phase.step]]\nid = \"{id}\"\nuse = \"test.look\"\ntarget = \"a\"\n");
    let steps = [write("w1", "a", ""), look("r1"), look("r2"), write("w2", "a", ""), write("other", "b", "")].concat();
    assert_eq!(needs(&phase(&steps)), ["w1 <- ", "r1 <- w1", "r2 <- w1", "w2 <- r1 r2", "other <- "]);
}

#[test]
fn a_condition_is_not_looked_at_while_another_step_writes_its_target() {
    let steps = write("w", "a", "") + &write("asks", "b", "when = { target = \"a\", has = \"empty\" }");
    assert_eq!(needs(&phase(&steps)), ["w <- ", "asks <- w"]);
}

#[test]
fn needs_reach_back_across_phases() {
    let text = "[[phase]]\nname = \"one\"\nlayer = \"storage\"\n".to_owned()
        + &write("x", "a", "")
        + "[[phase]]\nname = \"two\"\nlayer = \"engine\"\n"
        + &write("y", "b", "needs = [\"x\"]")
        + &write("z", "a", "");
    assert_eq!(needs(&around(&text)), ["x <- ", "y <- x", "z <- "]);
}

fn digest(with: &str, script: &str, case: fn(Case) -> Case) -> String {
    let text = write("s", "a", &format!("with = {with}"));
    case(phase(&text).file("x.sql", script)).plan().step("s").map_or_else(String::new, |s| s.digest.clone())
}

#[test]
fn a_digest_is_blind_to_layout_comments_and_tuning_and_to_nothing_else() {
    let plain = digest(r#"{ add = [], script = "x.sql", batch = 1 }"#, "SELECT 1", |c| c);
    assert_eq!(plain, digest(r#"{script="x.sql",batch=2,add=[]}"#, "-- why\r\nSELECT   1\n", |c| c));
    assert_ne!(plain, digest(r#"{ add = [], script = "x.sql" }"#, "SELECT 2", |c| c));
    assert_ne!(plain, digest(r#"{ add = [{ name = "x" }], script = "x.sql" }"#, "SELECT 1", |c| c));
}

#[test]
fn a_variable_is_part_of_the_digest_where_it_is_used_or_bound_by_sql() {
    let with = r#"{ add = [], note = "${vars.word}" }"#;
    assert_ne!(digest(with, "", |c| c), digest(with, "", |c| c.var("word", "bye")));
    assert_eq!(digest(with, "", |c| c), digest(with, "", |c| c.var("size", "4")));
    let bound = r#"{ add = [], script = "x.sql" }"#;
    assert_ne!(digest(bound, "SELECT :size", |c| c), digest(bound, "SELECT :size", |c| c.var("size", "4")));
    assert_eq!(digest(bound, "SELECT size", |c| c), digest(bound, "SELECT size", |c| c.var("size", "4")));
}

#[test]
fn a_variable_keeps_its_type_and_never_smuggles_in_a_secret() {
    let text = write("s", "a", "with = { add = [{ name = \"${vars.word}\", count = \"${vars.size}\" }] }");
    let plan = phase(&text).var("word", "${env.TOKEN}").var("size", "7").plan();
    let step = plan.step("s").expect("it is there");
    assert_eq!(step.config["add"], json!([{ "name": "$${env.TOKEN}", "count": 7 }]));
    assert!(plan.secrets.is_empty());
}

#[test]
fn a_snapshot_before_it_or_a_common_unit_makes_a_restore_lawful() {
    let snapshot = "[[phase.step]]\nid = \"shot\"\nuse = \"test.snapshot\"\nwith = { targets = [\"a\"] }\n";
    let restore = |id: &str, more: &str| write(id, "a", &format!("with = {{ add = [], back = \"restore\" }}\n{more}"));
    phase(&(snapshot.to_owned() + &restore("x", ""))).plan();
    phase(&(snapshot.to_owned() + &restore("x", "unit = \"u\"") + &restore("y", "unit = \"u\""))).plan();
    let again = snapshot.replace("\"shot\"", "\"shot2\"");
    phase(&(snapshot.to_owned() + &restore("x", "") + &again + &restore("y", ""))).plan();
}

#[test]
fn ten_thousand_steps_of_one_target_need_one_predecessor_each() {
    let mut steps = String::new();
    for i in 0..10_000 {
        let _ = write!(steps, "{}", write(&format!("s{i}"), "a", ""));
    }
    let plan = phase(&steps).plan();
    assert_eq!(plan.steps().map(|(_, s)| s.needs.len()).sum::<usize>(), 9_999);
}

#[test]
fn risks_are_kept_in_the_plans_order_and_change_no_digest() {
    let risk = |text: &str, watched: &str| {
        format!(
            "[[risk]]\nrisk = \"{text}\"\nlikelihood = \"low\"\nimpact = \"i\"\nmitigation = \"m\"\nwatched-by = {watched}\n"
        )
    };
    let bare = phase(&write("s", "a", "")).plan();
    let steps = write("s", "a", "");
    let risks = risk("first", "\"s\"") + &risk("second", "[]");
    let with = around(&(risks + "[[phase]]\nname = \"one\"\nlayer = \"storage\"\n" + &steps)).plan();
    let names: Vec<_> = with.risks.iter().map(|r| (r.risk.as_str(), r.watched_by.join(" "))).collect();
    assert_eq!(names, [("first", "s".to_owned()), ("second", String::new())]);
    assert_eq!(bare.digest, with.digest);
}
