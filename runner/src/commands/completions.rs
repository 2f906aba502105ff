//! `completions`: a completion script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Out};
use crate::error::Result;
use crate::exit::Exit;

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(crate) fn run(shell: Shell, out: &Out) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cutover", &mut script);
    out.print(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
