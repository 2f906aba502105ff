//! The `cutover` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    cutover_runner::main()
}
