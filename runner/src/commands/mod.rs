//! The commands: each reads its arguments, calls the executor or looks at a session, and prints.

pub(crate) mod accept;
pub(crate) mod apply;
pub(crate) mod approve;
pub(crate) mod baseline;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod new;
pub(crate) mod plan;
pub(crate) mod prune;
pub(crate) mod rehearse;
pub(crate) mod report;
pub(crate) mod resolve;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod steps;
mod table;
pub(crate) mod verify;
pub(crate) mod watch;
