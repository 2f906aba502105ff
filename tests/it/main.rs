//! The whole of Cutover, from outside.

mod invalid_plans;
mod step_crate;
