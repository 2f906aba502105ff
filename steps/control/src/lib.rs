//! Steps that look, wait, ask and tell.
//!
//! Owns the probes (where a figure comes from), the gates that go by them or by a person's word (`gate.baseline`,
//! `gate.metric`, `gate.approval`, `gate.soak`), the notifiers, and `flag.set`, which switches a feature flag by the steps of
//! those who own its store. A gate knows targets only by the contract of `cutover-core`: no store, no file format of theirs,
//! and writes into none.

mod flag;
mod gate;
mod notify;
pub mod probe;

pub use flag::{FlagConfig, FlagSet};
pub use gate::{
    ApprovalConfig, BaselineConfig, Beside, BesideConfig, FigureConfig, GateApproval, GateBaseline, GateMetric,
    GateSoak, HeldConfig, MetricConfig, MonitorConfig, SoakConfig, Statistic, Then,
};
pub use notify::{FileConfig, NotifyFile, NotifySmtp, NotifyWebhook, SmtpConfig, Tls, WebhookConfig};
