//! Backups: named as the program names its own, and deleted by `prune` alone, which leaves the last 30.

use std::collections::BTreeSet;
use std::fs;

use super::memory::Memory;

#[test]
fn of_the_backups_the_last_thirty_stay_and_prune_alone_deletes_others() {
    let memory = Memory::over_stand_in();
    let folder = memory.root().join("data/backups");
    let backups = || -> BTreeSet<String> {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.filter(|name| name.starts_with("phl-memory-backup-") && name.ends_with(".bak")).collect()
    };
    fs::create_dir_all(&folder).unwrap();
    let old = |n: usize| format!("phl-memory-backup-20240101_{n:06}.bak");
    (0..40).for_each(|n| fs::write(folder.join(old(n)), "the program's own").unwrap());
    fs::write(folder.join("phl-memory-backup-of-mine.bak"), "named otherwise").unwrap();
    memory.start("v1");
    memory.cutover("apply", &[]).expect_code(0);
    let there = backups();
    assert_eq!(there.len(), 40 + 2 + 1, "{there:?}");
    assert!(there.iter().filter(|name| name.starts_with("phl-memory-backup-2")).count() == 42, "{there:?}");

    let shown = memory.cutover("prune", &[]).expect_code(0).stdout;
    assert!(shown.contains("12 leftovers, ") && shown.contains("an earlier backup"), "{shown}");
    let left = backups();
    let gone: Vec<_> = there.difference(&left).cloned().collect();
    assert_eq!(gone, (0..12).map(old).collect::<Vec<_>>(), "the oldest");
    assert!(gone.iter().all(|name| shown.contains(name.as_str())), "{shown}");

    // What the way back brings is one more; those of the steps are kept, and held no longer.
    memory.wait_for_writes();
    memory.cutover("rollback", &["--to", "start"]).expect_code(0);
    assert_eq!(backups().len(), left.len() + 1);
    memory.cutover("prune", &[]).expect_code(0);
    assert_eq!(backups().iter().filter(|name| name.starts_with("phl-memory-backup-2")).count(), 30);
    assert!(backups().contains("phl-memory-backup-of-mine.bak"));
}
