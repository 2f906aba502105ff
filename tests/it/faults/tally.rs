//! What came of a part of the fault matrix: its line in the matrix's table, and the test's end.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Mutex;

use super::choice::Choice;
use super::failure::Failure;

/// How many failures are told in full.
const SHOWN: usize = 3;

/// Counts of one part, or of a piece of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How many faults came: kills, refused system calls, cut files, and so on.
    pub(super) faults: usize,
    /// How many ways out were gone to their end, each by commands that are documented.
    pub(super) ways_out: usize,
    /// After how many faults something had to be said or settled (`resolve`, `accept`, a tampered file put back) first.
    pub(super) settled: usize,
    pub(super) failures: Vec<Failure>,
}

impl Tally {
    /// What came of each of `items`, so many at once.
    pub(super) fn of<T: Send>(
        workers: usize,
        items: impl IntoIterator<Item = T, IntoIter: Send>,
        tell: impl Fn(T) -> Self + Sync,
    ) -> Self {
        let queue = Mutex::new(items.into_iter());
        let met = Mutex::new(Self::default());
        let worker = || {
            loop {
                let Some(item) = queue.lock().unwrap().next() else { break };
                let found = tell(item);
                met.lock().unwrap().add(found);
            }
        };
        std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(worker))));
        met.into_inner().unwrap()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.faults += other.faults;
        self.ways_out += other.ways_out;
        self.settled += other.settled;
        self.failures.extend(other.failures);
    }

    /// A way out was gone, or there was none.
    pub(super) fn way_out(&mut self, name: &str, result: Result<(), String>, trail: &str) {
        self.ways_out += 1;
        if let Err(why) = result {
            self.failures.push(Failure { name: name.to_owned(), why, trail: trail.to_owned() });
        }
    }

    /// Adds the line of `part` to the table (`CUTOVER_TABLE` names its file) and ends the test.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "whoever runs the matrix wants to see its lines")]
    pub(super) fn end(self, part: &str, what: &str, choice: &Choice) {
        let Self { faults, ways_out, settled, failures } = self;
        let (seed, lost) = (choice.seed(), failures.len());
        let line = format!("{part}\t{what}\t{faults}\t{ways_out}\t{settled}\t{lost}\t{seed}");
        println!("{line}");
        if let Some(table) = std::env::var_os("CUTOVER_TABLE") {
            let mut table = OpenOptions::new().create(true).append(true).open(table).unwrap();
            writeln!(table, "{line}").unwrap();
        }
        assert!(faults > 0 || choice.by_name(), "no fault came: `just faults` builds the program with its failpoints");
        let shown: Vec<_> = failures.iter().take(SHOWN).map(Failure::whole).collect();
        let lines: Vec<_> = failures.iter().map(Failure::line).collect();
        let (shown, lines) = (shown.join("\n\n"), lines.join("\n"));
        assert!(failures.is_empty(), "{shown}\n\n{lost} of {faults} left no way out (CUTOVER_SEED={seed}):\n{lines}");
    }
}
