//! From events to spans: a run is a trace; its phases, its unwinding and each step are spans of it. A fold of the events.

use std::collections::BTreeMap;

use cutover_core::{Event, EventKind, Outcome};
use jiff::{SignedDuration, Timestamp};

use super::span::{Attributes, Span, SpanId, Status, TraceId};
use crate::executor::outcome_name;
use crate::lock::host_name;

/// The spans that have begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Spans {
    run: Option<Run>,
    /// When the last event was.
    now: Timestamp,
}

/// A run that is on.
#[derive(Debug)]
struct Run {
    trace: TraceId,
    ids: u64,
    root: Span,
    /// The phase or the unwinding that is on.
    part: Option<Span>,
    steps: BTreeMap<String, Span>,
    /// Phase and kind of each step.
    known: BTreeMap<String, (String, String)>,
}

impl Spans {
    /// Takes in one event. The spans that ended with it, each after those inside it.
    pub(super) fn hear(&mut self, event: &Event) -> Vec<Span> {
        let at = event.at.parse().unwrap_or(self.now);
        self.now = at;
        let mut ended = Vec::new();
        if let EventKind::RunStarted { .. } = &event.kind {
            ended = self.end();
            self.run = Run::begin(&event.kind, at);
        } else if let Some(run) = &mut self.run {
            run.hear(&event.kind, at, &mut ended);
        }
        if let EventKind::RunFinished { outcome, .. } = &event.kind
            && let Some(run) = self.run.take()
        {
            ended.extend(run.end(at, *outcome));
        }
        ended
    }

    /// Ends what has not ended: the command failed before its run had an outcome.
    pub(super) fn end(&mut self) -> Vec<Span> {
        let Some(mut run) = self.run.take() else { return Vec::new() };
        let mut ended = Vec::new();
        run.end_part(self.now, &mut ended);
        run.root.ended = self.now;
        run.root.fail(self.now, "the command ended before its run had an outcome");
        ended.push(run.root);
        ended
    }
}

impl Run {
    fn begin(kind: &EventKind, at: Timestamp) -> Option<Self> {
        let EventKind::RunStarted { command, plan, run, steps, resumed } = kind else { return None };
        let seed = format!("{run} {plan} {} {} {:?}", host_name(), std::process::id(), std::time::SystemTime::now());
        let mut trace = TraceId::default();
        trace.copy_from_slice(&blake3::hash(seed.as_bytes()).as_bytes()[..16]);
        let known = steps.iter().map(|(phase, id, kind)| (id.clone(), (phase.clone(), kind.clone()))).collect();
        let mut this = Self { trace, ids: 0, root: Span::default(), part: None, steps: BTreeMap::new(), known };
        this.root = this.span(command.clone(), None, at);
        for (name, value) in [("cutover.plan", plan), ("cutover.run", run), ("cutover.command", command)] {
            this.root.set(name, value.as_str());
        }
        this.root.set("cutover.resumed", *resumed);
        this.root.set("cutover.steps", steps.len() as u64);
        Some(this)
    }

    fn hear(&mut self, kind: &EventKind, at: Timestamp, ended: &mut Vec<Span>) {
        match kind {
            EventKind::PhaseStarted { phase } => {
                self.end_part(at, ended);
                let mut part = self.span(format!("phase {phase}"), Some(self.root.id), at);
                part.set("cutover.phase", phase.as_str());
                self.part = Some(part);
            }
            EventKind::UnwindStarted { to, steps } => {
                self.end_part(at, ended);
                let mut part = self.span("unwind".to_owned(), Some(self.root.id), at);
                part.set("cutover.unwind.to", to.as_str());
                part.set("cutover.unwind.steps", steps.len() as u64);
                self.part = Some(part);
            }
            EventKind::StepStarted { step } => {
                let mut span = self.of_step(step, at);
                span.happened("apply", at, Vec::new());
                self.steps.insert(step.clone(), span);
            }
            EventKind::StepNote { step, text } => self.note(step, "note", at, vec![("text", text.as_str().into())]),
            EventKind::StepSampled { step, slot, readings } => {
                let broke = readings.iter().filter(|r| r.broke.is_some()).count();
                let mut said: Attributes = vec![("slot", (*slot).into()), ("broke", (broke as u64).into())];
                let figures: Vec<String> = readings.iter().map(shown).collect();
                said.push(("readings", figures.join(", ").as_str().into()));
                self.note(step, "sample", at, said);
            }
            EventKind::StepTriggered { step, trigger } => {
                let said = vec![("probe", trigger.probe.as_str().into()), ("why", trigger.why.as_str().into())];
                self.note(step, "trigger", at, said);
            }
            EventKind::StepDone { step, figures } => {
                let mut span = self.steps.remove(step).unwrap_or_else(|| self.of_step(step, at));
                let verify = SignedDuration::try_from_secs_f64(figures.verified).unwrap_or_default();
                // A group ends later than its members, with their commit: a member verified before that.
                let length = SignedDuration::try_from_secs_f64(figures.seconds).unwrap_or_default();
                let verifying = back(later(span.began, length).min(at), verify).max(span.began);
                span.happened("verify", verifying, vec![("seconds", figures.verified.into())]);
                span.happened("applied", at, Vec::new());
                span.set("cutover.step.seconds", figures.seconds);
                span.set("cutover.step.already", figures.already);
                figures.rows.into_iter().for_each(|rows| span.set("cutover.step.rows", rows));
                figures.bytes.into_iter().for_each(|bytes| span.set("cutover.step.bytes", bytes));
                span.status = Status::Ok;
                close(span, at, ended);
            }
            EventKind::StepSkipped { step, why } => self.left(step, "skipped", at, why, ended),
            EventKind::StepWaiting { step, why } => self.left(step, "waiting", at, why, ended),
            EventKind::StepStopped { step, at: place } => self.left(step, "stopped", at, place, ended),
            EventKind::StepFailed { step, error, help } => {
                let mut span = self.steps.remove(step).unwrap_or_else(|| self.of_step(step, at));
                span.fail(at, error);
                help.iter().for_each(|help| span.set("cutover.help", help.as_str()));
                close(span, at, ended);
            }
            EventKind::StepRolledBack { step, seconds } => {
                let began = back(at, SignedDuration::try_from_secs_f64(*seconds).unwrap_or_default());
                let mut span = self.of_step(step, began);
                span.name = format!("rollback {step}");
                span.happened("rollback", began, Vec::new());
                span.status = Status::Ok;
                close(span, at, ended);
            }
            EventKind::StepStuck { step, error } => {
                let mut span = self.of_step(step, at);
                span.name = format!("rollback {step}");
                span.fail(at, error);
                close(span, at, ended);
            }
            EventKind::NotReached { notifier, on, error } => {
                let said = vec![
                    ("notifier", notifier.as_str().into()),
                    ("on", on.name().into()),
                    ("why", error.as_str().into()),
                ];
                self.root.happened("not reached", at, said);
            }
            EventKind::RunStarted { .. }
            | EventKind::StepProgress { .. }
            | EventKind::StepVerified { .. }
            | EventKind::TargetsVerified { .. }
            | EventKind::RunFinished { .. } => {}
        }
    }

