//! `prune`: the only command that deletes. Shows what and how much first, and asks.

use std::sync::Arc;

use cutover_core::journal::RunCommand;
use cutover_core::{Outcome, StepInfo};
use serde_json::json;

use super::rollback::confirmed;
use super::table::columns;
use crate::cli::{Format, Out};
use crate::error::Result;
use crate::executor::{Run, RunOptions};
use crate::exit::Exit;
use crate::host::Stop;
use crate::journal::reserve;
use crate::prune::{Leftover, delete, leftovers};
use crate::session::{Place, Session};
use crate::style::{bytes, count};

pub(crate) async fn run(place: Place, keep: usize, options: RunOptions, yes: bool, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    if !session.state_dir.exists() {
        say(out, &session, &[], false);
        return Ok(Exit::Done);
    }
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let open = || Run::open(&session, Arc::clone(&emitter), Stop::default(), options.clone(), RunCommand::Administer);
    let (mut opened, mut lent) = (open().await, None);
    // On a full disk not even a journal can be opened: what is kept for the end of a run is enough for that.
    if opened.as_ref().is_err_and(|e| e.exit == Exit::NoTarget) {
        lent = reserve::lend(&session.state_dir);
        opened = if lent.is_some() { open().await } else { opened };
    }
    let (run, _locks) = opened?;
    let found = leftovers(&session, &run.context_of(StepInfo::default()), keep).await?;
    let asked = !found.is_empty() && out.format == Format::Text;
    if asked {
        say(out, &session, &found, false);
    }
    // A program is not asked: without `--yes` it is told what there is.
    let agreed = yes || found.is_empty() || (out.format == Format::Text && confirmed(out)?);
    if agreed {
        found.iter().try_for_each(delete)?;
    }
    drop(lent);
    run.finish(Outcome::Done, None).await?;
    match (asked, agreed) {
        (false, _) => say(out, &session, &found, agreed),
        (true, true) => out.print("deleted\n"),
        (true, false) => out.print("nothing was deleted\n"),
    }
    Ok(Exit::Done)
}

fn say(out: &Out, session: &Session, found: &[Leftover], deleted: bool) {
    let all: u64 = found.iter().map(|l| l.bytes).sum();
    let place = |l: &Leftover| session.shown(&l.path);
    if out.format == Format::Json {
        let list: Vec<_> =
            found.iter().map(|l| json!({ "path": place(l), "what": l.what, "bytes": l.bytes })).collect();
        out.json(
            &json!({ "version": 1, "plan": session.plan.name, "deleted": deleted, "bytes": all, "leftovers": list }),
        );
        return;
    }
    if found.is_empty() {
        out.print("nothing to delete\n");
        return;
    }
    let rows = found.iter().map(|l| vec![place(l), bytes(l.bytes), l.what.to_owned()]).collect();
    let things = count(found.len(), "leftover");
    out.print(&format!("no rollback needs any of these:\n{}{things}, {}\n", columns(&[], rows), bytes(all)));
}
