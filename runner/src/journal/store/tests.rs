//! The journal store in real folders: what it gives back, and what it refuses.

use std::collections::BTreeMap;

use cutover_core::journal::Record;
use jiff::Timestamp;

use super::*;

fn skipped(step: &str) -> Record {
    Record::StepSkipped { step: step.into(), why: "x".into(), digest: String::new() }
}

fn append(journal: &mut Journal, epoch: u64, steps: &[&str]) -> Result<u64, JournalError> {
    let records: Vec<_> = steps.iter().map(|s| skipped(s)).collect();
    journal.append("p", "r", epoch, Timestamp::UNIX_EPOCH, &records, &BTreeMap::new())
}

#[test]
fn what_was_appended_is_read_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_write(dir.path()).unwrap();
    append(&mut journal, 1, &["a", "b"]).unwrap();
    append(&mut journal, 2, &["c"]).unwrap();
    let read = Journal::open_read(dir.path()).unwrap().unwrap();
    let steps: Vec<_> = read.entries("p").unwrap().into_iter().map(|e| (e.seq, e.epoch, e.record)).collect();
    assert_eq!(steps, [(1, 1, skipped("a")), (2, 1, skipped("b")), (3, 2, skipped("c"))]);
    assert_eq!(read.max_epoch(), 2);
}

#[test]
fn a_changed_or_missing_record_is_detected() {
    for damage in ["UPDATE events SET body = replace(body, 'a', 'z') WHERE seq = 1", "DELETE FROM events WHERE seq = 2"]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open_write(dir.path()).unwrap();
        append(&mut journal, 1, &["a", "b", "c"]).unwrap();
        journal.connection.execute_batch(damage).unwrap();
        drop(journal);
        let error = Journal::open_read(dir.path()).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { damage: Damage::Chain(_), .. }), "{damage}: {error}");
    }
}

#[test]
fn an_older_epoch_cannot_append_after_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = Journal::open_write(dir.path()).unwrap();
    append(&mut old, 1, &["a"]).unwrap();
    let mut new = Journal::open_write(dir.path()).unwrap();
    append(&mut new, 2, &["b"]).unwrap();
    let error = append(&mut old, 1, &["c"]).unwrap_err();
    assert!(matches!(error, JournalError::Fenced { theirs: 2, ours: 1 }), "{error}");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open_write(dir.path()).unwrap();
    journal.connection.execute_batch("UPDATE meta SET value = '2'; PRAGMA user_version = 2").unwrap();
    drop(journal);
    let error = Journal::open_read(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("has format version 2; this program knows up to 1"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(Journal::path_in(dir.path()), "this is not a database, and long enough to be read as one").unwrap();
    let error = Journal::open_write(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { damage: Damage::File(_), .. }), "{error}");
}

#[test]
fn a_second_damaged_journal_is_set_aside_beside_the_first() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["one", "two"] {
        fs::write(Journal::path_in(dir.path()), text).unwrap();
        let aside = Journal::set_aside(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_journal_that_was_begun_and_not_made_is_none() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(Journal::path_in(dir.path()), "").unwrap();
    assert!(Journal::open_read(dir.path()).unwrap().is_none());
    append(&mut Journal::open_write(dir.path()).unwrap(), 1, &["a"]).unwrap();
    assert!(Journal::open_read(dir.path()).unwrap().is_some());
}

#[test]
fn a_journal_whose_making_was_cut_short_is_none() {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = Journal::path_in(dir.path());
    let open = Connection::open(&path).unwrap();
    open.execute_batch(
        "PRAGMA cache_size = 1; BEGIN; CREATE TABLE meta (x); INSERT INTO meta VALUES (zeroblob(90000))",
    )
    .unwrap();
    for name in ["journal.db", "journal.db-journal"] {
        fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
    }
    assert!(Journal::open_read(killed.path()).unwrap().is_none());
    append(&mut Journal::open_write(killed.path()).unwrap(), 1, &["a"]).unwrap();
    assert!(Journal::open_read(killed.path()).unwrap().is_some());
}

/// SQLite's own limit stands for the disk's.
fn fill(journal: &Journal) {
    let pages: i64 = journal.connection.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
    journal.connection.pragma_update(None, "max_page_count", pages).unwrap();
}

#[test]
fn on_a_full_disk_the_room_that_was_kept_is_given_up_and_nothing_may_begin() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_write(dir.path()).unwrap();
    append(&mut journal, 1, &["a"]).unwrap();
    let reserve = dir.path().join("reserve");
    assert!(reserve.exists() && !journal.is_short());
    fill(&journal);
    let long = "x".repeat(10_000);
    let error = append(&mut journal, 1, &[&long]).unwrap_err();
    assert!(matches!(error, JournalError::NoRoom { .. }), "{error}");
    assert!(!reserve.exists() && journal.is_short());
}
