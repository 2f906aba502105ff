//! After a crash or a lost journal: the ledger is the truth, and the journal follows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_core::journal::{PlanState, Record, StepState};
use cutover_core::plan::Plan;
use cutover_core::{EventKind, LedgerEntry, Receipt, Standing, StepContext, StepInfo, Verdict};

use super::Run;
use crate::error::Result;
use crate::recorder::stored;
use crate::session::Session;

/// The successful ledger rows of a plan: target → step → row.
pub(crate) type LedgerRows = BTreeMap<String, BTreeMap<String, LedgerEntry>>;

/// Reads the ledgers of every target that keeps one. Read-only.
pub(crate) async fn ledger_rows(session: &Session, cx: &StepContext) -> Result<LedgerRows> {
    let mut all = LedgerRows::new();
    for (name, target) in session.targets.iter() {
        if let Some(ledger) = target.ledger() {
            let rows = ledger.entries(cx, &session.plan.name).await?;
            let rows = rows.into_iter().filter(|r| r.success).map(|r| (r.step.clone(), r)).collect();
            all.insert(name.clone(), rows);
        }
    }
    Ok(all)
}

/// The records that make the journal follow the ledgers. Pure. A step that was begun, and whose row is there, is not
/// among them: it is verified first.
pub(crate) fn reconcile(plan: &Plan, state: &PlanState, rows: &LedgerRows) -> Vec<Record> {
    let mut records = Vec::new();
    for (phase, step) in plan.steps() {
        let Some(target) = &step.target else { continue };
        let Some(ledger) = rows.get(target) else { continue };
        let journalled = state.state_of(&step.id);
        match ledger.get(&step.id) {
            Some(row) if !journalled.may_have_effects() => {
                let (mut known, _) = stored(plan, &plan.phases[phase].name, step);
                let recorded = Arc::make_mut(&mut known);
                recorded.digest.clone_from(&row.digest);
                recorded.checksum.clone_from(&row.checksum);
                let receipt = row.receipt.clone().unwrap_or_else(Receipt::nothing);
                records.push(Record::StepAdopted { step: known, receipt, source: "ledger".to_owned() });
            }
            None if journalled == StepState::Applied && step.step.ledgered() == Some(target.as_str()) => {
                let why = format!("the ledger of {target} has no row of it: the target was put back by someone else");
                records.push(Record::StepLost { step: step.id.clone(), why });
            }
            _ => {}
        }
    }
    records
}

impl Run<'_> {
    /// Makes the journal follow the ledgers, and settles what a crash left begun. True when there was anything.
    pub(super) async fn reconcile(&self) -> Result<bool> {
        let cx = self.context_of(StepInfo::default());
        let rows = ledger_rows(self.session, &cx).await?;
        let plan = &self.session.plan;
        let mut records = self.recorder.with_state(|state| reconcile(plan, state, &rows));
        let adopted: Vec<&str> = records
            .iter()
            .filter_map(|r| if let Record::StepAdopted { step, .. } = r { Some(step.id.as_str()) } else { None })
            .collect();
        if let Some(first) = adopted.first() {
            let others = match adopted.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            self.note(first, &format!("the ledger has it{others} and the journal had not: taken from the ledger"));
        }
        for record in &records {
            if let Record::StepLost { step, why } = record {
                self.note(step, why);
            }
        }
        let lost_journal = self.recorder.with_state(|s| s.steps.is_empty()) && !records.is_empty();
        let mut objects = BTreeMap::new();
        for (phase, step) in plan.steps() {
            if records.iter().any(|r| matches!(r, Record::StepAdopted { step: s, .. } if s.id == step.id)) {
                objects.extend(stored(plan, &plan.phases[phase].name, step).1);
            }
        }
        for (phase, step) in plan.steps() {
            let journalled = self.recorder.state_of(&step.id);
            let row = step.target.as_ref().and_then(|t| rows.get(t)).and_then(|l| l.get(&step.id));
            if matches!(journalled, StepState::Started) {
                let Some(row) = row else { continue };
                let cx = self.context(step);
                if let Ok(Verdict::Holds) = step.step.verify(&cx).await {
                    let receipt = row.receipt.clone().unwrap_or_else(Receipt::nothing);
                    records.push(Record::StepApplied { step: step.id.clone(), receipt, already: false, seconds: 0.0 });
                    self.note(&step.id, "was committed before the interruption: verified and recorded");
                }
            } else if lost_journal && step.step.ledgered().is_none() && journalled == StepState::Pending {
                // Without a ledger row only inspection can tell; what it cannot prove is simply run again.
                let cx = self.context(step);
                if let Ok(Standing::Applied) = step.step.inspect(&cx).await {
                    let (known, files) = stored(plan, &plan.phases[phase].name, step);
                    objects.extend(files);
                    records.push(Record::StepAdopted {
                        step: known,
                        receipt: Receipt::nothing(),
                        source: "inspection".to_owned(),
                    });
                    self.note(&step.id, "found applied by inspection; its receipt is lost with the journal");
                }
            }
        }
        if records.is_empty() {
            return Ok(false);
        }
        // Adopted steps take their place in the order of unwinding from the plan.
        let place = |id: &str| plan.steps().position(|(_, s)| s.id == id).unwrap_or(usize::MAX);
        records.sort_by_cached_key(|r| match r {
            Record::StepAdopted { step, .. } => place(&step.id),
            Record::StepApplied { step, .. } | Record::StepLost { step, .. } => place(step),
            _ => usize::MAX,
        });
        self.record_with(records, objects).await?;
        Ok(true)
    }

    fn note(&self, step: &str, text: &str) {
        self.emit(EventKind::StepNote { step: step.to_owned(), text: text.to_owned() });
    }
}
