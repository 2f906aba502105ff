//! A plan of a kind on its system, killed on one of its two ways, and what must come of it.

use std::path::PathBuf;

use cutover_core::fault;
use tempfile::TempDir;

use super::fault::Fault;
use super::kinds::{Axes, Row};
use super::lab::{Lab, Line, World};
use super::plans::Small;
use crate::system::folder_in_memory;

const APPLY: Line = ("apply", &[]);
const BACK: Line = ("rollback", &["--to", "start", "--yes"]);
const BACK_ACCEPTING: Line = ("rollback", &["--to", "start", "--accept-loss", "--yes"]);
const VERIFY: Line = ("verify", &[]);

/// Which command is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forth,
    Back,
}

impl Way {
    pub(super) const ALL: [Self; 2] = [Self::Forth, Self::Back];

    pub(super) fn line(self) -> Line {
        if self == Self::Forth { APPLY } else { BACK }
    }

    pub(super) fn points(self, row: &Row) -> &'static [&'static str] {
        if self == Self::Forth { row.faults.apply } else { row.faults.rollback }
    }

    /// Whether a step in that state was met by the kill.
    pub(super) fn met(self, state: &str) -> bool {
        match self {
            Self::Forth => ["started", "intended"].contains(&state),
            Self::Back => state == "rolling-back",
        }
    }
}

/// A plan on its system: as it is before, and as it is when all is applied.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) lab: Lab<'static>,
    folder: TempDir,
    before: World,
    after: World,
    /// Whether a record may have failed to be written: what a command wrote is then nobody's, and a restore asks.
    unrecorded: bool,
}

impl Ready {
    pub(super) fn new(row: &Row, axes: Axes) -> Result<Self, String> {
        Self::with_state(row, axes, None)
    }

    /// With its state folder elsewhere.
    pub(super) fn with_state(row: &Row, axes: Axes, state: Option<PathBuf>) -> Result<Self, String> {
        // The test ends with the process.
        let small: &'static Small = Box::leak(Box::new(row.plan(axes)));
        let mut lab = Lab::new(small, axes.wal).with_state(state);
        let folder = folder_in_memory();
        row.left_before().iter().for_each(|path| lab.leave(path));
        let before = lab.world();
        lab.keep(&folder.path().join("Forth"));
        lab.expect(APPLY, 0).map_err(|why| format!("{why}\n{}", lab.trail()))?;
        let after = lab.world();
        lab.keep(&folder.path().join("Back"));
        lab.forget();
        Ok(Self { lab, folder, before, after, unrecorded: false })
    }

    pub(super) fn put_back(&mut self, kept: &str, trail: &str) {
        let kept = self.kept(kept);
        self.lab.put_back(&kept, trail);
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything is applied, once.
    fn forth(&mut self, row: &Row) -> Result<(), String> {
        self.lab.expect(APPLY, 0)?;
        self.lab.agrees(true, false)?;
        self.lab.is(&self.after, true)?;
        self.nothing_left(1)?;
        let ledgered = row.faults.apply.contains(&fault::SQLITE_CHANGE_RECORDED);
        match self.lab.states()?.get("k") {
            Some((state, in_ledger)) if state != "applied" || *in_ledger != ledgered => {
                Err(format!("step `k` is {state}; in the ledger: {in_ledger}"))
            }
            _ => Ok(()),
        }
    }

    /// Everything is as it was.
    fn back(&mut self) -> Result<(), String> {
        match self.lab.run(BACK) {
            Some(0) => {}
            Some(101) if self.unrecorded && self.lab.last_said("--accept-loss") => {
                self.lab.expect(BACK_ACCEPTING, 0)?;
            }
            code => return Err(format!("`rollback` ended with {code:?} instead of 0")),
        }
        self.is_back()
    }

    fn is_back(&mut self) -> Result<(), String> {
        self.lab.agrees(true, false)?;
        self.lab.is(&self.before, true)?;
        self.nothing_left(0)?;
        match self.lab.states()?.iter().find(|(_, (state, in_ledger))| state == "applied" || *in_ledger) {
            Some((id, (state, in_ledger))) => Err(format!("step `{id}` is {state}; in the ledger: {in_ledger}")),
            None => Ok(()),
        }
    }

    fn nothing_left(&self, reports: usize) -> Result<(), String> {
        let left = self.lab.left_over();
        if !left.is_empty() {
            return Err(format!("left lying about: {}", left.join(", ")));
        }
        match self.lab.count("kept/assess/migration-plan-") {
            found if found > reports => Err(format!("{found} reports instead of {reports}")),
            _ => Ok(()),
        }
    }

    /// The same command again.
    pub(super) fn goes_on(&mut self, way: Way, row: &Row) -> Result<(), String> {
        match way {
            Way::Forth => {
                self.forth(row)?;
                self.lab.expect(VERIFY, 0)?;
                self.back()
            }
            Way::Back => {
                self.back()?;
                self.forth(row)
            }
        }
    }

    /// The same command again, after one that was refused: what that began to undo is undone to its end first.
    pub(super) fn converges(&mut self, way: Way, row: &Row) -> Result<(), String> {
        self.unrecorded = self.lab.runs_commands();
        let ran = self.lab.ran_with(way.line(), &Fault::default());
        match ran.code {
            Some(0) => self.goes_on(way, row),
            Some(100) if way == Way::Forth => self.goes_on(way, row),
            // What a command wrote that never came to its receipt is nobody's: a restore asks about it.
            Some(101) if self.lab.says(("explain", &[])).contains("--accept-loss") => {
                self.lab.expect(BACK_ACCEPTING, 0)?;
                self.is_back()?;
                self.goes_on(way, row)
            }
            code => Err(format!("the same command again ended with {code:?}")),
        }
    }

    /// The other command.
    pub(super) fn turns_round(&mut self, way: Way, row: &Row) -> Result<(), String> {
        match way {
            Way::Forth => self.back()?,
            // It ends the rollback first, and says so.
            Way::Back => match self.lab.run(APPLY) {
                Some(0 | 100) => {}
                code => return Err(format!("`apply` ended with {code:?}")),
            },
        }
        self.forth(row)?;
        self.back()
    }
}
