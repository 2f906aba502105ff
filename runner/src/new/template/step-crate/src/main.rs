//! Cutover, with the steps of this crate linked in.

use std::process::ExitCode;

// Without this line the crate is not linked, and none of its kinds is known.
use acme_steps as _;

fn main() -> ExitCode {
    cutover_runner::main()
}
