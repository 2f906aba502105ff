//! `apply`: runs a plan forward.

use std::sync::Arc;

use crate::cli::{Format, Out};
use crate::error::Result;
use crate::executor::{self, RunOptions};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};

pub(crate) async fn run(place: Place, options: RunOptions, stop: Stop, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::open(place)?;
    let report = executor::apply(&session, Arc::new(out.emitter()), stop, options).await?;
    // The process ends here: to free thousands of steps one by one would take longer than a run with nothing to do.
    std::mem::forget(session);
    Ok(report.outcome.into())
}
