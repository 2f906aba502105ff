//! A view that stands under an old table's name while the table is gone: for programs that still read the old schema.
//!
//! Owns how it makes room when the table comes back, which shows the same rows again: its statements, and those of its
//! triggers, are set aside as SQL that can be loaded.

use cutover_core::disk::io_error;
use cutover_core::{StepContext, StepError};
use rusqlite::Connection;

use super::schema::run;
use crate::aside;
use crate::declared::{Object, objects_on};
use crate::sql::quote_ident;

/// Drops the view, after what made it was set aside.
pub(super) fn make_room(cx: &StepContext, conn: &Connection, view: &Object) -> Result<(), StepError> {
    let about = format!("view {}, dropped as the table of its name came back", view.name);
    let triggers = objects_on(conn, &view.name)?;
    let kept = aside::keep(cx, &view.name, &about, true, |out| {
        let statements = std::iter::once(&view.sql).chain(triggers.iter().map(|trigger| &trigger.sql));
        let mut each = statements.map(|sql| writeln!(out, "{sql};"));
        each.try_for_each(|written| written.map_err(|e| io_error("cannot set aside into", cx.state_dir(), e)))?;
        Ok(0)
    })?;
    run(conn, &format!("DROP VIEW {}", quote_ident(&view.name)), "making room for an old table")?;
    if let Some((_, path)) = kept {
        let path = aside::shown(cx, &path);
        cx.note(&format!(
            "view {} makes room for the table of its name, which fills while programs go on and is closed to writes; the \
             view's SQL is kept in `{path}`",
            view.name
        ));
    }
    Ok(())
}
