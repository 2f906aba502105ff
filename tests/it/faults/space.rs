//! The disk is full: a little more room each time, until a command has enough; then there is room, and the same command
//! again ends.
//!
//! Root and state lie on file systems in memory whose size the test sets, in mounts of the test process alone. A
//! combination is a kind, how its plan is made, what is short of room, a command, and how many KiB of room there are
//! when the command begins: `kind/mode/grouping/way back/short/command/KiB` is its name. By default the seed draws one
//! plan and one place for each kind and command, and few sizes, further apart the more room there is; `CUTOVER_KILLS=all`
//! meets every plan, and more sizes; a name meets every one below it. See `choice`.

use std::path::{Path, PathBuf};
use std::process::Command;

use cutover_tests::{Ran, run};

use super::choice::Choice;
use super::failure::Failure;
use super::fault::Fault;
use super::kinds::{Axes, Row};
use super::tally::Tally;
use super::ways::{Ready, Way};
use crate::system::folder_in_memory;

const NAME: &str = "faults::space::on_a_full_disk_the_stop_is_recorded_and_with_room_the_same_command_ends";
/// Set in the process that has mounts of its own.
const OWN_MOUNTS: &str = "CUTOVER_OWN_MOUNTS";
const WORKERS: usize = 2;
/// In KiB: what a run keeps for its end.
const RESERVE: usize = 1024;
/// In KiB: nothing here needs more.
const ROOM: usize = 256 * 1024;
const PAGE: usize = 4;

/// What is short of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Short {
    /// One file system for both.
    All,
    State,
    Root,
}

impl Short {
    const ALL: [Self; 3] = [Self::All, Self::State, Self::Root];

    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::State => "state",
            Self::Root => "root",
        }
    }
}

#[test]
fn on_a_full_disk_the_stop_is_recorded_and_with_room_the_same_command_ends() {
    if std::env::var_os(OWN_MOUNTS).is_none() {
        return in_own_mounts();
    }
    let choice = Choice::of_environment();
    let rows = Row::asked_for().into_iter().filter(|row| !row.asks()).collect::<Vec<_>>();
    let met = Tally::of(WORKERS, &rows, |row| tell(row, &choice));
    met.end("C", "no room for root, state or both", &choice);
}

