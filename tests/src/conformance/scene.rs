//! One scenario's surroundings: a root of its own, the plan open over it, and what was there before the step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cutover_core::{
    Action, Applied, Fingerprint, Receipt, RestoreOptions, Reversal, SnapshotManifest, Standing, StepError, Verdict,
};
use pollster::block_on;
use tempfile::TempDir;

use super::{Conformance, Rule, Violation};
use crate::{Bench, Fixture, TestHost, Tree};

/// What can be seen of a system: its targets' fingerprints, and the files outside of them.
#[derive(Debug)]
pub(super) struct Marks {
    prints: BTreeMap<String, Fingerprint>,
    others: Tree,
}

impl Marks {
    fn differences(&self, later: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, print) in &self.prints {
            if let Some(now) = later.prints.get(name)
                && now != print
            {
                let found = print.changes(now);
                let found = if found.is_empty() { vec!["differs".to_owned()] } else { found };
                lines.extend(found.into_iter().map(|line| format!("target `{name}`: {line}")));
            }
        }
        lines.extend(self.others.differences(&later.others).into_iter().map(|line| format!("file {line}")));
        lines
    }
}

/// The step under test on a system of its own; the steps before it are applied.
pub(super) struct Scene<'a> {
    check: &'a Conformance,
    fixture: &'a Fixture,
    root: TempDir,
    aside: TempDir,
    bench: Bench,
    snapshot: Option<SnapshotManifest>,
    pub(super) id: String,
    pub(super) before: Marks,
}

impl<'a> Scene<'a> {
    pub(super) fn new(check: &'a Conformance, fixture: &'a Fixture, id: &str) -> Result<Self, Violation> {
        let [root, aside] = [(); 2].map(|()| TempDir::new().unwrap_or_else(|e| panic!("no temporary folder: {e}")));
        (check.root)(root.path());
        let bench = fixture.open(root.path());
        let before = Marks { prints: BTreeMap::new(), others: Tree::default() };
        let mut scene = Self { check, fixture, root, aside, bench, snapshot: None, id: id.to_owned(), before };
        scene.apply_earlier()?;
        scene = scene.reopen(Rule::SetUp)?;
        scene.before = scene.marks(Rule::SetUp)?;
        if let Reversal::Restore(name) = scene.reversal() {
            let target = scene.bench.target(&name);
            let taken = block_on(target.snapshot(&scene.bench.cx(id), &scene.aside.path().join("snapshot")));
            scene.snapshot = Some(taken.map_err(|e| scene.failed(Rule::SetUp, "the snapshot before the step", &e))?);
            scene.same(&scene.before, Rule::SetUp, "after a snapshot of the target")?;
        }
        Ok(scene)
    }

    fn apply_earlier(&self) -> Result<(), Violation> {
        for (_, step) in self.bench.plan().steps() {
            let holds = self.bench.holds(step.when.as_ref());
            let holds = holds.map_err(|e| self.failed(Rule::SetUp, &format!("`when` of `{}`", step.id), &e))?;
            if step.id == self.id {
                return if holds { Ok(()) } else { Err(self.broken(Rule::SetUp, "its `when` does not hold")) };
            }
            if holds {
                let what = format!("apply of the earlier step `{}`", step.id);
                match self.bench.apply(&step.id).map_err(|e| self.failed(Rule::SetUp, &what, &e))? {
                    Applied::Changed(_) | Applied::AlreadyApplied(_) => {}
                    other => return Err(self.broken(Rule::SetUp, format!("{what} came to {other:?}"))),
                }
            }
        }
        Err(self.broken(Rule::SetUp, "the plan has no such step"))
    }

    pub(super) fn bench(&self) -> &Bench {
        &self.bench
    }

    pub(super) fn host(&self) -> &TestHost {
        self.bench.host()
    }

    pub(super) fn reversal(&self) -> Reversal {
        self.bench.step(&self.id).step.reversal()
    }

    /// Whether apply only looks: a check.
    pub(super) fn only_looks(&self) -> bool {
        self.bench.step(&self.id).step.describe().iter().all(|change| change.action == Action::Check)
    }

    pub(super) fn broken(&self, rule: Rule, detail: impl Into<String>) -> Violation {
        let kind = self.bench.plan().step(&self.id).map_or_else(|| "?".to_owned(), |step| step.kind.clone());
        Violation { kind, step: self.id.clone(), rule, detail: detail.into() }
    }

    pub(super) fn failed(&self, rule: Rule, what: &str, error: &StepError) -> Violation {
        let help = error.help().map(|help| format!(" (help: {help})")).unwrap_or_default();
        self.broken(rule, format!("{what} failed: {}{help}", error.chain()))
    }

    /// Closes every target and opens the plan anew, as the next process does: all that stays is the host's memory.
    pub(super) fn reopen(self, rule: Rule) -> Result<Self, Violation> {
        self.meanwhile(rule, |_| {})
    }

    /// The same, with something done to the root while no target is open.
    pub(super) fn meanwhile(self, rule: Rule, act: impl FnOnce(&Path)) -> Result<Self, Violation> {
        let kind = self.broken(rule, "");
        let closed = |e: StepError| Violation { detail: format!("closing a target failed: {}", e.chain()), ..kind };
        let Self { check, fixture, root, aside, bench, snapshot, id, before } = self;
        let host: Arc<TestHost> = bench.close().map_err(closed)?;
        act(root.path());
        let bench = fixture.open_with(root.path(), host);
        Ok(Self { check, fixture, root, aside, bench, snapshot, id, before })
    }

