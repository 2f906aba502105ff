//! What follows from facts, without any system.

use cutover_core::journal::{PlanState, RunCommand, RunState, StepRecord, StepState};

use super::advice::advice;
use super::facts::{Commands, Drifted, Facts, Held, Journal, Problem, Saved, Step};
use super::findings::{Kind, findings};
use crate::executor::WayOut;
use crate::lock::Holder;

/// A plan of the steps `a` and `b`, in those states, whose last run ended like that.
fn facts(a: StepState, b: StepState, outcome: Option<&str>) -> Facts {
    let step = |id: &str| Step { id: id.to_owned(), ledger: Some("app".to_owned()), whole: true, ..Step::default() };
    let record = |state| StepRecord { state, message: Some("it broke".to_owned()), ..StepRecord::default() };
    let line = |command: &str| format!("cutover {command} p");
    let run = RunState {
        id: "r".to_owned(),
        epoch: 1,
        command: RunCommand::Apply,
        plan_digest: String::new(),
        to: None,
        bound_to: Vec::new(),
        started: crate::clock::now(),
        failed: vec!["b".to_owned()],
        outcome: outcome.map(str::to_owned),
    };
    Facts {
        plan: "p".to_owned(),
        journal: Journal::Read,
        state: PlanState {
            steps: [("a".to_owned(), record(a)), ("b".to_owned(), record(b))].into(),
            run: Some(run),
            ..PlanState::default()
        },
        steps: vec![step("a"), step("b")],
        commands: Commands {
            apply: line("apply"),
            again: line("apply"),
            rollback: line("rollback"),
            status: line("status"),
            verify: line("verify"),
            resolve: line("resolve"),
            accept: line("accept"),
            explain: line("explain"),
            prune: line("prune"),
            save: None,
        },
        ..Facts::default()
    }
}

fn held(frozen: bool, refused: Option<&str>) -> Option<Held> {
    let holder = Holder { pid: 7, host: "h".to_owned(), since: "then".to_owned(), command: "apply".to_owned() };
    Some(Held { holder, path: "lock".to_owned(), frozen, refused: refused.map(str::to_owned) })
}

fn kinds(facts: &Facts) -> Vec<Kind> {
    findings(facts).into_iter().map(|f| f.kind).collect()
}

#[test]
fn nothing_is_left_to_do_when_all_is_applied() {
    let found = advice(&facts(StepState::Applied, StepState::Applied, Some("done")));
    assert_eq!((found.next, found.by_hand), (None, None));
}

#[test]
fn a_take_over_is_only_advised_where_it_is_allowed() {
    let mut facts = facts(StepState::Applied, StepState::Started, None);
    facts.held = held(false, None);
    assert_eq!(advice(&facts).next.as_deref(), Some("cutover status p"));
    facts.held = held(true, None);
    assert_eq!(advice(&facts).next.as_deref(), Some("cutover apply p --take-over"));
    facts.held = held(true, Some("nothing could stop it"));
    let found = advice(&facts);
    assert_eq!(found.next.as_deref(), Some("cutover apply p"));
    assert!(found.by_hand.is_some_and(|by| by.contains("kill -KILL 7")));
}

#[test]
fn a_target_that_cannot_be_used_comes_first_and_the_command_stays_what_it_would_be() {
    let mut facts = facts(StepState::Applied, StepState::Stuck, Some("stuck"));
    facts.problems.push(Problem {
        target: "app".to_owned(),
        what: "it is not there".to_owned(),
        help: Some("put it back".to_owned()),
        busy: false,
    });
    let found = advice(&facts);
    assert!(found.headline.starts_with("Target `app` cannot be used"), "{}", found.headline);
    assert_eq!((found.by_hand.as_deref(), found.next.as_deref()), (Some("put it back"), Some("cutover rollback p")));
    assert_eq!(kinds(&facts), [Kind::TargetUnusable, Kind::Stuck]);
}

#[test]
fn what_began_together_is_told_together_and_whether_it_is_committed() {
    let mut facts = facts(StepState::Started, StepState::Started, None);
    let found = findings(&facts);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.contains("`a`, `b`") && found[0].text.contains("nothing of it is in `app`"), "{found:?}");
    facts.steps.iter_mut().for_each(|s| s.recorded = true);
    assert!(findings(&facts)[0].text.contains("it is committed in `app`"));
}

#[test]
fn a_failure_is_told_after_its_step_was_rolled_back() {
    let found = findings(&facts(StepState::Applied, StepState::RolledBack, Some("failed-rolled-back")));
    assert_eq!(found[0].kind, Kind::Failed);
    assert!(found[0].text.contains("it broke"));
}

#[test]
fn drift_is_settled_by_hand_or_by_its_own_command() {
    let mut facts = facts(StepState::Applied, StepState::Pending, Some("done"));
    facts.drifts.push(Drifted {
        step: "a".to_owned(),
        what: "step `a` was applied and has changed since".to_owned(),
        way_out: WayOut {
            by_hand: "undo the edit".to_owned(),
            or: Some(("it is deliberate".to_owned(), "cutover accept p a --note WHY".to_owned())),
        },
    });
    let found = advice(&facts);
    assert_eq!((found.by_hand.as_deref(), found.next.as_deref()), (Some("undo the edit"), Some("cutover apply p")));
    assert_eq!(found.instead[0].command, "cutover accept p a --note WHY");
}

#[test]
fn a_saved_plan_that_does_not_hold_is_saved_anew_before_it_is_applied() {
    let mut facts = facts(StepState::Applied, StepState::Pending, Some("done"));
    facts.commands.save = Some("cutover plan p --out f".to_owned());
    facts.saved = Some(Saved { file: "f".to_owned(), moved: Vec::new() });
    assert_eq!(advice(&facts).next.as_deref(), Some("cutover apply p"));
    facts.saved = Some(Saved { file: "f".to_owned(), moved: vec!["step `b` changed".to_owned()] });
    assert_eq!(advice(&facts).next.as_deref(), Some("cutover plan p --out f"));
    assert!(kinds(&facts).contains(&Kind::SavedPlanStale));
}

#[test]
fn a_journal_that_is_gone_is_only_one_when_a_ledger_tells_of_it() {
    let mut facts = Facts { steps: facts(StepState::Pending, StepState::Pending, None).steps, ..Facts::default() };
    assert!(advice(&facts).headline.contains("never run"));
    facts.steps[0].recorded = true;
    assert!(advice(&facts).headline.contains("is gone"));
    assert_eq!(kinds(&facts), [Kind::JournalMissing]);
}
