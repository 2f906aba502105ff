//! The step kinds of this crate, and what they read and write.

mod copy;
mod from;
mod into;
#[cfg(test)]
mod testing;
mod verify;

pub use copy::{CopyConfig, KvCopy};
pub use verify::{KvVerify, VerifyConfig};
