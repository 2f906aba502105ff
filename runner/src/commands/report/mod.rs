//! `report`: what became of a plan, for people who were not there. Made of the journal, and of a read-only look at targets.
//!
//! - `facts`: what is known, as one document; the JSON form is this.
//! - `incidents`, `gates`: the parts of it that take some reading of the journal.
//! - `page`: the facts as headings, tables and charts; `html` and `markdown` write those.
//! - `chart`: a series of samples as a small drawing.

mod chart;
mod facts;
mod gates;
mod html;
mod incidents;
mod markdown;
mod page;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::reader_context;
use crate::exit::Exit;
use crate::host::Stop;
use crate::journal::Journal;
use crate::recorder::journal_error;
use crate::session::{Place, Session};

/// What a report is for: which time it is about, and what of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The last 24 hours.
    Daily,
    /// The last 7 days.
    Weekly,
    /// Since the phase before the last finished one came to its end.
    Milestone,
    /// The last incident: what went wrong, and what followed.
    Incident,
    /// All of it.
    Final,
}

/// The most of a text with lessons that is taken in.
const MOST_LESSONS: u64 = 256 * 1024;

pub(crate) async fn run(place: Place, kind: Kind, lessons: Option<PathBuf>, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Markdown, Format::Html, Format::Json])?;
    let lessons = lessons.as_deref().map(read_lessons).transpose()?;
    out.print(&written(place, kind, lessons, out.format).await?);
    Ok(Exit::Done)
}

/// The report as text of that format, secrets masked.
pub(crate) async fn written(place: Place, kind: Kind, lessons: Option<String>, format: Format) -> Result<String> {
    let session = Session::look(place)?;
    let journal = Journal::open_read(&session.state_dir).map_err(journal_error)?;
    let entries = match &journal {
        Some(journal) => journal.entries(&session.plan.name).map_err(journal_error)?,
        None => Vec::new(),
    };
    let (state, _) = session.journalled().map_err(journal_error)?;
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let cx = reader_context(&session, &emitter, &Stop::default(), &state);
    let now = facts::Now { at: crate::clock::now(), prints: facts::prints(&session, &cx).await };
    let seen = session.seen(&state);
    let facts = facts::gather(&session.plan, &entries, &state, &seen, &now, kind, lessons);
    let secrets = crate::secrets::Secrets::new(&session.plan.secrets);
    Ok(match format {
        Format::Json => {
            let document = serde_json::to_value(&facts)
                .map_err(|e| RunnerError::internal(format!("the report cannot be written as JSON: {e}")))?;
            let text = serde_json::to_string_pretty(&secrets.mask_json(document)).unwrap_or_default();
            format!("{text}\n")
        }
        Format::Html => secrets.mask(&html::write(&page::of(&facts))),
        _ => secrets.mask(&markdown::write(&page::of(&facts))),
    })
}

fn read_lessons(path: &Path) -> Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_LESSONS).read_to_string(&mut text));
    read.map_err(|e| RunnerError::usage(format!("cannot read the lessons `{}`: {e}", path.display())))?;
    Ok(text)
}
