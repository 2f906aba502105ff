//! `rollback`: says what it will undo, asks, and undoes it.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{self, RunOptions, Selection};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};
use crate::style::count;

pub(crate) async fn run(place: Place, options: RunOptions, yes: bool, stop: Stop, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    let session = session.with_targets_of_the_journal()?;
    let emitter = Arc::new(out.emitter());
    let report = executor::rollback(&session, emitter, stop, options, |found| {
        show(found, out);
        if yes || found.steps.is_empty() || confirmed(out)? {
            return Ok(true);
        }
        out.print("nothing was changed\n");
        Ok(false)
    })
    .await?;
    Ok(report.outcome.into())
}

fn show(found: &Selection, out: &Out) {
    if out.format != Format::Text {
        return;
    }
    let mut text = match found.steps.is_empty() {
        true => format!("rolling back to {} undoes nothing\n", found.to),
        false => format!("rolling back to {} undoes, in this order:\n", found.to),
    };
    for step in &found.steps {
        text.push_str(&format!("  - {step}\n"));
    }
    if !found.unskip.is_empty() {
        let steps = count(found.unskip.len(), "step");
        text.push_str(&format!("and whether it applies is decided again for {steps}: {}\n", found.unskip.join(", ")));
    }
    out.print(&text);
}

pub(super) fn confirmed(out: &Out) -> Result<bool> {
    if out.format != Format::Text || !std::io::stdin().is_terminal() {
        return Err(RunnerError::usage("this must be confirmed").with_help("say `--yes`"));
    }
    out.print("go on? [y/N] ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| RunnerError::io("reading the answer", e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
