//! A window of time, on a clock that a test turns.

use std::fs;

use cutover_core::journal::{TriggerAction, Window};
use cutover_core::{Applied, Watched};
use cutover_tests::{Bench, Fixture};
use jiff::SignedDuration;
use pollster::block_on;

fn plan(with: &str) -> String {
    format!(
        "name = \"p\"\n[[phase]]\nname = \"before\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"was\"\n\
         use = \"gate.baseline\"\nwith.samples = 1\nwith.figures = [{{ what = \"failed\", probe = {{ {PROBE} }} }}]\n\
         [[phase]]\nname = \"soak\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"it\"\nuse = \"gate.soak\"\n{with}\n"
    )
}

const PROBE: &str = "use = \"file\", path = \"failed\", unit = \"%\"";

fn week(monitor: &str) -> String {
    plan(&format!(
        "with.window = \"7d\"\nwith.every = \"1h\"\nwith.baseline = \"was\"\n\
         with.monitors = [{{ what = \"failed\", probe = {{ {PROBE} }}, {monitor} }}]"
    ))
}

struct Scene {
    root: tempfile::TempDir,
    bench: Bench,
}

impl Scene {
    fn new(monitor: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("failed"), "1").unwrap();
        let bench = Fixture::new(week(monitor)).open(root.path());
        bench.apply("was").unwrap();
        Self { root, bench }
    }

    fn figure(&self, figure: &str) {
        fs::write(self.root.path().join("failed"), figure).unwrap();
    }

    fn later(&self, hours: i64) {
        let host = self.bench.host();
        host.set_now(self.bench.cx("it").now() + SignedDuration::from_hours(hours));
    }

    fn apply(&self) -> Result<Applied, String> {
        self.bench.apply("it").map_err(|e| e.to_string())
    }

    fn watch(&self) -> Watched {
        block_on(self.bench.step("it").step.watch(&self.bench.cx("it"))).unwrap().unwrap()
    }

    fn window(&self) -> Window {
        self.bench.host().window("it").unwrap()
    }
}

#[test]
fn a_week_of_samples_passes_and_a_slot_has_one_sample() {
    let scene = Scene::new("max = 5");
    let Ok(Applied::Waiting(why)) = scene.apply() else { panic!("it waits") };
    insta::assert_snapshot!(why, @"soaks until 2026-01-08T00:00:00Z; 1 of 168 samples (152 needed), the last within bounds; next at 2026-01-01T01:00:00Z");
    // Whoever looks again at once, and again, finds nothing to do.
    assert!(matches!(scene.apply().unwrap(), Applied::Waiting(_)));
    assert!(matches!(scene.watch(), Watched::Waits { .. }));
    assert_eq!(scene.window().rounds.len(), 1);
    for _ in 1..168 {
        scene.later(1);
        assert!(matches!(scene.watch(), Watched::Waits { .. }));
    }
    scene.later(1);
    assert!(matches!(scene.watch(), Watched::Settled(_)));
    let Ok(Applied::Changed(receipt)) = scene.apply() else { panic!("it passes") };
    assert_eq!(receipt.notes, ["failed: p50 1 %, p95 1 % of 168 samples"]);
}

#[test]
fn a_window_with_too_few_samples_goes_on() {
    let scene = Scene::new("max = 5");
    scene.apply().unwrap();
    scene.later(24 * 8);
    let Watched::Waits { why, .. } = scene.watch() else { panic!("it waits") };
    assert!(why.contains("2 of 168 samples (152 needed), 191 missed"), "{why}");
    assert!(matches!(scene.apply().unwrap(), Applied::Waiting(_)));
}

#[test]
fn a_clock_that_is_set_back_or_forth_neither_stops_a_window_nor_ends_it() {
    for jump in [-24 * 365, 24 * 365] {
        let scene = Scene::new("max = 5");
        scene.apply().unwrap();
        for _ in 0..20 {
            scene.later(1);
            scene.watch();
        }
        scene.later(jump);
        let Watched::Waits { again, .. } = scene.watch() else { panic!("it waits") };
        let now = scene.bench.cx("it").now();
        assert!(again > now && again <= now + SignedDuration::from_hours(1), "{jump}: {now} {again}");
        for _ in 0..200 {
            scene.later(1);
            scene.watch();
        }
        assert!(matches!(scene.watch(), Watched::Settled(_)), "{jump}");
        let rounds = scene.window().rounds.len();
        assert!((152..=168).contains(&rounds), "{jump}: {rounds}");
    }
}

#[test]
fn a_trigger_fires_after_its_strikes_and_once() {
    let scene = Scene::new("rise = \"4\", strikes = 2, then = \"pause\"");
    scene.apply().unwrap();
    let looks = |figure: &str| {
        scene.figure(figure);
        scene.later(1);
        matches!(scene.watch(), Watched::Waits { .. })
    };
    assert_eq!([looks("6"), looks("1"), looks("6")], [true, true, true]);
    assert!(!looks("7"));
    let why = scene.apply().unwrap_err();
    assert!(
        why.starts_with("failed: 2 samples in a row broke it; that of ")
            && why.ends_with("is 7 %, allowed is at most 5 %"),
        "{why}"
    );
    let window = scene.window();
    assert_eq!(window.triggered.len(), 1);
    assert_eq!((window.triggered[0].1.action, window.rounds.len()), (TriggerAction::Pause, 5));
}

#[test]
fn a_warning_is_told_once_for_each_row_of_breaks_and_a_lost_figure_breaks_too() {
    let scene = Scene::new("max = 5, then = \"warn\"");
    scene.apply().unwrap();
    for figure in ["6", "7", "1", "no figure"] {
        scene.figure(figure);
        scene.later(1);
        assert!(matches!(scene.watch(), Watched::Waits { .. }));
    }
    let window = scene.window();
    let why: Vec<&str> = window.triggered.iter().map(|(_, fired)| fired.why.as_str()).collect();
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(why[1].contains("`no figure` is no number"), "{why:?}");
    assert_eq!(window.rounds[4].reading(0), None);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    for (monitor, why) in [
        ("min = 2, max = 1", "no figure is above"),
        ("", "the figure may be anything"),
        ("max = 1, then = \"rollback\"", "go together"),
        ("max = 1, then = \"rollback\", to = \"it\"", "does not come before it"),
        ("max = 1, then = \"rollback\", to = \"nowhere\"", "the plan has no step `nowhere`"),
        ("max = 1, strikes = 0", "without a sample"),
    ] {
        let errors = Fixture::new(week(monitor)).try_compile().unwrap_err().to_string();
        assert!(errors.contains(why), "{monitor}: {errors}");
    }
    Fixture::new(week("max = 1, then = \"rollback\", to = \"before\"")).compile();
}

/// A sample takes 20 ms, and the next is due after 5.
#[test]
fn whoever_looks_for_longer_than_samples_are_apart_comes_back_all_the_same() {
    let with = "with.window = \"3s\"\nwith.every = \"5ms\"\nwith.patience = \"1ms\"\nwith.coverage = 1\n\
        with.monitors = [{ what = \"failed\", probe = { use = \"command\", run = [\"sh\", \"-c\", \"sleep 0.02; echo 1\"] }, max = 5 }]";
    let root = tempfile::tempdir().unwrap();
    let bench = Fixture::new(plan(with)).ticking().open(root.path());
    assert!(matches!(bench.apply("it").unwrap(), Applied::Waiting(_)));
    assert_eq!(bench.host().window("it").unwrap().rounds.len(), 1);
}
