//! The target kind `sqlite`, against files that the sqlite3 program and Python's sqlite3 module made.

#[path = "target/support.rs"]
mod support;

#[path = "target/export.rs"]
mod export;
#[path = "target/fingerprint.rs"]
mod fingerprint;
#[path = "target/group.rs"]
mod group;
#[path = "target/opening.rs"]
mod opening;
#[path = "target/snapshot.rs"]
mod snapshot;
