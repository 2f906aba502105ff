//! What the runner lends to steps: blocking threads, clock, progress, durable intents, masking.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use cutover_core::journal::{Approval, Observed, PlanState, Probed, Record, Window};
use cutover_core::{EventKind, Host, Progress, Reading, Receipt, StepContext, StepError};
use jiff::Timestamp;
use tracing::Span;

use crate::clock;
use crate::recorder::Recorder;
use crate::report::Emitter;
use crate::secrets::Secrets;

/// A request to stop: steps end at their next checkpoint, the run ends after journalling, nothing is dropped midway.
/// Who asks again has what a store can undo broken off: a running SQL statement.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// One more request.
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether there was any.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// Whether there was more than one.
    pub fn insisted(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 1
    }
}

/// What steps may do with the journal.
#[derive(Debug)]
pub(crate) enum JournalAccess {
    /// A run: intents are journalled.
    Write(Arc<Recorder>),
    /// A command that only reads: what the journal says, as far as steps may ask.
    Read(Box<Readings>),
}

/// What steps may ask of a journal that nobody writes.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    receipts: BTreeMap<String, Receipt>,
    windows: BTreeMap<String, Window>,
    approvals: BTreeMap<String, Approval>,
}

impl Readings {
    /// What `state` says.
    pub(crate) fn of(state: &PlanState) -> Self {
        Self {
            receipts: state.steps.iter().filter_map(|(id, s)| Some((id.clone(), s.receipt.clone()?))).collect(),
            windows: state.steps.iter().filter_map(|(id, s)| Some((id.clone(), s.window.clone()?))).collect(),
            approvals: state.approvals.clone(),
        }
    }
}

/// The runner's host.
#[derive(Debug)]
pub(crate) struct RunnerHost {
    /// What steps may do with the journal.
    pub journal: JournalAccess,
    /// Who is told.
    pub emitter: Arc<Emitter>,
    /// Stop requests.
    pub stop: Stop,
    /// What is never shown.
    pub secrets: Secrets,
    /// Blocking work runs in place while nothing else is in flight: handing thousands of short pieces to another
    /// thread and back costs more than the pieces.
    pub inline: AtomicBool,
}

impl RunnerHost {
    /// What reporters hear of what a gate observed.
    fn told(&self, step: &str, observed: &Observed) -> Option<EventKind> {
        let step = step.to_owned();
        match observed {
            Observed::Opened(_) => None,
            Observed::Sampled(sample) => {
                let JournalAccess::Write(recorder) = &self.journal else { return None };
                let reading = |(probed, figure): (&Probed, &Option<f64>)| Reading {
                    probe: probed.name.clone(),
                    unit: probed.unit.clone(),
                    figure: *figure,
                    broke: sample.broke.get(&probed.name).cloned(),
                };
                let readings = recorder.with_state(|state| {
                    let window = state.steps.get(&step)?.window.as_ref()?;
                    Some(window.spec.probes.iter().zip(&sample.readings).map(reading).collect())
                })?;
                Some(EventKind::StepSampled { step, slot: sample.slot, readings })
            }
            Observed::Triggered(trigger) => Some(EventKind::StepTriggered { step, trigger: trigger.clone() }),
        }
    }
}

#[async_trait]
impl Host for RunnerHost {
    async fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        // A panic inside leaves no result; the context says so.
        if self.inline.load(Ordering::Relaxed) {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        } else {
            let span = Span::current();
            let _ = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
        }
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn progress(&self, step: &str, progress: Progress) {
        let Progress { done, total, unit } = progress;
        self.emitter.emit(EventKind::StepProgress { step: step.to_owned(), done, total, unit });
    }

    fn note(&self, step: &str, text: &str) {
        self.emitter.emit(EventKind::StepNote { step: step.to_owned(), text: self.secrets.mask(text) });
    }

    async fn intend(&self, cx: &StepContext, receipt: &Receipt) -> Result<(), StepError> {
        let JournalAccess::Write(recorder) = &self.journal else {
            return Err(StepError::internal("a read-only command was asked to write an intent"));
        };
        let recorder = Arc::clone(recorder);
        let receipt = self.secrets.mask_notes(receipt.clone());
        let record = Record::StepIntent { step: cx.info().id.clone(), receipt };
        cx.blocking(move || {
            let unwritten = |e| StepError::failed("the intent could not be journalled").caused_by(e);
            recorder.record(vec![record]).map_err(unwritten)?;
            // The intended write would be one that nothing could be recorded of.
            recorder.short_of_room().map_or(Ok(()), Err)
        })
        .await
    }

    async fn receipt_of(&self, _plan: &str, step: &str) -> Result<Option<Receipt>, StepError> {
        Ok(match &self.journal {
            JournalAccess::Write(recorder) => recorder.receipt_of(step),
            JournalAccess::Read(read) => read.receipts.get(step).cloned(),
        })
    }

    async fn observe(&self, cx: &StepContext, observed: Observed) -> Result<(), StepError> {
        let JournalAccess::Write(recorder) = &self.journal else {
            return Err(StepError::internal("a read-only command was asked to write what a gate observed"));
        };
        let recorder = Arc::clone(recorder);
        let step = cx.info().id.clone();
        let told = self.told(&step, &observed);
        let record = match observed {
            Observed::Opened(window) => Record::WindowOpened { step, window },
            Observed::Sampled(sample) => Record::StepSampled { step, sample },
            Observed::Triggered(trigger) => Record::StepTriggered { step, trigger },
        };
        cx.blocking(move || {
            let unwritten = |e| StepError::failed("what a gate observed could not be journalled").caused_by(e);
            recorder.record(vec![record]).map_err(unwritten)
        })
        .await?;
        told.into_iter().for_each(|kind| self.emitter.emit(kind));
        Ok(())
    }

    async fn window_of(&self, cx: &StepContext) -> Result<Option<Window>, StepError> {
        let step = cx.info().id.as_str();
        Ok(match &self.journal {
            JournalAccess::Write(recorder) => {
                recorder.with_state(|state| state.steps.get(step).and_then(|s| s.window.clone()))
            }
            JournalAccess::Read(read) => read.windows.get(step).cloned(),
        })
    }

    async fn approval_of(&self, cx: &StepContext) -> Result<Option<Approval>, StepError> {
        let step = cx.info().id.as_str();
        Ok(match &self.journal {
            JournalAccess::Write(recorder) => recorder.with_state(|state| state.approvals.get(step).cloned()),
            JournalAccess::Read(read) => read.approvals.get(step).cloned(),
        })
    }

    fn stop_requested(&self) -> bool {
        self.stop.requested()
    }

    fn stop_insisted(&self) -> bool {
        self.stop.insisted()
    }

    fn mask(&self, text: &str) -> String {
        self.secrets.mask(text)
    }
}
