//! A journal that a failing disk cut or changed: it reads as what it was, or as it was earlier, or is known to be damaged.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use cutover_core::journal::{Entry, Record};
use jiff::Timestamp;

use super::*;

/// A folder in memory where there is such a place: thousands of journals are written.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn large() -> Arc<[u8]> {
    (0..9_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect::<Vec<_>>().into()
}

/// Three transactions, the first with plan files, one of which fills pages of its own.
fn fill(journal: &mut Journal) {
    for epoch in 1..4 {
        let skipped =
            |i| Record::StepSkipped { step: format!("s{epoch}{i}"), why: "x".repeat(90), digest: "d".repeat(64) };
        let files: [Arc<[u8]>; 2] = [large(), b"SELECT 1;".as_slice().into()];
        let objects = files.into_iter().filter(|_| epoch == 1).map(|f| (blake3_hex(&f), f)).collect();
        journal
            .append("p", "r", epoch, Timestamp::UNIX_EPOCH, &(0..5).map(skipped).collect::<Vec<_>>(), &objects)
            .unwrap();
    }
}

/// The files of a journal.
#[derive(Debug, Clone)]
struct Files {
    main: Vec<u8>,
    log: Vec<u8>,
}

impl Files {
    fn of(state: &Path) -> Self {
        let path = Journal::path_in(state);
        Self { main: fs::read(&path).unwrap(), log: fs::read(path.with_extension("db-wal")).unwrap_or_default() }
    }

    fn put(&self, state: &Path) {
        let path = Journal::path_in(state);
        let _ = fs::remove_file(path.with_extension("db-shm"));
        fs::write(&path, &self.main).unwrap();
        if self.log.is_empty() {
            let _ = fs::remove_file(path.with_extension("db-wal"));
        } else {
            fs::write(path.with_extension("db-wal"), &self.log).unwrap();
        }
    }
}

/// A journal that was closed, and one whose program was killed: there all is in the log.
fn whole() -> [Files; 2] {
    let closed = folder();
    fill(&mut Journal::open_write(closed.path()).unwrap());
    let killed = folder();
    let mut open = Journal::open_write(killed.path()).unwrap();
    fill(&mut open);
    let files = [Files::of(closed.path()), Files::of(killed.path())];
    assert!(files[0].log.is_empty() && !files[1].log.is_empty());
    files
}

fn entries(journal: &Journal) -> Result<Vec<Entry>, JournalError> {
    journal.state("p")?;
    journal.entries("p")
}

/// Whether it was believed, as what it was or an earlier one; or what is wrong with that.
fn judge(state: &Path, whole: &[Entry]) -> Result<bool, String> {
    let judged = |read: Result<Vec<Entry>, JournalError>, what: &str| match read {
        Ok(read) if whole.starts_with(&read) => Ok(Some(read.len())),
        Ok(read) => Err(format!("{what} believes {} records that never were", read.len())),
        Err(JournalError::Damaged { .. }) => Ok(None),
        Err(error) => Err(format!("{what}: {error:?}")),
    };
    let looked = Journal::open_read(state).and_then(|j| j.as_ref().map_or(Ok(Vec::new()), entries));
    let looked = judged(looked, "reading")?;
    let mut journal = match Journal::open_write(state).and_then(|j| entries(&j).map(|read| (j, read))) {
        Ok((journal, read)) => {
            let read = judged(Ok(read), "writing")?;
            if looked.is_some_and(|looked| Some(looked) != read) {
                return Err(format!("to a reader it has {looked:?} records, to a writer {read:?}"));
            }
            if read != Some(0) && journal.object(&blake3_hex(&large())).ok().flatten() != Some(large()) {
                return Err("a plan file is lost and nobody says so".to_owned());
            }
            journal
        }
        Err(error) => return judged(Err(error), "writing").map(|_| false),
    };
    let more = vec![Record::StepSkipped { step: "more".into(), why: "x".into(), digest: String::new() }];
    journal
        .append(
            "p",
            "r",
            9,
            Timestamp::UNIX_EPOCH,
            &more,
            &BTreeMap::from([(blake3_hex(b"more"), b"more".as_slice().into())]),
        )
        .map_err(|error| format!("it was believed and cannot be written: {error:?}"))?;
    drop(journal);
    match Journal::open_read(state) {
        Ok(Some(_)) => Ok(true),
        other => Err(format!("it was believed, written, and is now {other:?}")),
    }
}

/// Judges each variant; all that is wrong, and how many were believed.
fn judge_all(whole: &Files, variants: impl Iterator<Item = (String, Files)>) -> usize {
    let dir = folder();
    whole.put(dir.path());
    let all = entries(&Journal::open_read(dir.path()).unwrap().unwrap()).unwrap();
    assert_eq!(all.len(), 15);
    let (mut wrong, mut believed) = (Vec::new(), 0);
    for (name, files) in variants {
        files.put(dir.path());
        match judge(dir.path(), &all) {
            Ok(yes) => believed += usize::from(yes),
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} wrong:\n{shown}", wrong.len());
    believed
}

/// Every bit of what matters most, and one bit of some bytes of the rest; every bit with `CUTOVER_KILLS=all`.
fn bits(length: usize, dense: Range<usize>) -> impl Iterator<Item = (usize, u8)> {
    let all = std::env::var("CUTOVER_KILLS").is_ok_and(|kills| kills == "all");
    let seed = std::env::var("CUTOVER_SEED").ok().and_then(|seed| seed.parse::<usize>().ok());
    let now = || usize::try_from(crate::clock::now().as_second()).unwrap();
    let seed = seed.unwrap_or_else(now);
    let wanted = move |at: usize, bit: u8| {
        all || dense.contains(&at) || (at + seed).is_multiple_of(7) && (at / 7 + seed) % 8 == usize::from(bit)
    };
    (0..length).flat_map(|at| (0..8).map(move |bit| (at, bit))).filter(move |(at, bit)| wanted(*at, *bit))
}

fn flipped(bytes: &[u8], at: usize, bit: u8) -> Vec<u8> {
    let mut bytes = bytes.to_owned();
    bytes[at] ^= 1 << bit;
    bytes
}

#[test]
fn a_journal_that_is_cut_anywhere_is_an_earlier_one_or_known_to_be_damaged() {
    let [closed, killed] = whole();
    let main = (0..closed.main.len()).filter(|at| *at < 200 || at % 64 < 2);
    judge_all(
        &closed,
        main.map(|at| (format!("main/{at}"), Files { main: closed.main[..at].to_owned(), log: Vec::new() })),
    );
    let log = (0..killed.log.len()).filter(|at| *at < 200 || at % 16 == 0 || killed.log.len() - at < 200);
    let cut = |at| Files { main: killed.main.clone(), log: killed.log[..at].to_owned() };
    let believed = judge_all(&killed, log.map(|at| (format!("log/{at}"), cut(at))));
    assert!(believed > 100, "a log that is cut is an earlier one: only {believed} were believed");
}

#[test]
fn a_journal_with_any_bit_turned_is_what_it_was_or_an_earlier_one_or_known_to_be_damaged() {
    let [closed, killed] = whole();
    let main = bits(closed.main.len(), 0..108);
    let turned =
        |(at, bit)| (format!("main/{at}/{bit}"), Files { main: flipped(&closed.main, at, bit), log: Vec::new() });
    judge_all(&closed, main.map(turned));
    let log = bits(killed.log.len(), 0..56);
    let turned = |(at, bit)| {
        (format!("log/{at}/{bit}"), Files { main: killed.main.clone(), log: flipped(&killed.log, at, bit) })
    };
    judge_all(&killed, log.map(turned));
}
