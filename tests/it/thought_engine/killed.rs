//! Killed while it copies, while it is done with it, and on the way back: the same command again, and everything is there.

use cutover_tests::run;

use super::memory::Memory;

fn killed(memory: &Memory, command: &str, more: &[&str], point: &str) {
    let ran = run(memory.command(command, more).env("FAILPOINTS", format!("{point}=return")));
    assert_eq!(ran.code, None, "{point}: {}{}", ran.stdout, ran.stderr);
    memory.cutover(command, more).expect_code(0);
}

#[test]
fn a_run_that_is_killed_goes_on_where_it_was() {
    let memory = Memory::over_stand_in();
    memory.start("v1");
    killed(&memory, "apply", &[], "kv.copy:batch");
    memory.wait_for_writes();
    killed(&memory, "rollback", &["--to", "start"], "kv.copy:back");
    memory.wait_for_writes();
    assert!(memory.runs("v1") && !memory.runs("v2"));
    memory.assert_whole("v1");
}
