//! The conformance check: every step kind is held to the contract by the same rules.
//!
//! Owns [`Conformance`], the description of one check, and the order in which its scenarios run. Each scenario starts
//! from a root of its own, so that none depends on what another left behind.

mod group;
mod interrupted;
mod rule;
mod scenarios;
mod scene;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use cutover_core::Registry;

use crate::Fixture;
pub use rule::{Report, Rule, Violation};

type Touch = Box<dyn Fn(&Path)>;

/// One check: a plan, the system it runs on, the step that is held to the contract, and how to break what it makes.
///
/// ```no_run
/// # use cutover_tests::Conformance;
/// # const PLAN: &str = "";
/// Conformance::new(PLAN)
///     .file("sql/x.sql", "CREATE TABLE t (a TEXT);")
///     .root(|root| std::fs::write(root.join("app.db"), "").unwrap())
///     .sabotage(|root| { cutover_tests::sqlite3(root.join("app.db"), "DROP TABLE t"); })
///     .foreign(
///         |root| { cutover_tests::sqlite3(root.join("app.db"), "INSERT INTO others VALUES (1)"); },
///         |root| assert_eq!(cutover_tests::sqlite3(root.join("app.db"), "SELECT count(*) FROM others"), "1\n"),
///     )
///     .step("make-table")
///     .check();
/// ```
pub struct Conformance {
    plan: String,
    files: Vec<(String, Vec<u8>)>,
    vars: Vec<(String, String)>,
    ticking: bool,
    registry: Option<Registry>,
    step: Option<String>,
    root: Touch,
    sabotage: Answer<Touch>,
    foreign: Answer<(Touch, Touch)>,
    irreversible: Option<String>,
    invisible: Option<String>,
    leaves: Vec<String>,
}

/// What the author of a check said about one of its parts.
enum Answer<T> {
    Missing,
    Given(T),
    DoesNotApply(String),
}

impl Conformance {
    /// A check on the plan of this text. Steps before the one under test are applied first.
    ///
    /// A step that is undone by restoring its target needs a snapshot before it, or the plan does not compile: put
    /// `use = "testkit.snapshot"`, `with = { targets = ["NAME"] }` there.
    pub fn new(plan: impl Into<String>) -> Self {
        Self {
            plan: plan.into(),
            files: Vec::new(),
            vars: Vec::new(),
            ticking: false,
            registry: None,
            step: None,
            root: Box::new(|_| {}),
            sabotage: Answer::Missing,
            foreign: Answer::Missing,
            irreversible: None,
            invisible: None,
            leaves: Vec::new(),
        }
    }

    /// A file of the plan's folder.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// Files of the plan's folder.
    #[must_use]
    pub fn files<'a>(self, files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        files.into_iter().fold(self, |check, (path, content)| check.file(path, content))
    }

    /// A variable, as `--var` sets it.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The clock ticks: the step waits for it.
    #[must_use]
    pub fn ticking(mut self) -> Self {
        self.ticking = true;
        self
    }

    /// The kinds that the plan may use; by default all that are linked into the test.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Makes the system before the plan, in an empty folder. Called for each scenario: it must do the same each time.
    #[must_use]
    pub fn root(mut self, make: impl Fn(&Path) + 'static) -> Self {
        self.root = Box::new(make);
        self
    }

    /// The id of the step under test; by default the plan's last.
    #[must_use]
    pub fn step(mut self, id: &str) -> Self {
        self.step = Some(id.to_owned());
        self
    }

    /// Breaks what the step made, so that verify must notice.
    #[must_use]
    pub fn sabotage(mut self, break_it: impl Fn(&Path) + 'static) -> Self {
        self.sabotage = Answer::Given(Box::new(break_it));
        self
    }

    /// Says why nothing can be broken.
    #[must_use]
    pub fn no_sabotage(mut self, why: &str) -> Self {
        self.sabotage = Answer::DoesNotApply(why.to_owned());
        self
    }

    /// What others write between apply and rollback, and the assertion that it is still there afterwards.
    #[must_use]
    pub fn foreign(mut self, write: impl Fn(&Path) + 'static, still_there: impl Fn(&Path) + 'static) -> Self {
        self.foreign = Answer::Given((Box::new(write), Box::new(still_there)));
        self
    }

    /// Says why nobody else can write beside the step.
    #[must_use]
    pub fn no_foreign(mut self, why: &str) -> Self {
        self.foreign = Answer::DoesNotApply(why.to_owned());
        self
    }

    /// Says why the step cannot be undone; it must say so itself (`Reversal::Irreversible`).
    #[must_use]
    pub fn irreversible(mut self, why: &str) -> Self {
        self.irreversible = Some(why.to_owned());
        self
    }

    /// Says why apply changes nothing that a fingerprint or a file outside the targets shows.
    #[must_use]
    pub fn invisible(mut self, why: &str) -> Self {
        self.invisible = Some(why.to_owned());
        self
    }

    /// A file or folder (relative to the root, with all that is in it) that stays after a rollback by design.
    #[must_use]
    pub fn leaves(mut self, path: &str) -> Self {
        self.leaves.push(path.to_owned());
        self
    }

    /// Checks every rule; panics with the first that is broken.
    #[track_caller]
    pub fn check(&self) -> Report {
        self.run().unwrap_or_else(|violation| panic!("{violation}"))
    }

    /// Checks every rule.
    pub fn run(&self) -> Result<Report, Violation> {
        scenarios::run(self)
    }

    fn fixture(&self) -> Fixture {
        let mut fixture = match &self.registry {
            Some(registry) => Fixture::with_registry(&self.plan, registry),
            None => Fixture::new(&self.plan),
        };
        for (path, content) in &self.files {
            fixture = fixture.file(path, content);
        }
        if self.ticking {
            fixture = fixture.ticking();
        }
        for (name, value) in &self.vars {
            fixture = fixture.var(name, value);
        }
        fixture
    }
}

impl fmt::Debug for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance").field("step", &self.step).finish_non_exhaustive()
    }
}
