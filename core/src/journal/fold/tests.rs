//! The fold, told what journals say.

use proptest::prelude::*;

use super::*;

fn entry(seq: u64, record: Record) -> Entry {
    Entry { seq, at: Timestamp::UNIX_EPOCH, run: "r".into(), epoch: 1, plan: "p".into(), record }
}

fn record(n: u8, step: String) -> Record {
    let stored = Arc::new(StoredStep { id: step.clone(), ..StoredStep::default() });
    let receipt = Receipt::nothing();
    match n {
        0 => Record::StepSkipped { step, why: String::new() },
        1 => Record::StepStarted { step: stored },
        2 => Record::StepIntent { step, receipt },
        3 => Record::StepApplied { step, receipt, already: false, seconds: 0.0 },
        4 => Record::StepFailed { step, error: String::new(), help: None, receipt: None },
        5 => Record::StepWaiting { step, why: String::new() },
        6 => Record::StepStopped { step, at: String::new() },
        7 => Record::RollbackStarted { step },
        8 => Record::StepRolledBack { step, seconds: 0.0 },
        9 => Record::RollbackFailed { step, error: String::new(), help: None },
        10 => Record::GroupAborted { steps: vec![step] },
        _ => Record::StepLost { step, why: String::new() },
    }
}

proptest! {
    /// Whatever is written, a refused record changes nothing, and a step without effects holds no receipt.
    #[test]
    fn a_refused_record_changes_nothing(moves in prop::collection::vec((0u8..12, 0u8..3), 0..60)) {
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
