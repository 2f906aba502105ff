//! Which figure a step gets, and which gets none.

use super::*;
use cutover_core::{Change, Use};

const RATES: Rates = Rates { hash: 1000.0, copy: 500.0, commit_seconds: 0.01 };

fn step(uses: Vec<Use>, actions: &[Action]) -> StepOutline {
    StepOutline {
        id: "s".to_owned(),
        kind: "k".to_owned(),
        phase: "p".to_owned(),
        when: None,
        uses,
        changes: actions.iter().map(|action| Change::new(*action, "it")).collect(),
        snapshots: Vec::new(),
        transactional: None,
        effects: Effects::Contained,
    }
}

fn estimate(step: &StepOutline) -> (Basis, Option<f64>) {
    let figures = Figures { bytes: 2000, rows: 100_000, look: Duration::from_millis(500) };
    let targets = BTreeMap::from([("a".to_owned(), TargetEstimate::of(&figures, &RATES))]);
    let this = ThisStep { id: "me", so_far: Duration::from_secs(9) };
    let estimate = StepEstimate::of(step, &this, None, &targets, &RATES);
    (estimate.basis, estimate.seconds)
}

#[test]
fn a_step_is_estimated_by_what_it_says_of_itself() {
    let (read, write) = (|| vec![Use::read("a")], || vec![Use::write("a")]);
    assert_eq!(estimate(&step(read(), &[Action::Check])), (Basis::Read, Some(1.02)));
    assert_eq!(estimate(&step(read(), &[Action::Create])), (Basis::Copy, Some(7.03)));
    assert_eq!(estimate(&step(write(), &[Action::Alter])), (Basis::Rewrite, Some(6.53)));
    let mut one = step(write(), &[Action::Create; 4]);
    one.transactional = Some("a".to_owned());
    assert_eq!(estimate(&one), (Basis::Transaction, Some(0.032)));
    one.id = "me".to_owned();
    assert_eq!(estimate(&one), (Basis::ThisStep, Some(9.03)));
}

#[test]
fn what_cannot_be_known_is_not_guessed() {
    assert_eq!(estimate(&step(vec![Use::write("a")], &[Action::Run])), (Basis::Program, None));
    assert_eq!(estimate(&step(vec![Use::read("a"), Use::read("b")], &[])), (Basis::Unknown, None));
    assert_eq!(estimate(&step(Vec::new(), &[Action::Alter])), (Basis::Unknown, None));
    let mail = StepOutline { effects: Effects::External, ..step(vec![Use::read("a")], &[Action::Check]) };
    assert_eq!(estimate(&mail), (Basis::Program, None));
}
