//! The program itself, from a shell's point of view. That this test exists also makes `cargo test` build it, which the
//! end-to-end tests of the workspace then run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use assert_cmd::Command;

fn cutover(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cutover")).args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

#[test]
fn it_says_its_version() {
    assert_eq!(cutover(&["--version"]), (Some(0), format!("cutover {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_a_suggestion() {
    let (code, text) = cutover(&["aply"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("apply"), "{text}");
}

#[test]
fn a_missing_plan_ends_with_65() {
    let (code, text) = cutover(&["check", "nowhere.toml"]);
    assert_eq!(code, Some(65), "{text}");
    assert!(text.contains("cannot read the plan `nowhere.toml`"), "{text}");
}
