//! Steps that look, wait, ask and tell.
//!
//! Owns the probes (where a figure comes from) and the gates that go by them or by a person's word: `gate.baseline`,
//! `gate.metric`, `gate.approval`, `gate.soak`. Knows targets only by the contract of `cutover-core`: no store, no file format of
//! theirs. None of its gates writes into a target.

mod gate;
pub mod probe;

pub use gate::{
    ApprovalConfig, BaselineConfig, FigureConfig, GateApproval, GateBaseline, GateMetric, GateSoak, MetricConfig,
    MonitorConfig, SoakConfig, Statistic, Then,
};
