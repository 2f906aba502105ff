//! The services that a runner lends to a step, kept in memory.
//!
//! Owns [`TestHost`]. Receipts and intents make a round trip through JSON text, as a journal would do it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cutover_core::journal::{Approval, Observed, Window};
use cutover_core::{Host, Progress, Receipt, StepContext, StepError, async_trait};
use jiff::{SignedDuration, Timestamp};

/// A [`Host`] that runs blocking work in place, has a fixed clock, and remembers what it was told.
#[derive(Debug)]
pub struct TestHost {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    ticks_since: Option<Instant>,
    notes: Vec<(String, String)>,
    progress: Vec<(String, Progress)>,
    intents: BTreeMap<String, String>,
    receipts: BTreeMap<String, String>,
    windows: BTreeMap<String, Window>,
    approvals: BTreeMap<String, Approval>,
    approving: bool,
    secrets: Vec<String>,
    stop: bool,
    stop_after: Option<usize>,
    die_after_intent: bool,
}

impl Default for TestHost {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                now: Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1_767_225_600), // 2026-01-01T00:00:00Z
                ticks_since: None,
                notes: Vec::new(),
                progress: Vec::new(),
                intents: BTreeMap::new(),
                receipts: BTreeMap::new(),
                windows: BTreeMap::new(),
                approvals: BTreeMap::new(),
                approving: true,
                secrets: Vec::new(),
                stop: false,
                stop_after: None,
                die_after_intent: false,
            }),
        }
    }
}

impl TestHost {
    /// What [`Host::intend`] fails with after [`TestHost::die_after_intent`].
    pub const DIED: &'static str = "the process died here (a test made it so)";

    /// A host at 2026-01-01T00:00:00Z that was told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the clock ticks.
    pub fn tick(&self) {
        self.state().ticks_since = Some(Instant::now());
    }

    /// Sets the clock.
    pub fn set_now(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// Sets whether a stop is requested.
    pub fn set_stop(&self, stop: bool) {
        self.state().stop = stop;
    }

    /// A stop is requested once a step has told so many times how far it has come.
    pub fn stop_after(&self, told: usize) {
        self.state().stop_after = Some(told);
    }

    /// From now on an intent is recorded and then its step gets an error, as if the process had died between the
    /// intent and the first write.
    pub fn die_after_intent(&self, die: bool) {
        self.state().die_after_intent = die;
    }

    /// Text that [`Host::mask`] replaces by `***`.
    pub fn add_secret(&self, secret: &str) {
        self.state().secrets.push(secret.to_owned());
    }

    /// Records the receipt of an applied step: what [`Host::receipt_of`] then gives.
    pub fn record(&self, step: &str, receipt: &Receipt) {
        self.state().receipts.insert(step.to_owned(), write(receipt));
    }

    /// Forgets the receipt and the intent of a step that was rolled back.
    pub fn forget(&self, step: &str) {
        let mut state = self.state();
        state.receipts.remove(step);
        state.intents.remove(step);
        state.windows.remove(step);
        state.approvals.remove(step);
    }

    /// The receipt recorded for `step`.
    pub fn receipt(&self, step: &str) -> Option<Receipt> {
        self.state().receipts.get(step).map(|text| read(text))
    }

    /// The last intent of `step`.
    pub fn intent(&self, step: &str) -> Option<Receipt> {
        self.state().intents.get(step).map(|text| read(text))
    }

    /// From now on a step for which nobody said anything is not approved. Before, somebody at hand approves all.
    pub fn nobody_approves(&self) {
        self.state().approving = false;
    }

    /// Says what a person says of a step, at the present time.
    pub fn approve(&self, step: &str, approved: bool, by: &str, note: &str, plan_digest: &str) {
        let mut state = self.state();
        let (by, note, plan_digest) = (by.to_owned(), note.to_owned(), plan_digest.to_owned());
        let approval = Approval { approved, by, note, plan_digest, at: state.now };
        state.approvals.insert(step.to_owned(), approval);
    }

    /// What a gate has observed.
    pub fn window(&self, step: &str) -> Option<Window> {
        self.state().windows.get(step).cloned()
    }

    /// The lines that `step` showed.
    pub fn notes(&self, step: &str) -> Vec<String> {
        self.state().notes.iter().filter(|(s, _)| s == step).map(|(_, text)| text.clone()).collect()
    }

    /// The progress that `step` showed.
    pub fn progress_of(&self, step: &str) -> Vec<Progress> {
        self.state().progress.iter().filter(|(s, _)| s == step).map(|(_, p)| p.clone()).collect()
    }
}

fn write(receipt: &Receipt) -> String {
    serde_json::to_string(receipt).unwrap_or_else(|e| panic!("a receipt that is no JSON: {e}: {receipt:?}"))
}

fn read(text: &str) -> Receipt {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("a receipt that does not come back from JSON: {e}: {text}"))
}

#[async_trait]
impl Host for TestHost {
    async fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn now(&self) -> Timestamp {
        let state = self.state();
        let ticked = state.ticks_since.map_or(Duration::ZERO, |since| since.elapsed());
        state.now + SignedDuration::try_from(ticked).unwrap_or(SignedDuration::ZERO)
    }

    fn progress(&self, step: &str, progress: Progress) {
        let mut state = self.state();
        state.progress.push((step.to_owned(), progress));
        state.stop_after = state.stop_after.map(|left| left.saturating_sub(1));
        if state.stop_after == Some(0) {
            (state.stop, state.stop_after) = (true, None);
        }
    }

    fn note(&self, step: &str, text: &str) {
        self.state().notes.push((step.to_owned(), text.to_owned()));
    }

    async fn intend(&self, cx: &StepContext, receipt: &Receipt) -> Result<(), StepError> {
        let mut state = self.state();
        state.intents.insert(cx.info().id.clone(), write(receipt));
        if state.die_after_intent { Err(StepError::failed(Self::DIED)) } else { Ok(()) }
    }

    async fn receipt_of(&self, _plan: &str, step: &str) -> Result<Option<Receipt>, StepError> {
        Ok(self.receipt(step))
    }

    async fn observe(&self, cx: &StepContext, observed: Observed) -> Result<(), StepError> {
        let mut state = self.state();
        let (now, step) = (state.now, cx.info().id.clone());
        let taken = match (state.windows.get_mut(&step), observed) {
            (_, Observed::Opened(spec)) => {
                state.windows.insert(step, Window::new(spec, now));
                true
            }
            (Some(window), observed) => window.add(&observed, now),
            (None, _) => false,
        };
        if taken { Ok(()) } else { Err(StepError::internal("a window is not open, or a slot of it is sampled twice")) }
    }

    async fn window_of(&self, cx: &StepContext) -> Result<Option<Window>, StepError> {
        Ok(self.window(&cx.info().id))
    }

    async fn approval_of(&self, cx: &StepContext) -> Result<Option<Approval>, StepError> {
        let state = self.state();
        let given = state.approvals.get(&cx.info().id).cloned();
        let at_hand = || Approval {
            approved: true,
            by: "somebody at hand".to_owned(),
            note: "a test".to_owned(),
            plan_digest: cx.plan_digest().unwrap_or_default().to_owned(),
            at: state.now,
        };
        Ok(given.or_else(|| state.approving.then(at_hand)))
    }

    fn stop_requested(&self) -> bool {
        self.state().stop
    }

    fn mask(&self, text: &str) -> String {
        let state = self.state();
        state.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}
