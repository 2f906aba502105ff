//! Steps that look, wait, ask and tell.
//!
//! Owns the probes (where a figure comes from) and the gates that go by them: `gate.metric`. Knows targets only by the
//! contract of `cutover-core`: no store, no file format of theirs. None of its kinds writes into a target.

mod gate;
pub mod probe;

pub use gate::{GateMetric, MetricConfig, Statistic};
