//! The applications of the example plans: programs that read and write while their databases are migrated.
//!
//! They belong to the demos and their tests. What they know of Cutover is what any application may know: the new program
//! links `cutover-dual`, the old one nothing.

pub mod consensus;
pub mod memory;
pub mod traffic;
