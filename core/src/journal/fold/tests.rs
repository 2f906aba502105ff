//! The fold, told what journals say.

use proptest::prelude::*;

use super::super::{GroupMember, Sample, WindowSpec};
use super::*;

fn entry(seq: u64, record: Record) -> Entry {
    Entry { seq, at: Timestamp::UNIX_EPOCH, run: "r".into(), epoch: 1, plan: "p".into(), record }
}

fn record(n: u8, step: String) -> Record {
    let stored = Arc::new(StoredStep { id: step.clone(), ..StoredStep::default() });
    let receipt = Receipt::nothing();
    match n {
        0 => Record::StepSkipped { step, why: String::new(), digest: String::new() },
        1 => Record::StepStarted { step: stored },
        2 => Record::StepIntent { step, receipt },
        3 => Record::StepApplied { step, receipt, already: false, seconds: 0.0 },
        4 => Record::StepFailed { step, error: String::new(), help: None, receipt: None },
        5 => Record::StepWaiting { step, why: String::new() },
        6 => Record::StepStopped { step, at: String::new() },
        7 => Record::RollbackStarted { step },
        8 => Record::StepRolledBack { step, seconds: 0.0 },
        9 => Record::RollbackFailed { step, error: String::new(), help: None, again: false },
        10 => Record::GroupAborted { steps: vec![step] },
        11 => Record::StepLost { step, why: String::new() },
        12 => Record::SkipsForgotten { steps: vec![step] },
        13 => unwind(&[&step]),
        14 => Record::WindowOpened { step, window: WindowSpec::default() },
        15 => sampled(step, 3),
        16 => approved(step),
        _ => Record::RunFinished { outcome: "done".into(), seen: None },
    }
}

fn sampled(step: String, slot: u64) -> Record {
    Record::StepSampled { step, sample: Sample { slot, readings: vec![Some(1.5)], ..Sample::default() } }
}

fn approved(step: String) -> Record {
    let (by, note, plan_digest) = ("ada".to_owned(), "seen".to_owned(), "d".to_owned());
    Record::StepApproved { step, approved: true, by, note, plan_digest }
}

#[test]
fn a_window_outlives_waiting_and_ends_with_a_failure_or_the_way_back() {
    let step = || "a".to_owned();
    let opened = [record(1, step()), record(14, step()), sampled(step(), 0), record(5, step()), sampled(step(), 1)];
    let fold = |more: Vec<Record>| folded(opened.iter().cloned().chain(more).map(|record| ("r", record)));
    let rounds = |state: &PlanState| state.steps["a"].window.as_ref().map(|w| w.rounds.len());
    let waiting = fold(vec![]);
    assert_eq!((waiting.state_of("a"), rounds(&waiting)), (StepState::Waiting, Some(2)));
    assert_eq!(rounds(&fold(vec![record(1, step()), sampled(step(), 2)])), Some(3));
    assert_eq!(rounds(&fold(vec![record(1, step()), record(3, step())])), Some(2));
    assert_eq!(rounds(&fold(vec![record(1, step()), record(4, step()), record(1, step())])), None);
    assert_eq!(rounds(&fold(vec![record(7, step()), record(8, step())])), None);
    let trigger = |action| {
        let trigger = Triggered { probe: "p".into(), why: "6 %".into(), action, to: None };
        Record::StepTriggered { step: step(), trigger }
    };
    let fired = |more: Vec<Record>| fold(more).steps["a"].fired.as_ref().map(|fired| fired.action);
    assert_eq!(fired(vec![trigger(TriggerAction::Warn)]), None);
    // It outlives the start of the run that fails of it, and not the next one.
    let failed = vec![trigger(TriggerAction::Pause), record(1, step()), record(4, step())];
    assert_eq!(fired(failed.clone()), Some(TriggerAction::Pause));
    assert_eq!(fired([failed, vec![record(1, step())]].concat()), None);
    let mut twice = waiting;
    assert!(twice.push(&entry(6, sampled(step(), 1))).is_err());
    assert_eq!(rounds(&twice), Some(2));
}

