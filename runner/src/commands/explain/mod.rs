//! `explain`: in plain words what is committed, what is not, why it stopped, what is safe, and the exact next command.
//! Writes nothing, and has an answer for whatever state journal and targets are in.
//!
//! - `facts`: all that is looked at, once; the only part that reads anything.
//! - `findings`: what of it a person should know, one finding each. Pure.
//! - `advice`: what the whole comes to, and what to do next. Pure.
//! - `screen`: how it is told to people and to machines.

mod advice;
mod facts;
mod findings;
mod screen;
#[cfg(test)]
mod tests;

use crate::cli::{Format, Out};
use crate::error::Result;
use crate::exit::Exit;
use crate::session::Place;

pub(crate) async fn run(place: Place, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let facts = facts::gather(place).await?;
    let findings = findings::findings(&facts);
    let advice = advice::advice(&facts);
    match out.format {
        Format::Json => out.json(&screen::json(&facts, &findings, &advice)),
        _ => out.print(&screen::text(&facts, &findings, &advice)),
    }
    Ok(Exit::Done)
}
