//! Steps over any target: assess it, wait for a figure of it, take a snapshot of it, run a command beside it.
//!
//! Owns the kinds `target.assess`, `target.wait`, `target.snapshot` and `command.run`. Knows targets only by the contract
//! of `cutover-core`: no store, no file format of theirs.

mod assess;
mod command;
mod forecast;
mod rates;
mod report;
mod room;
mod snapshot;
#[cfg(test)]
mod testing;
mod vcs;
mod wait;

pub use assess::{AssessConfig, CountConfig, TargetAssess};
pub use command::{CommandConfig, CommandRun};
pub use snapshot::{SetMember, SnapshotConfig, SnapshotSet, TargetSnapshot};
pub use wait::{TargetWait, WaitConfig};
