//! A combination of kills after which no way led out, and how it is told.

/// A combination that left no way out.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) why: String,
    pub(super) trail: String,
}

impl Failure {
    /// In one line.
    pub(super) fn line(&self) -> String {
        format!("  {}: {}", self.name, self.why.lines().next().unwrap_or_default())
    }

    /// With all that was run, and how to run it again.
    pub(super) fn whole(&self) -> String {
        let Self { name, why, trail } = self;
        format!("== {name}\n{why}\n-- again: just faults FAULT={name}\n{trail}")
    }
}
