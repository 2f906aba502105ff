//! After a crash or a lost journal: the ledger is the truth, and the journal follows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_core::journal::{Entry, PlanState, Record, StepRecord, StepState};
use cutover_core::plan::PlanStep;
use cutover_core::{EventKind, LedgerEntry, Receipt, Standing, StepContext, StepError, StepInfo, Verdict};

use super::drift::{drift, estranged};
use super::{Run, order};
use crate::error::Result;
use crate::session::Session;
use crate::stored::stored;

/// The successful ledger rows of a plan: target → step → row.
pub(crate) type LedgerRows = BTreeMap<String, BTreeMap<String, LedgerEntry>>;

/// Reads the ledgers of every target that keeps one. Read-only.
pub(crate) async fn ledger_rows(session: &Session, cx: &StepContext) -> Result<LedgerRows> {
    let mut all = LedgerRows::new();
    for name in session.targets.keys() {
        if let Some(rows) = ledger_rows_of(session, cx, name).await? {
            all.insert(name.clone(), rows);
        }
    }
    Ok(all)
}

/// The same of one target; none when it keeps no ledger.
pub(crate) async fn ledger_rows_of(
    session: &Session,
    cx: &StepContext,
    target: &str,
) -> Result<Option<BTreeMap<String, LedgerEntry>>, StepError> {
    let Some(ledger) = session.targets.get(target).and_then(|t| t.ledger()) else { return Ok(None) };
    let rows = ledger.entries(cx, &session.plan.name).await?;
    Ok(Some(rows.into_iter().filter(|r| r.success).map(|r| (r.step.clone(), r)).collect()))
}

/// The same for who only looks: where the storage does not let a ledger be read (a full disk has no room for a
/// database's shared memory), there are no rows, and why.
pub(crate) async fn ledger_rows_to_look(session: &Session, cx: &StepContext) -> Result<(LedgerRows, Option<String>)> {
    for target in session.targets.values() {
        let Some(ledger) = target.ledger() else { continue };
        if let Err(error) = ledger.entries(cx, &session.plan.name).await
            && error.is_of_storage()
        {
            let why = format!("the ledgers cannot be read now, this is the journal's word alone: {}", error.chain());
            let help = error.help().map(|help| format!(" (help: {help})")).unwrap_or_default();
            return Ok((LedgerRows::new(), Some(why + &help)));
        }
    }
    Ok((ledger_rows(session, cx).await?, None))
}

/// The records that make the journal follow the ledgers and the plan. Pure. Not among them: a step that was begun, and
/// whose row is there (it is verified first), and the steps of an open unwinding (it goes on).
pub(crate) fn reconcile(session: &Session, state: &PlanState, rows: &LedgerRows) -> Vec<Record> {
    let plan = &session.plan;
    let unwinding: BTreeSet<&str> = state.unwinding.iter().flat_map(|u| &u.steps).map(String::as_str).collect();
    let frontier = order::frontier(plan, state);
    let mut records = Vec::new();
    let mut edited = Vec::new();
    for (phase, step) in plan.steps() {
        let journalled = state.state_of(&step.id);
        if journalled == StepState::Skipped && state.steps[&step.id].stored.digest != step.digest {
            edited.push(step.id.clone());
        }
        let Some(target) = &step.target else { continue };
        let Some(ledger) = rows.get(target) else { continue };
        if unwinding.contains(step.id.as_str()) {
            continue;
        }
        match ledger.get(&step.id) {
            // The journal's receipt is used, or else nothing goes on: see `estranged`.
            Some(row) if row.unreadable.is_some() => {}
            Some(row) if !journalled.may_have_effects() && row.digest == step.digest => {
                records.push(adopted(session, phase, step, row, order::overtaken(plan, state, frontier, step)));
            }
            // The journal is an older one, put back: the row is of a later apply.
            Some(row) if journalled == StepState::Applied && !same(&state.steps[&step.id], row) => {
                let why = format!("the ledger of {target} has it by a later run, which the journal does not know");
                records.push(Record::StepLost { step: step.id.clone(), why });
                if row.digest == step.digest {
                    records.push(adopted(session, phase, step, row, order::overtaken(plan, state, frontier, step)));
                }
            }
            None if journalled == StepState::Applied && step.step.ledgered() == Some(target.as_str()) => {
                let why =
                    format!("the ledger of {target} has no row of it: the target was put back, or its effect is over");
                records.push(Record::StepLost { step: step.id.clone(), why });
            }
            _ => {}
        }
    }
    if !edited.is_empty() {
        records.push(Record::SkipsForgotten { steps: edited });
    }
    records
}