#[test]
fn an_approval_waits_for_its_step_and_is_gone_when_that_is_undone() {
    let step = || "a".to_owned();
    let early = folded([("r", approved(step()))]);
    assert_eq!((early.approvals["a"].by.as_str(), early.state_of("a")), ("ada", StepState::Pending));
    assert!(!early.steps.contains_key("a"));
    let applied = [approved(step()), record(1, step()), record(3, step())];
    assert!(folded(applied.clone().map(|r| ("r", r))).approvals.contains_key("a"));
    assert!(
        folded(applied.into_iter().chain([7, 8].map(|n| record(n, step()))).map(|r| ("r", r))).approvals.is_empty()
    );
}

fn unwind(steps: &[&str]) -> Record {
    let steps = steps.iter().map(|s| (*s).to_owned()).collect();
    Record::UnwindStarted { to: "the start".into(), failure: true, blocked_by: None, steps }
}

fn run_started() -> Record {
    Record::RunStarted {
        command: RunCommand::Apply,
        plan_digest: String::new(),
        operator: String::new(),
        host: String::new(),
        pid: 1,
        version: String::new(),
        to: None,
        bound_to: Vec::new(),
    }
}

/// Records by run: each is `(run, record)`.
fn folded(records: impl IntoIterator<Item = (&'static str, Record)>) -> PlanState {
    let mut state = PlanState::default();
    for (seq, (run, record)) in (1..).zip(records) {
        state.push(&Entry { run: run.into(), ..entry(seq, record) }).unwrap();
    }
    state
}

#[test]
fn an_interrupted_unwinding_stays_open_whatever_runs_come_between_and_ends_with_the_run_that_finishes_it() {
    let finished = |outcome: &str| Record::RunFinished { outcome: outcome.into(), seen: None };
    let begun =
        [("r1", run_started()), ("r1", record(1, "a".into())), ("r1", record(3, "a".into())), ("r1", unwind(&["a"]))];
    let open = |more: Vec<(&'static str, Record)>| folded(begun.iter().cloned().chain(more)).unwinding.is_some();
    assert!(open(vec![]));
    assert!(open(vec![("r2", run_started())]), "a later run opened");
    assert!(open(vec![("r2", run_started()), ("r2", finished("done"))]), "a later run did something else");
    assert!(open(vec![("r1", finished("interrupted"))]));
    assert!(open(vec![("r1", finished("stuck"))]));
    assert!(!open(vec![("r1", finished("failed-rolled-back"))]));
    assert!(!open(vec![("r2", run_started()), ("r2", unwind(&["a"])), ("r2", finished("done"))]));
}

#[test]
fn a_person_who_lets_a_stuck_step_stay_ends_its_unwinding_and_so_does_the_last_one_put_right_by_hand() {
    let resolved = |step: &str, resolution| Record::StepResolved {
        step: step.into(),
        resolution,
        proven: true,
        note: String::new(),
        receipt: None,
    };
    let stuck = || {
        let mut records = Vec::new();
        for step in ["a", "b"] {
            records.extend([record(1, step.into()), record(3, step.into())]);
        }
        records.extend([unwind(&["b", "a"]), record(7, "b".into()), record(9, "b".into())]);
        records.into_iter().map(|r| ("r", r)).collect::<Vec<_>>()
    };
    let open =
        |more: Vec<Record>| folded(stuck().into_iter().chain(more.into_iter().map(|r| ("s", r)))).unwinding.is_some();
    assert!(open(vec![]));
    assert!(!open(vec![resolved("b", Resolution::Applied)]));
    assert!(open(vec![resolved("b", Resolution::RolledBack)]), "`a` is left");
    let a_too = [record(7, "a".into()), record(9, "a".into()), resolved("a", Resolution::RolledBack)];
    assert!(!open([vec![resolved("b", Resolution::RolledBack)], a_too.to_vec()].concat()));
}

#[test]
fn a_skip_that_is_forgotten_is_decided_again() {
    let mut state = folded([("r", record(0, "a".into())), ("r", record(12, "a".into()))]);
    assert_eq!(state.state_of("a"), StepState::Pending);
    state.push(&entry(3, record(1, "a".into()))).unwrap();
}

proptest! {
    /// Whatever is written, a refused record changes nothing, and a step without effects holds no receipt.
    #[test]
    fn a_refused_record_changes_nothing(moves in prop::collection::vec((0u8..18, 0u8..3), 0..60)) {
        let mut state = PlanState::default();
        for (seq, (kind, step)) in moves.into_iter().enumerate() {
            let before = format!("{state:?}");
            let refused = state.push(&entry(seq as u64 + 1, record(kind, format!("s{step}")))).is_err();
            if refused {
                prop_assert_eq!(before, format!("{:?}", state));
            }
            for step in state.steps.values().filter(|s| s.state == StepState::RolledBack) {
                prop_assert!(step.receipt.is_none() || step.applied_seq == 0);
            }
        }
    }
}

#[test]
fn a_retry_after_a_failure_that_was_not_undone_keeps_the_intent_and_one_after_a_rollback_does_not() {
    let intent = Receipt::nothing().with_note("a folder that was made");
    let step = || "a".to_owned();
    let failed = [record(1, step()), Record::StepIntent { step: step(), receipt: intent.clone() }, record(4, step())];
    let retried = folded(failed.clone().into_iter().chain([record(1, step())]).map(|record| ("r", record)));
    assert_eq!(retried.steps["a"].intent, Some(intent));
    let undone = [record(7, step()), record(8, step()), record(1, step())];
    let retried = folded(failed.into_iter().chain(undone).map(|record| ("r", record)));
    assert_eq!(retried.steps["a"].intent, None);
}

#[test]
fn a_retry_after_a_crash_keeps_the_intent() {
    let mut state = PlanState::default();
    let intent = Receipt::nothing().with_note("before-image");
    let start = || record(1, "a".into());
    state.push(&entry(1, start())).unwrap();
    state.push(&entry(2, Record::StepIntent { step: "a".into(), receipt: intent.clone() })).unwrap();
    state.push(&entry(3, start())).unwrap();
    assert_eq!(state.steps["a"].intent, Some(intent));
    assert_eq!(state.state_of("a"), StepState::Intended);
}

#[test]
fn an_applied_step_cannot_start_again() {
    let mut state = PlanState::default();
    state.push(&entry(1, record(1, "a".into()))).unwrap();
    state.push(&entry(2, record(3, "a".into()))).unwrap();
    let refused = state.push(&entry(3, record(1, "a".into()))).unwrap_err();
    assert_eq!(refused.to_string(), "record `step-started` cannot follow for a step that is applied");
}

#[test]
fn what_began_last_is_undone_first() {
    let mut state = PlanState::default();
    for (seq, (kind, step)) in [(1, "a"), (3, "a"), (1, "b"), (3, "b"), (1, "c")].into_iter().enumerate() {
        state.push(&entry(seq as u64 + 1, record(kind, step.into()))).unwrap();
    }
    assert_eq!(state.unwinding_order(), ["c", "b", "a"]);
}

#[test]
fn members_of_a_group_that_never_got_further_are_undone_in_reverse() {
    let member = |id: &str| GroupMember { step: Arc::new(StoredStep { id: id.into(), ..StoredStep::default() }) };
    let group = Record::GroupStarted { target: "t".into(), members: ["b", "c", "a"].map(member).to_vec() };
    let state = folded([("r", record(1, "z".into())), ("r", record(3, "z".into())), ("r", group)]);
    assert_eq!(state.unwinding_order(), ["a", "c", "b", "z"]);
}
