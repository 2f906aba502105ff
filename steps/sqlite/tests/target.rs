//! The target kind `sqlite`, `sqlite.script` and `sqlite.export`, against files that the sqlite3 program and Python's sqlite3 module made.
#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

#[path = "target/support.rs"]
mod support;

#[path = "target/copies.rs"]
mod copies;
#[path = "target/export.rs"]
mod export;
#[path = "target/fingerprint.rs"]
mod fingerprint;
#[path = "target/group.rs"]
mod group;
#[path = "target/opening.rs"]
mod opening;
#[path = "target/page_size.rs"]
mod page_size;
#[path = "target/script.rs"]
mod script;
#[path = "target/snapshot.rs"]
mod snapshot;
#[path = "target/theirs.rs"]
mod theirs;
