//! The rules of the conformance check, what broke one, and what was checked.

use std::fmt;

/// One promise that every step kind keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// The test is set up so that the rules can be checked at all.
    SetUp,
    /// `describe` is pure: the same answer each time, before anything is open, and no file changes.
    DescribeIsPure,
    /// `inspect` is read-only.
    InspectReads,
    /// `inspect` tells the truth: never applied before apply, always applied (or unknown) after it.
    InspectIsTrue,
    /// `apply` does its work.
    Applies,
    /// What `apply` changes can be seen, so that equal fingerprints after a rollback mean something.
    ApplyShows,
    /// A receipt comes back from JSON as it was.
    ReceiptIsJson,
    /// `verify` holds after apply.
    Verifies,
    /// `verify` is read-only.
    VerifyReads,
    /// `apply` twice is `apply` once.
    AppliesOnce,
    /// All of it holds after a crash: targets closed and opened again, the step built anew.
    SurvivesCrash,
    /// `verify` notices when what the step made is broken.
    SabotageShows,
    /// The rollback puts back what was before, and leaves nothing of its own behind.
    RollsBack,
    /// `rollback` twice is `rollback` once.
    RollsBackOnce,
    /// `rollback` without an apply before it changes nothing.
    RollsBackNothing,
    /// `apply` works again after a rollback.
    AppliesAgain,
    /// Nothing is written before the intent is durable.
    IntentComesFirst,
    /// The intent alone is enough to roll back: whatever of apply had happened.
    IntentIsEnough,
    /// A step that stops at a checkpoint can be taken up again, and can be rolled back from there.
    StopsAndGoesOn,
    /// What others wrote between apply and rollback stays.
    KeepsForeign,
    /// The ledger's row says what apply said, and is gone after the rollback.
    LedgerAgrees,
    /// In a transaction shared with other steps: an undone step leaves nothing, a committed one is applied.
    WorksInGroup,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::SetUp => "the test is set up so that the rules can be checked",
            Rule::DescribeIsPure => "describe is pure",
            Rule::InspectReads => "inspect is read-only",
            Rule::InspectIsTrue => "inspect tells the truth",
            Rule::Applies => "apply does its work",
            Rule::ApplyShows => "what apply changes can be seen",
            Rule::ReceiptIsJson => "a receipt survives JSON",
            Rule::Verifies => "verify holds after apply",
            Rule::VerifyReads => "verify is read-only",
            Rule::AppliesOnce => "apply twice is apply once",
            Rule::SurvivesCrash => "all of it holds after a crash",
            Rule::SabotageShows => "sabotage makes verify fail",
            Rule::RollsBack => "rollback puts back what was before",
            Rule::RollsBackOnce => "rollback twice is rollback once",
            Rule::RollsBackNothing => "rollback without apply changes nothing",
            Rule::AppliesAgain => "apply works again after a rollback",
            Rule::IntentComesFirst => "nothing is written before the intent",
            Rule::IntentIsEnough => "the intent alone is enough to roll back",
            Rule::StopsAndGoesOn => "a stopped step goes on, or back",
            Rule::KeepsForeign => "what others wrote stays",
            Rule::LedgerAgrees => "the ledger agrees with the receipt",
            Rule::WorksInGroup => "the step works inside a shared transaction",
        })
    }
}

/// A rule that a step kind broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The step's kind.
    pub kind: String,
    /// The step's id.
    pub step: String,
    /// The rule.
    pub rule: Rule,
    /// What happened.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, step, rule, detail } = self;
        write!(f, "step kind `{kind}` (step `{step}`) breaks the rule \"{rule}\": {detail}")
    }
}

impl std::error::Error for Violation {}

/// What a conformance check looked at, and what it did not, with the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rules that were checked and hold.
    pub checked: Vec<Rule>,
    /// Rules that do not apply, and why.
    pub skipped: Vec<(Rule, String)>,
}

impl Report {
    pub(super) fn held(&mut self, rule: Rule) {
        if !self.checked.contains(&rule) {
            self.checked.push(rule);
        }
    }

    pub(super) fn skip(&mut self, rule: Rule, why: &str) {
        self.skipped.push((rule, why.to_owned()));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.checked {
            writeln!(f, "holds: {rule}")?;
        }
        for (rule, why) in &self.skipped {
            writeln!(f, "not checked: {rule} ({why})")?;
        }
        Ok(())
    }
}
