//! The whole of Cutover, from outside.

mod cortex;
mod crash;
mod drift;
mod failure;
mod invalid_plans;
mod locking;
mod step_crate;
mod system;
