//! The testkit of Cutover: what a step crate needs to prove its steps, and what end-to-end tests share.
//!
//! Depends on `cutover-core` alone: a step crate dev-depends on this one, and a testkit that named step crates
//! would register their kinds a second time. It knows no runner and no store.
//!
//! - [`Conformance`] holds a step kind to the contract; every kind has one such test.
//! - [`Fixture`] and [`Bench`] make a plan's steps and targets usable by hand, without a runner.
//! - [`TestHost`] lends a step its services, with an injected clock and a memory of what it was told.
//! - [`Tree`] is what lies in a folder, byte by byte, for "nothing was written".
//! - [`Ran`], [`run`] and [`sqlite3`] run programs and keep what they said.
//! - [`BadgerPeer`] is Badger itself, to compare with.
//!
//! Everything here panics with a sentence that says what is wrong, as tests do.

mod badger;
mod bench;
mod conformance;
mod fixture;
mod host;
mod process;
mod promised;
mod tree;

pub use badger::{BadgerPeer, BadgerRecord};
pub use bench::Bench;
pub use conformance::{Conformance, Report, Rule, Violation};
pub use fixture::Fixture;
pub use host::TestHost;
pub use process::{Ran, run, sqlite3};
pub use tree::{Tree, copy_folder};