    /// The run came to its end.
    fn end(mut self, at: Timestamp, outcome: Outcome) -> Vec<Span> {
        let mut ended = Vec::new();
        self.end_part(at, &mut ended);
        self.root.set("cutover.outcome", outcome_name(outcome));
        match outcome {
            Outcome::Done | Outcome::NothingToDo => self.root.status = Status::Ok,
            Outcome::Waiting | Outcome::Interrupted => {}
            Outcome::FailedRolledBack
            | Outcome::FailedPaused
            | Outcome::FailedBlocked
            | Outcome::Unwound
            | Outcome::Stuck => self.root.status = Status::Error(outcome_name(outcome).to_owned()),
        }
        close(self.root, at, &mut ended);
        ended
    }

    /// Ends the phase or the unwinding that is on. What is begun in it by then was undone with its group.
    fn end_part(&mut self, at: Timestamp, ended: &mut Vec<Span>) {
        for (_, mut span) in std::mem::take(&mut self.steps) {
            span.happened("aborted", at, Vec::new());
            close(span, at, ended);
        }
        if let Some(part) = self.part.take() {
            close(part, at, ended);
        }
    }

    /// A step that ends neither well nor badly.
    fn left(&mut self, step: &str, name: &'static str, at: Timestamp, why: &str, ended: &mut Vec<Span>) {
        match self.steps.remove(step) {
            Some(mut span) => {
                span.happened(name, at, vec![("why", why.into())]);
                close(span, at, ended);
            }
            // It did not begin: there is nothing that lasted.
            None => self.note(step, name, at, vec![("step", step.into()), ("why", why.into())]),
        }
    }

    /// Says what happened in the step's span, or in what is around it.
    fn note(&mut self, step: &str, name: &'static str, at: Timestamp, said: Attributes) {
        let around = self.part.as_mut().unwrap_or(&mut self.root);
        self.steps.get_mut(step).unwrap_or(around).happened(name, at, said);
    }

    fn of_step(&mut self, step: &str, at: Timestamp) -> Span {
        let parent = self.part.as_ref().unwrap_or(&self.root).id;
        let mut span = self.span(step.to_owned(), Some(parent), at);
        span.set("cutover.step", step);
        if let Some((phase, kind)) = self.known.get(step) {
            span.set("cutover.phase", phase.as_str());
            span.set("cutover.step.kind", kind.as_str());
        }
        span
    }

    fn span(&mut self, name: String, parent: Option<SpanId>, at: Timestamp) -> Span {
        self.ids += 1;
        let seed = [self.trace.as_slice(), &self.ids.to_le_bytes()].concat();
        let mut id = SpanId::default();
        id.copy_from_slice(&blake3::hash(&seed).as_bytes()[..8]);
        Span { id, parent, name, began: at, ended: at, trace: self.trace, ..Span::default() }
    }
}

fn close(mut span: Span, at: Timestamp, ended: &mut Vec<Span>) {
    span.ended = at.max(span.began);
    ended.push(span);
}

fn back(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.checked_sub(time).unwrap_or(at)
}

fn later(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.checked_add(time).unwrap_or(at)
}

/// "failed executions 6 %".
fn shown(reading: &cutover_core::Reading) -> String {
    match reading.figure {
        Some(figure) => format!("{} {figure} {}", reading.probe, reading.unit).trim_end().to_owned(),
        None => format!("{} none", reading.probe),
    }
}
