//! What the ledger says that a step has done already, and how that is told: receipts, standings, verdicts.
//!
//! Owns the questions that every step kind asks before it acts. Writes nothing.

use cutover_core::{Receipt, Standing, StepContext, StepError, StepErrorKind, Verdict};
use serde::de::DeserializeOwned;

use crate::SqliteTarget;

impl SqliteTarget {
    /// The receipt of this very step, when the ledger has it as applied: apply has nothing left to do then.
    pub(crate) async fn done(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        let entry = self.recorded(cx).await?.filter(|e| e.success && e.digest == cx.info().digest);
        Ok(entry.map(|e| e.receipt.unwrap_or_default()))
    }

    /// What there is to undo: the given receipt, else the one that a crash left in the ledger.
    pub(crate) async fn to_undo(
        &self,
        cx: &StepContext,
        receipt: Option<&Receipt>,
    ) -> Result<Option<Receipt>, StepError> {
        let known = match receipt {
            Some(receipt) => Some(receipt.clone()),
            None => self.recorded(cx).await?.filter(|e| e.success).map(|e| e.receipt.unwrap_or_default()),
        };
        Ok(known)
    }
}

/// The body of a receipt; an empty receipt is an empty body.
pub(crate) fn body<T: DeserializeOwned + Default>(receipt: &Receipt) -> Result<T, StepError> {
    if receipt.body.is_null() { Ok(T::default()) } else { receipt.read() }
}

/// [`Verdict::Holds`] without differences.
pub(crate) fn verdict(differences: Vec<String>) -> Verdict {
    if differences.is_empty() { Verdict::Holds } else { Verdict::Broken(differences) }
}

/// A conflict found while looking is a standing, with its remedy; any other error stays one.
pub(crate) fn conflict_standing(error: StepError) -> Result<Standing, StepError> {
    if error.kind() != StepErrorKind::Conflict {
        return Err(error);
    }
    Ok(Standing::Conflict(match error.help() {
        Some(help) => format!("{}; {help}", error.chain()),
        None => error.chain(),
    }))
}

/// The standing of a step of `all` objects of which `missing` are not there.
pub(crate) fn standing(missing: usize, all: usize, what: impl FnOnce() -> String) -> Standing {
    match missing {
        0 => Standing::Applied,
        n if n == all => Standing::Pending,
        _ => Standing::Partial(what()),
    }
}
