//! The `cutover` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// sled's threads give back what the writing one took. The system's allocator has them wait for one another over that, which
/// is nearly half of the CPU of a copy into sled. Without huge pages, which would cost each process 10 MiB.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cutover_runner::main()
}
