//! A backup that is not whole: nothing of the program's changes, and it goes on.

use std::fs;

use super::memory::Memory;

#[test]
fn a_backup_that_is_cut_short_is_found_before_anything_stops() {
    let memory = Memory::over_stand_in();
    let programs = memory.root().join("bin/programs");
    let text = fs::read_to_string(&programs).unwrap();
    // What it prints ends somewhere in a record, and it says that all is well.
    let short =
        "v1() { if [ \"$1 $3\" = \"ask backup\" ]; then whole \"$@\" | head -c 1000000; else whole \"$@\"; fi; }";
    fs::write(&programs, format!("{}\n{short}\n", text.replace("v1()", "whole()"))).unwrap();
    memory.start("v1");
    let refused = memory.cutover("apply", &[]).expect_code(100);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("of which 999992 are there") && said.contains("rolled back"), "{said}");
    assert!(memory.runs("v1") && !memory.runs("v2"));
    memory.wait_for_writes();
    assert!(!memory.root().join("data/memory").exists() && !memory.root().join("data/scratch").exists());
    fs::write(&programs, text).unwrap();
    memory.cutover("apply", &[]).expect_code(0);
    memory.assert_whole("v2");
}
