//! A figure that is watched: what it may be, and when its trigger fires.

use cutover_core::journal::{Probed, TriggerAction, Window};
use cutover_core::{StepContext, StepError};

use super::baseline::Baseline;
use super::bounds::{Allowed, Bounds};
use super::figures::{Statistic, shown};
use crate::probe::Asked;

/// A figure that is watched.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    pub(crate) what: String,
    pub(crate) probe: Asked,
    pub(crate) bounds: Bounds,
    pub(crate) strikes: u32,
    pub(crate) then: TriggerAction,
    pub(crate) to: Option<String>,
}

impl Monitor {
    /// For people: "at most 5 %; then the run pauses: `SELECT …` on tier1".
    pub(crate) fn shown(&self) -> String {
        let then = match (self.then, &self.to) {
            (TriggerAction::Rollback, Some(to)) => format!("the run rolls back to {to}"),
            (TriggerAction::Warn, _) => "the operator is told".to_owned(),
            _ => "the run pauses".to_owned(),
        };
        let row = if self.strikes == 1 { String::new() } else { format!(" {} times in a row", self.strikes) };
        format!("{}, else{row} {then}: {}", self.bounds.shown(self.probe.unit()), self.probe.shown())
    }

    /// What the baseline's median of this figure is, where it is compared with one.
    pub(crate) async fn baseline(&self, cx: &StepContext, id: Option<&str>) -> Result<Option<f64>, StepError> {
        match id.filter(|_| self.bounds.is_relative()) {
            Some(id) => Ok(Some(Baseline::find(cx, id, &self.what).await?.by(Statistic::P50))),
            None => Ok(None),
        }
    }

    /// Why a figure may not be that, if it may not.
    pub(crate) fn broken(probed: &Probed, figure: f64) -> Option<String> {
        let allowed = Allowed { min: probed.min, max: probed.max };
        let (found, allows) = (shown(figure, &probed.unit), allowed.shown(&probed.unit));
        (!allowed.holds(figure)).then(|| format!("{found}, allowed is {allows}"))
    }

    /// Why its trigger fires now, if it does: as many samples in a row as it takes broke it, and it has not fired since
    /// the first of them.
    pub(crate) fn fires(&self, window: &Window) -> Option<String> {
        let row: Vec<_> = window.rounds.iter().rev().take_while(|round| round.broke.contains_key(&self.what)).collect();
        let (last, first) = (row.first()?, row.last()?);
        let fired = |(slot, trigger): &(u64, cutover_core::journal::Triggered)| {
            trigger.probe == self.what && *slot >= first.slot
        };
        if row.len() < usize::try_from(self.strikes).unwrap_or(usize::MAX) || window.triggered.iter().any(fired) {
            return None;
        }
        let why = last.broke.get(&self.what)?;
        Some(match self.strikes {
            1 => format!("the sample of {} is {why}", last.at),
            strikes => format!("{strikes} samples in a row broke it; that of {} is {why}", last.at),
        })
    }
}
