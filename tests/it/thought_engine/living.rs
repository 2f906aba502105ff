//! There and back under a program that writes all the time.

use std::fs;

use super::memory::Memory;

/// There, where the new program has everything; and back, where the old one has everything, with what the new one wrote.
fn there_and_back(memory: &Memory) {
    memory.start("v1");
    memory.cutover("apply", &["--to", "storage"]).expect_code(0);
    assert!(memory.runs("v2") && !memory.runs("v1"));
    memory.wait_for_writes();
    // Where the demo measures the pause: behind what the one before had written.
    let starts = fs::read_to_string(memory.root().join("run/starts")).unwrap();
    let starts: Vec<(&str, usize)> =
        starts.lines().filter_map(|line| line.split_once(' ')).map(|(who, at)| (who, at.parse().unwrap())).collect();
    assert!(matches!(starts[..], [("v1", 0), ("v2", at)] if (51..memory.written()).contains(&at)), "{starts:?}");
    memory.assert_whole("v2");

    memory.start("v2");
    let status = memory.cutover("status", &[]).expect_code(0).stdout;
    assert!(status.contains("steps done"), "{status}");
    memory.cutover("apply", &[]).expect_code(0);
    memory.cutover("rollback", &["--to", "start"]).expect_code(0);
    assert!(memory.runs("v1") && !memory.runs("v2"));
    memory.wait_for_writes();
    memory.assert_whole("v1");
}

#[test]
fn from_badger_there_and_back_nothing_is_lost_and_nothing_is_there_twice() {
    let Some(memory) = Memory::over_badger() else { return };
    there_and_back(&memory);
}

#[test]
fn without_badger_another_store_stands_for_it() {
    there_and_back(&Memory::over_stand_in());
}
