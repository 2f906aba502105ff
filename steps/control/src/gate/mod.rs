//! Gates: steps that only look, ask or wait, and let a run pass or not. A kind of gate is a file of this folder.

mod approval;
mod baseline;
mod beside;
mod bounds;
mod figures;
mod metric;
mod monitor;
mod pause;
mod sampling;
mod soak;

pub use approval::{ApprovalConfig, GateApproval};
pub use baseline::{BaselineConfig, FigureConfig, GateBaseline};
pub use beside::{Beside, BesideConfig, HeldConfig};
pub use figures::Statistic;
pub use metric::{GateMetric, MetricConfig};
pub use soak::{GateSoak, MonitorConfig, SoakConfig, Then};