/// A step as its ledger knows it.
fn adopted(session: &Session, phase: usize, step: &PlanStep, row: &LedgerEntry, overtaken: Vec<String>) -> Record {
    let (mut known, _) = stored(session, phase, step, overtaken);
    let recorded = Arc::make_mut(&mut known);
    recorded.digest.clone_from(&row.digest);
    recorded.checksum.clone_from(&row.checksum);
    let receipt = row.receipt.clone().unwrap_or_else(Receipt::nothing);
    Record::StepAdopted { step: known, receipt, source: "ledger".to_owned() }
}

/// Whether journal and ledger speak of the same apply.
fn same(known: &StepRecord, row: &LedgerEntry) -> bool {
    const NOTHING: &serde_json::Value = &serde_json::Value::Null;
    let same_body =
        known.receipt.as_ref().map_or(NOTHING, |r| &r.body) == row.receipt.as_ref().map_or(NOTHING, |r| &r.body);
    known.stored.digest == row.digest && same_body
}

/// Whether the journal has the receipt of a row: where the row's cannot be read, it is used in its place.
pub(super) fn has_receipt(state: &PlanState, row: &LedgerEntry) -> bool {
    let known = state.steps.get(&row.step).filter(|known| known.state.may_have_effects());
    known.is_some_and(|known| known.receipt.is_some() && known.stored.digest == row.digest)
}

/// The steps whose ledger row has no receipt that can be read while the journal has it, and what is said of each.
pub(crate) fn unreadable(state: &PlanState, rows: &LedgerRows) -> Vec<(String, String)> {
    let rows = rows.iter().flat_map(|(target, rows)| rows.values().map(move |row| (target, row)));
    let bad = rows.filter(|(_, row)| row.unreadable.is_some() && has_receipt(state, row));
    let said = |target| format!("its receipt in the ledger of {target} cannot be read: the journal's is used");
    bad.map(|(target, row)| (row.step.clone(), said(target))).collect()
}

/// The fold after those records: what a run will see.
pub(crate) fn reconciled(session: &Session, state: &PlanState, rows: &LedgerRows) -> PlanState {
    let mut state = state.clone();
    for record in reconcile(session, &state, rows) {
        let (run, plan) = (String::new(), session.plan.name.clone());
        let entry = Entry { seq: state.last_seq + 1, at: crate::clock::now(), run, epoch: 0, plan, record };
        // What cannot follow is what the run would refuse too: it says so then.
        let _ = state.push(&entry);
    }
    state
}

