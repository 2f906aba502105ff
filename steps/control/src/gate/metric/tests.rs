//! What lets a run pass, and what a person is told when it does not.

use std::fs;

use cutover_core::Applied;
use cutover_tests::Fixture;

fn plan(with: &str) -> String {
    format!(
        "name = \"p\"\n[[phase]]\nname = \"all\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"it\"\n\
         use = \"gate.metric\"\n[phase.step.with]\nwhat = \"marks\"\nevery = \"1ms\"\n{with}\n"
    )
}

/// Prints the next line of the file `figures` at each call.
const NEXT: &str = "probe = { use = \"command\", unit = \"ms\", run = [\"sh\", \"-c\", \
    \"head -1 figures; tail -n +2 figures > rest; mv rest figures\"] }";

fn open(figures: &str, with: &str) -> Result<Applied, String> {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("figures"), figures).unwrap();
    let bench = Fixture::new(plan(&format!("{NEXT}\n{with}"))).open(root.path());
    bench.apply("it").map_err(|e| e.chain())
}

fn passes(figures: &str, with: &str) -> String {
    match open(figures, with) {
        Ok(Applied::Changed(receipt)) => receipt.notes.join("; "),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_passes_within_its_bounds_and_says_what_it_found() {
    assert_eq!(passes("3\n", "max = 3"), "marks: 3 ms, allowed is at most 3 ms");
    let spike = "1\n2\n900\n2\n1\n";
    assert_eq!(passes(spike, "samples = 5\nmax = 3\nof = \"p50\""), "marks: 2 ms, allowed is at most 3 ms");
}

#[test]
fn it_says_which_sample_broke_it() {
    let spike = "1\n2\n900\n2\n1\n";
    let broken = |with: &str| open(spike, &format!("samples = 5\n{with}")).unwrap_err();
    assert_eq!(broken("max = 3"), "marks: sample 3 of 5 is 900 ms, allowed is at most 3 ms");
    assert_eq!(
        broken("max = 3\nof = \"p95\""),
        "marks: the p95 of 5 samples is 900 ms, allowed is at most 3 ms, broken by sample 3 (900 ms)"
    );
    assert_eq!(
        broken("max = 100\nof = \"mean\""),
        "marks: the mean of 5 samples is 181.2 ms, allowed is at most 100 ms, broken by sample 3 (900 ms)"
    );
    assert!(open("1\nmany\n", "samples = 2\nmax = 3").unwrap_err().contains("sample 2 of 2 could not be taken"));
}

#[test]
fn what_cannot_be_held_is_refused() {
    for (with, why) in [
        ("probe = { use = \"command\", run = [\"true\"] }", "the figure may be anything"),
        ("probe = { use = \"command\", run = [\"true\"] }\nmin = 2\nmax = 1", "no figure is above"),
        ("probe = { use = \"command\", run = [] }\nmax = 1", "an empty command"),
        ("probe = { use = \"comand\", run = [] }\nmax = 1", "no kind of probe `comand`"),
        ("probe = { run = [\"true\"] }\nmax = 1", "a probe needs `use"),
        ("probe = { use = \"command\", run = [\"true\"], timeout = \"soon\" }\nmax = 1", "`soon` is no duration"),
        ("probe = { use = \"command\", run = [\"true\"], rum = 1 }\nmax = 1", "unknown field `rum`"),
        ("probe = { use = \"measure\", target = \"x\", query = \"1\" }\nmax = 1", "the plan has no target `x`"),
    ] {
        let errors = Fixture::new(plan(with)).try_compile().unwrap_err().to_string();
        assert!(errors.contains(why), "{with}: {errors}");
    }
}