/// Runs this test again where what it mounts is seen by nobody else and ends with it.
#[expect(clippy::print_stderr, reason = "whoever runs the tests wants to know what was left out")]
fn in_own_mounts() {
    let root = run(Command::new("id").arg("-u")).stdout.trim() == "0";
    let options = if root { "-m" } else { "-rUm" };
    let able = Command::new("unshare").args([options, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !able.is_ok_and(|ran| ran.status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "this test mounts file systems: root, or user namespaces, are needed"
        );
        eprintln!("left out: the test of full disks mounts file systems, which this user may not");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    again.arg(options).arg(this).args(["--exact", NAME, "--nocapture"]).env(OWN_MOUNTS, "1");
    assert!(again.status().unwrap().success(), "see above");
}

fn tell(row: &Row, choice: &Choice) -> Tally {
    let mut met = Tally::default();
    let drawn = |what: &str, of: usize| choice.draw(&format!("{}/{what}", row.name), of);
    for way in Way::ALL {
        let first = (drawn("axes", Axes::ALL.len()) + way as usize) % Axes::ALL.len();
        let only = (drawn("short", Short::ALL.len()) + way as usize) % Short::ALL.len();
        for (i, axes) in Axes::ALL.into_iter().enumerate() {
            for (j, short) in Short::ALL.into_iter().enumerate() {
                let name = format!("{}/{}/{}/{}", row.name, axes.name(), short.name(), way.line().0);
                let place = (i + only) % Short::ALL.len();
                let wanted = choice.by_name() || (j == place && (choice.all() || i == first));
                if wanted && choice.allows(&name) {
                    met.add(grow(&name, row, axes, short, way, choice));
                }
            }
        }
    }
    met
}

/// A little more room each time.
fn grow(name: &str, row: &Row, axes: Axes, short: Short, way: Way, choice: &Choice) -> Tally {
    let mut met = Tally::default();
    let folder = folder_in_memory();
    let state = (short != Short::All).then(|| folder.path().join("state"));
    let mut ready = match Ready::with_state(row, axes, state) {
        Ok(ready) => ready,
        Err(why) => {
            let why = format!("the plan cannot be applied undisturbed: {why}");
            met.failures.push(Failure { name: name.to_owned(), why, trail: String::new() });
            return met;
        }
    };
    // What the steps need grows with what there is.
    let large = match row.kind {
        "sqlite" => 16,
        _ if row.has_store() => 8,
        _ => 1,
    };
    // One size that is asked for by name is looked for everywhere.
    let one = !choice.allows(&format!("{name}/any"));
    let mut pace = match (one, choice.all()) {
        (true, _) => 1,
        (_, true) => large * 40,
        _ => large * 80,
    };
    let begins = if one { 0 } else { choice.draw(name, pace / PAGE) * PAGE };
    let mut room = begins;
    loop {
        let name = format!("{name}/{room}");
        if choice.allows(&name) {
            let disk = Disk::over(if short == Short::State { ready.lab.state() } else { ready.lab.root() });
            ready.put_back(&format!("{way:?}"), "");
            disk.leave(room);
            ready.lab.tell(&format!("{room} KiB are left on the file system of {}", short.name()));
            let ran = ready.lab.ran_with(way.line(), &Fault::default());
            let result = match ran.code {
                Some(0) => Ok(()),
                _ => refused(&mut ready, &ran).and_then(|()| {
                    disk.lift();
                    ready.lab.tell("now there is room");
                    ready.converges(way, row)
                }),
            };
            met.faults += 1;
            met.way_out(&name, result, ready.lab.trail());
            if ran.code == Some(0) {
                return met;
            }
        } else if room > ROOM / 2 {
            return met;
        }
        // Until what is kept fits nothing begins: that is met once.
        let nothing = way == Way::Forth && short != Short::Root && room + pace < RESERVE && !choice.by_name();
        room = if nothing { RESERVE + begins } else { room + pace };
        if !one {
            pace += pace / 2;
        }
    }
}

/// What a command that had no room says, and what is known of it.
fn refused(ready: &mut Ready, ran: &Ran) -> Result<(), String> {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    if !matches!(ran.code, Some(66 | 100 | 101 | 104)) || said.contains("panicked") {
        return Err(format!("without room it ended with {:?}", ran.code));
    }
    if !["make room", "free some space"].iter().any(|help| said.contains(help)) {
        return Err("it does not say that room is to be made".to_owned());
    }
    ready.lab.look()?;
    let history = ready.lab.says(("history", &[]));
    let why =
        ["no room left", "disk is full", "No space left", "enough free space"].iter().any(|why| history.contains(why));
    if ran.code == Some(66) || (why && !said.contains("is not recorded")) {
        Ok(())
    } else {
        Err(format!("the stop and its reason are not recorded; the history is\n{history}"))
    }
}

/// A file system in memory over a folder.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    fn over(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={ROOM}k"), "tmpfs"]).arg(&path))
            .expect_code(0);
        Self(path)
    }

    /// So much is left.
    fn leave(&self, room: usize) {
        self.resize(used(&self.0) + room);
    }

    fn lift(&self) {
        self.resize(ROOM);
    }

    fn resize(&self, size: usize) {
        // To say nothing of a size is to have no limit.
        let size = format!("remount,size={}k", size.max(PAGE));
        run(Command::new("mount").args(["-o", &size]).arg(&self.0)).expect_code(0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// KiB that are in use.
fn used(path: &Path) -> usize {
    let said = run(Command::new("df").args(["--output=used", "-B1024"]).arg(path)).expect_code(0).stdout;
    said.lines().last().unwrap().trim().parse().unwrap()
}