impl Run<'_> {
    /// Makes the journal follow the ledgers, and settles what a crash left begun. True when there was anything.
    pub(crate) async fn reconcile(&self) -> Result<bool> {
        let cx = self.context_of(StepInfo::default());
        self.end_what_is_over(&cx).await?;
        let rows = ledger_rows(self.session, &cx).await?;
        let plan = &self.session.plan;
        self.recorder.with_state(|state| estranged(self.session, state, &rows)).into_error(self.session)?;
        for (step, text) in self.recorder.with_state(|state| unreadable(state, &rows)) {
            self.note(&step, &text);
        }
        let mut records = self.recorder.with_state(|state| reconcile(self.session, state, &rows));
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
                objects.extend(stored(self.session, phase, step, Vec::new()).1);
            }
        }
        let unwinding = self.recorder.with_state(|s| s.unwinding.clone()).map(|u| u.steps).unwrap_or_default();
        for (phase, step) in plan.steps().filter(|(_, s)| !unwinding.contains(&s.id)) {
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
                let standing = match step.step.inspect(&cx).await {
                    // With the journal written this step would not be asked about again.
                    Err(error) if error.is_interruption() => return Err(error.into()),
                    other => other,
                };
                if let Ok(Standing::Applied) = standing {
                    // The journal was empty: what is adopted now comes in the plan's order.
                    let (known, files) = stored(self.session, phase, step, Vec::new());
                    objects.extend(files);
                    let found = step.step.recover(&cx).await?;
                    self.note(
                        &step.id,
                        match found {
                            Some(_) => "found applied by inspection, and its receipt in what it left",
                            None => "found applied by inspection; its receipt is lost with the journal",
                        },
                    );
                    let receipt = found.unwrap_or_else(Receipt::nothing);
                    records.push(Record::StepAdopted { step: known, receipt, source: "inspection".to_owned() });
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

    /// Takes away what runs that are over left in force in the targets.
    async fn end_what_is_over(&self, cx: &StepContext) -> Result<()> {
        let mut over = Vec::new();
        for ledger in self.session.targets.values().filter_map(|t| t.ledger()) {
            over.extend(ledger.settle(cx).await?);
        }
        if over.is_empty() { Ok(()) } else { self.record(self.lost(over)).await }
    }

    /// Gives up what this run holds in force in the targets. What cannot be given up now ends by itself: the run's end is
    /// not the place to fail.
    pub(super) async fn give_up(&self, cx: &StepContext) -> Vec<Record> {
        let mut over = Vec::new();
        for ledger in self.session.targets.values().filter_map(|t| t.ledger()) {
            over.extend(ledger.release(cx).await.unwrap_or_default());
        }
        self.lost(over)
    }

    /// Says of steps that their effect is over, and makes the records of those that the journal has as applied. The
    /// steps of an open unwinding are left to it.
    fn lost(&self, over: Vec<(String, String)>) -> Vec<Record> {
        for (step, why) in &over {
            self.note(step, why);
        }
        let lost = |state: &PlanState, step: &str| {
            state.state_of(step) == StepState::Applied
                && state.unwinding.as_ref().is_none_or(|open| !open.steps.iter().any(|s| s == step))
        };
        let over = over.into_iter().filter(|(step, _)| self.recorder.with_state(|state| lost(state, step)));
        over.map(|(step, why)| Record::StepLost { step, why }).collect()
    }

    /// Refuses to go forward over anything that changed since it was applied.
    pub(super) async fn refuse_drift(&self) -> Result<()> {
        let rows = ledger_rows(self.session, &self.context_of(StepInfo::default())).await?;
        self.recorder.with_state(|state| drift(self.session, state, &rows)).into_error(self.session)
    }

    /// A target whose ledger has not got the step is not the one that it was applied to, whoever says so.
    pub(crate) async fn refuse_other_ledger(&self, known: &StepRecord, step: &PlanStep) -> Result<()> {
        let Some(target) = step.step.ledgered() else { return Ok(()) };
        let rows = ledger_rows(self.session, &self.context_of(StepInfo::default())).await?;
        let moved = known.known_target(target) != self.session.stored_target(target).as_ref();
        if !moved || rows.get(target).is_some_and(|rows| rows.contains_key(&step.id)) {
            return Ok(());
        }
        let drifts = self.recorder.with_state(|state| estranged(self.session, state, &rows));
        drifts.into_error(self.session)
    }

    /// Takes a step that only its ledger has, and that was edited since, into the journal as the plan has it now, for
    /// whoever accepts the edit: what was applied is known by its digest alone.
    pub(crate) async fn learn(&self, phase: usize, step: &PlanStep) -> Result<()> {
        let rows = ledger_rows(self.session, &self.context_of(StepInfo::default())).await?;
        let row = step.target.as_ref().and_then(|t| rows.get(t)).and_then(|l| l.get(&step.id));
        let Some(row) = row.filter(|_| !self.recorder.state_of(&step.id).may_have_effects()) else { return Ok(()) };
        let (mut known, objects) = self.stored(phase, step);
        Arc::make_mut(&mut known).digest.clone_from(&row.digest);
        let receipt = row.receipt.clone().unwrap_or_else(Receipt::nothing);
        let record = Record::StepAdopted { step: known, receipt, source: "ledger".to_owned() };
        self.record_with(vec![record], objects).await
    }

    fn note(&self, step: &str, text: &str) {
        self.emit(EventKind::StepNote { step: step.to_owned(), text: text.to_owned() });
    }
}
