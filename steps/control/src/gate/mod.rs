//! Gates: steps that only look, and let a run pass or not. A kind of gate is a file of this folder.

mod bounds;
mod figures;
mod metric;
mod pause;

pub use figures::Statistic;
pub use metric::{GateMetric, MetricConfig};
