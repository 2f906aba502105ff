//! What a journal may say, and what follows from it.
//!
//! Owns the [`Record`]s, the state machine [`StepState::next`] and the fold of a whole journal. Knows nothing of
//! where records are stored or how they are hashed together: that is the runner's journal store.

mod fold;
mod incident;
mod record;
mod state;
mod window;

pub use fold::{OpenUnwinding, PlanState, RunState, StepRecord};
pub use incident::{OpenIncident, Times};
pub use record::{BoundTo, Entry, GroupMember, Record, Resolution, RunCommand, StoredStep, StoredTarget};
pub use state::{IllegalTransition, StepState};
pub use window::{Approval, Observed, Probed, Round, Sample, TriggerAction, Triggered, Window, WindowSpec};
