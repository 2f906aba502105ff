//! The journal on disk. Owns `journal.db` in the state folder; what its records mean is core's business.

mod chain;
mod store;

pub(crate) use store::make_private_folder;
pub use store::{Journal, JournalError};
