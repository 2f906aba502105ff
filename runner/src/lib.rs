//! The runner of Cutover: journal store, executor, reporters and the `cutover` command.
//!
//! Anyone embeds it with their own step crates linked in:
//!
//! ```no_run
//! // use acme_steps as _;
//! fn main() -> std::process::ExitCode {
//!     cutover_runner::main()
//! }
//! ```

mod binding;
mod builtin;
mod cli;
mod clock;
mod commands;
pub mod demo;
mod diagnostic;
mod error;
mod executor;
mod exit;
#[cfg(feature = "failpoints")]
pub mod fuzzed;
mod host;
mod imported;
mod journal;
mod lock;
mod new;
mod prune;
mod recorder;
mod rehearse;
mod report;
mod saved;
mod secrets;
mod session;
mod stored;
mod style;
mod telemetry;
mod warned;

use cutover_core::Registry;

pub use diagnostic::{github, render, sarif};
pub use error::{Result, RunnerError};
pub use executor::{Report, RunOptions, Selection, apply, rollback};
pub use exit::Exit;
pub use host::Stop;
pub use journal::{Journal, JournalError};
pub use report::{Emitter, Human, JsonLines, Reporter, Silent};
pub use session::{Place, Session};

/// Runs the command line of this process. The exit code is one of [`Exit`].
pub fn main() -> std::process::ExitCode {
    cli::run()
}

/// Every kind that is linked into this program; an empty or ambiguous registry is an error.
pub fn registry() -> Result<Registry> {
    Registry::collect().map_err(|e| RunnerError::internal(e.to_string()))
}
