//! `watch`: keeps looking at what a waiting run waits for. With `--once` it is for cron.

use std::sync::Arc;

use crate::cli::{Format, Out};
use crate::error::Result;
use crate::executor::{RunOptions, WatchEnd, watch};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};

pub(crate) async fn run(place: Place, options: RunOptions, once: bool, stop: Stop, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::open(place)?;
    let text = |text: &str| {
        if out.format == Format::Text {
            out.print(text);
        }
    };
    let end = watch(&session, Arc::new(out.emitter()), stop, options, once).await?;
    Ok(match end {
        WatchEnd::Nothing(why) => {
            text(&format!("nothing to watch: {why}\nnext: {}\n", session.command_line("explain")));
            Exit::Done
        }
        WatchEnd::Waits => Exit::Waiting,
        WatchEnd::Stopped => {
            text(&format!("stopped; the samples are kept\ngo on: {}\n", session.command_line("watch")));
            Exit::Interrupted
        }
        WatchEnd::Settled(report) => report.outcome.into(),
    })
}
