//! SQLite for Cutover: the target kind `sqlite` and the steps that change, copy and check such a database.
//!
//! [`SqliteTarget`] owns every connection; a step reaches a database only through its `read`, `change`, `reverse`
//! and `batch`. One step kind is one file. Nothing here knows the runner, its journal or how a plan is written.

pub mod import;
pub mod sql;
pub mod target;

mod archive;
mod aside;
mod backfill;
mod cell;
mod check;
mod columns;
mod contract;
mod cutover;
mod declared;
mod done;
mod drop;
mod expand;
mod export;
mod freeze;
mod identity;
mod indexes;
mod leave;
mod lint;
mod maintain;
#[allow(dead_code, reason = "the steps that read it come one by one")]
mod mapping;
mod parity;
mod retain;
mod retire;
mod rows;
mod script;
mod sequence;
mod settings;
mod tables;
mod value;
mod watched;
mod written;

pub use cell::SqliteCell;
pub use target::SqliteTarget;
