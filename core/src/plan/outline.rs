//! What a step may know of the plan around it: what each step says of itself, and none of its configuration.
//!
//! Owns data only, made from the plan when somebody asks.

use super::{Condition, Plan, PlanStep};
use crate::{Change, Effects, Use};

/// What one step of the plan says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOutline {
    /// Its id.
    pub id: String,
    /// Its registered kind.
    pub kind: String,
    /// The phase that it belongs to.
    pub phase: String,
    /// When it applies at all.
    pub when: Option<Condition>,
    /// The targets that it touches.
    pub uses: Vec<Use>,
    /// What it will change. Secrets are resolved in it: mask it before it is shown.
    pub changes: Vec<Change>,
    /// The targets that it takes a snapshot of.
    pub snapshots: Vec<String>,
    /// The target in whose single transaction the whole of it happens.
    pub transactional: Option<String>,
    /// Where its effects end.
    pub effects: Effects,
}

impl Plan {
    /// Every step in plan order, as it describes itself.
    pub fn outline(&self) -> Vec<StepOutline> {
        let outline = |(phase, step): (usize, &PlanStep)| StepOutline {
            id: step.id.clone(),
            kind: step.kind.clone(),
            phase: self.phases[phase].name.clone(),
            when: step.when.clone(),
            uses: step.step.uses(),
            changes: step.step.describe(),
            snapshots: step.step.snapshots(),
            transactional: step.step.transactional().map(str::to_owned),
            effects: step.step.effects(),
        };
        self.steps().map(outline).collect()
    }
}