    /// Every byte under the root.
    pub(super) fn files(&self) -> Tree {
        Tree::of(self.root.path())
    }

    pub(super) fn marks(&self, rule: Rule) -> Result<Marks, Violation> {
        let prints = self.bench.fingerprints().map_err(|e| self.failed(rule, "a target's fingerprint", &e))?;
        Ok(Marks { prints, others: self.files().filter(|path| self.is_outside(path)) })
    }

    /// Whether a path belongs to no target, not to state, and is no lock.
    fn is_outside(&self, path: &str) -> bool {
        let under =
            |folder: &str| path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        if under(".cutover") || path.ends_with(".cutover-lock") {
            return false;
        }
        !self.bench.plan().targets.values().any(|spec| {
            let claims = self.fixture.claims(spec);
            claims.iter().map(|claim| claim.trim_start_matches("./")).any(|claim| {
                let file_of_it = path.strip_prefix(claim).is_some_and(|rest| ["-wal", "-journal"].contains(&rest));
                claim.is_empty() || claim == "." || under(claim) || file_of_it
            })
        })
    }

    /// The system is as `then`.
    pub(super) fn same(&self, then: &Marks, rule: Rule, when: &str) -> Result<(), Violation> {
        self.all_same(then, rule, when, &[])
    }

    /// The system is as it was before the step, but for what the step leaves behind by design.
    pub(super) fn as_before(&self, rule: Rule, when: &str) -> Result<(), Violation> {
        self.all_same(&self.before, rule, when, &self.check.leaves)
    }

    fn all_same(&self, then: &Marks, rule: Rule, when: &str, but: &[String]) -> Result<(), Violation> {
        let mut lines = then.differences(&self.marks(rule)?);
        lines.retain(|line| {
            let left = line.strip_prefix("file + ").unwrap_or_default();
            !but.iter().any(|path| {
                Path::new(left).starts_with(path) || (!left.is_empty() && Path::new(path).starts_with(left))
            })
        });
        if lines.is_empty() { Ok(()) } else { Err(self.broken(rule, format!("{when}:\n  {}", lines.join("\n  ")))) }
    }

    /// Not a byte under the root differs from `then`.
    pub(super) fn untouched(&self, then: &Tree, rule: Rule, what: &str) -> Result<(), Violation> {
        let lines = then.differences(&self.files());
        if lines.is_empty() {
            Ok(())
        } else {
            Err(self.broken(rule, format!("{what} wrote:\n  {}", lines.join("\n  "))))
        }
    }

    /// Not a byte outside the state folder differs from `then`.
    pub(super) fn untouched_but_state(&self, then: &Tree, rule: Rule, what: &str) -> Result<(), Violation> {
        let outside = |path: &str| path != ".cutover" && !path.starts_with(".cutover/");
        let lines = then.filter(outside).differences(&self.files().filter(outside));
        if lines.is_empty() {
            Ok(())
        } else {
            Err(self.broken(rule, format!("{what} wrote:\n  {}", lines.join("\n  "))))
        }
    }

    pub(super) fn inspect(&self, rule: Rule) -> Result<Standing, Violation> {
        self.bench.inspect(&self.id).map_err(|e| self.failed(rule, "inspect", &e))
    }

    /// Applies to the end. The receipt, and whether apply says that it changed something.
    pub(super) fn apply(&self, rule: Rule) -> Result<(Receipt, bool), Violation> {
        match self.bench.apply(&self.id).map_err(|e| self.failed(rule, "apply", &e))? {
            Applied::Changed(receipt) => Ok((receipt, true)),
            Applied::AlreadyApplied(receipt) => Ok((receipt, false)),
            Applied::Waiting(why) => Err(self.broken(rule, format!("apply waits: {why}"))),
            Applied::Stopped(at) => {
                Err(self.broken(rule, format!("apply stopped ({}) though no stop was requested", at.at)))
            }
        }
    }

    pub(super) fn verify(&self, rule: Rule, when: &str) -> Result<(), Violation> {
        match self.bench.verify(&self.id).map_err(|e| self.failed(rule, &format!("verify {when}"), &e))? {
            Verdict::Holds => Ok(()),
            Verdict::Broken(lines) => Err(self.broken(rule, format!("{when}, verify says: {}", lines.join("; ")))),
            Verdict::Superseded(by) => Err(self.broken(rule, format!("{when}, verify says: superseded by `{by}`"))),
        }
    }

    /// Undoes the step as the runner does: by its rollback, or by restoring its target.
    pub(super) fn undo(&self, receipt: Option<&Receipt>, rule: Rule, what: &str) -> Result<(), Violation> {
        match (self.reversal(), &self.snapshot) {
            (Reversal::Restore(name), Some(snapshot)) => {
                let aside = TempDir::new_in(self.aside.path()).unwrap_or_else(|e| panic!("no temporary folder: {e}"));
                let options = RestoreOptions {
                    aside: aside.path().join("aside"),
                    accept_loss: true,
                    undone: [(self.id.clone(), receipt.cloned())].into(),
                };
                let restored = block_on(self.bench.target(&name).restore(&self.bench.cx(&self.id), snapshot, &options));
                restored.map_err(|e| self.failed(rule, "the restore", &e))?;
                self.host().forget(&self.id);
                Ok(())
            }
            _ => self.bench.rollback(&self.id, receipt).map_err(|e| self.failed(rule, what, &e)),
        }
    }
}
