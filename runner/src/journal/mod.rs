//! The journal on disk. Owns `journal.db` in the state folder; what its records mean is core's business.

mod chain;
mod error;
mod private;
pub(crate) mod reserve;
mod store;

pub use error::JournalError;
pub(crate) use private::make_private_folder;
pub use store::Journal;
pub(crate) use store::{DAMAGED, damaged_number};
