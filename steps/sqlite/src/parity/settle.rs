//! Both sides compared while programs write, so that writers wait for little of it.
//!
//! Owns the order: all rows are compared; where they are few, that is done once more in the transaction that rests on it.
//! Where they are many, the logs are opened, all rows are compared, then those that were written meanwhile, until few
//! are left; the last of them are compared in that transaction ([`rest`](super::rest)), which closes the logs. With a
//! rollback journal SQLite itself keeps writers out while the long look goes on.

use cutover_core::{StepContext, StepError, fault};
use rusqlite::Connection;

use super::log;
use super::report::{Asked, Report, parity, rest};
use crate::SqliteTarget;
use crate::mapping::Mapping;
use crate::watched::watched;

/// So many keys may be left for the end.
const FEW: u64 = 200;

/// How often what was written meanwhile is looked at: where programs write faster than they are followed, the rest has
/// to do.
pub(crate) const ROUNDS: usize = 20;

/// So many rows are compared in a moment: 10 to 20 ms, as measured on two busy cores.
const QUICK: u64 = 2_000;

/// Compares as far as can be while programs write. What does not show the same is in the report. None: a stop was asked
/// for. Unless it `logs` in any case, the logs may not be open then: all is compared in a moment.
pub(crate) async fn settle(
    cx: &StepContext,
    target: &SqliteTarget,
    mapping: &Mapping,
    asked: &Asked,
    logs: bool,
) -> Result<Option<Report>, StepError> {
    tidy(cx, target, mapping).await?;
    if !logs {
        let report = look(cx, target, mapping, asked).await?;
        fault::point(fault::PARITY_LOOKED);
        if report.as_ref().is_none_or(|report| report.rows <= QUICK || !report.failures.is_empty()) {
            return Ok(report);
        }
    }
    let opened = mapping.clone();
    target.aside(cx, move |conn| log::open(conn, &opened)).await?;
    let Some(mut report) = look(cx, target, mapping, asked).await? else {
        tidy(cx, target, mapping).await?;
        return Ok(None);
    };
    fault::point(fault::PARITY_LOOKED);
    for _ in 0..ROUNDS {
        if !report.failures.is_empty() {
            tidy(cx, target, mapping).await?;
            break;
        }
        let (all, asked) = (mapping.clone(), asked.clone());
        let look = move |conn: &Connection| match logged(conn, &all)? {
            Some(upto) => Ok(Some((upto, rest(conn, &all, &asked)?))),
            None => Ok(None),
        };
        let Some((upto, more)) = target.read_moment(cx, look).await? else { break };
        let all = mapping.clone();
        target.aside(cx, move |conn| forget(conn, &all, &upto)).await?;
        report.add(more);
    }
    Ok(Some(report))
}

/// Compares all rows, as they are at one moment.
async fn look(
    cx: &StepContext,
    target: &SqliteTarget,
    mapping: &Mapping,
    asked: &Asked,
) -> Result<Option<Report>, StepError> {
    let (mapping, asked, inner) = (mapping.clone(), asked.clone(), cx.clone());
    let look = move |conn: &Connection| {
        let progress = |done: u64, all: u64| inner.progress(done, Some(all), "rows");
        watched(&inner, conn, |_| parity(conn, &mapping, &asked, &progress))
    };
    target.read_moment(cx, look).await
}

/// The numbers up to which the logs are filled; none where few keys are left in them.
pub(crate) fn logged(conn: &Connection, mapping: &Mapping) -> Result<Option<Vec<i64>>, StepError> {
    let logged = mapping.pairs.iter().map(|pair| log::last(conn, pair)).collect::<Result<Vec<_>, _>>()?;
    let keys: u64 = logged.iter().map(|(_, count)| count).sum();
    Ok((keys > FEW).then(|| logged.into_iter().map(|(last, _)| last).collect()))
}

/// Forgets the keys up to those numbers.
pub(crate) fn forget(conn: &Connection, mapping: &Mapping, upto: &[i64]) -> Result<(), StepError> {
    mapping.pairs.iter().zip(upto).try_for_each(|(pair, upto)| log::forget(conn, pair, *upto))
}

/// Closes the logs, where a run that was killed left them open.
pub(crate) async fn tidy(cx: &StepContext, target: &SqliteTarget, mapping: &Mapping) -> Result<(), StepError> {
    let all = mapping.clone();
    if target.read(cx, move |conn| log::is_open(conn, &all)).await? {
        let all = mapping.clone();
        target.aside(cx, move |conn| log::close(conn, &all)).await?;
    }
    Ok(())
}
