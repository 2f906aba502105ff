//! The whole of Cutover, from outside.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends there")]

mod consensus;
mod control;
mod cortex;
mod counted;
mod disk;
mod drift;
mod explaining;
mod failure;
mod faults;
mod freezing;
mod importing;
mod invalid_plans;
mod linting;
mod locking;
mod looking;
mod moving;
mod notices;
mod observing;
mod placing;
mod pruning;
mod registry;
mod rehearsal;
mod reporting;
mod resolving;
mod restoring;
mod rollback;
mod room;
mod saved;
mod scratch;
mod screens;
mod sets;
mod sharing;
mod stages;
mod step_crate;
mod stopping;
mod system;
mod thought_engine;
mod verifying;
