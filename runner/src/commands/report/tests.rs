//! Drawings of many samples, and of none; a week of them in a report.

use std::collections::BTreeMap;
use std::time::Instant;

use cutover_core::journal::{PlanState, Probed, Record, Sample, WindowSpec};
use cutover_core::plan::{CompileInput, NoFiles, compile};
use jiff::{SignedDuration, Timestamp};

use super::gates::Series;
use super::{Kind, chart, facts, html, page};
use crate::journal::Journal;

/// A sample a minute, `number` of them; every hundredth is missing, the values go up and down.
fn series(number: usize) -> Series {
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let at = |i: usize| from + SignedDuration::from_mins(i as i64);
    let value = |i: usize| (i % 100 != 99).then(|| 100.0 + (i as f64 / 300.0).sin() * 20.0);
    let samples = (0..number).map(|i| (at(i), value(i))).collect();
    Series {
        probe: "latency <p95>".to_owned(),
        unit: Some("ms".to_owned()),
        max: Some(115.0),
        baseline: Some(100.0),
        samples,
        broke: vec![(450, "119 ms, allowed is at most 115 ms".to_owned())],
        ..Series::default()
    }
}

#[test]
fn a_drawing_of_a_week_is_as_small_as_one_of_an_hour_is_large() {
    let week = chart::svg(&series(7 * 24 * 60));
    assert!(week.len() < 16 * 1024, "{} bytes", week.len());
    assert!(week.contains("aria-label=\"samples of latency &lt;p95&gt;\""));
    assert_eq!((week.matches("class=\"broke\"").count(), week.matches("class=\"bound\"").count()), (1, 1));
    assert!(!week.contains("NaN") && !week.contains("inf"), "{week}");
    assert_eq!(chart::blocks(&series(7 * 24 * 60)).chars().count(), 60);
}

#[test]
fn one_sample_none_and_only_missing_ones_are_drawn_or_left_out() {
    assert!(chart::svg(&series(1)).contains("class=\"one\""));
    let nothing = Series { samples: Vec::new(), max: None, baseline: None, broke: Vec::new(), ..series(0) };
    assert_eq!((chart::svg(&nothing), chart::blocks(&nothing)), (String::new(), String::new()));
    let missing = Series { samples: series(3).samples.into_iter().map(|(at, _)| (at, None)).collect(), ..series(0) };
    assert_eq!((missing.missed(), missing.figures()), (3, None));
    assert!(!chart::svg(&missing).contains("NaN"));
}

#[test]
fn the_middle_and_the_end_of_the_figures_are_told() {
    let mut some = series(0);
    some.samples = (1..=100).map(|i| (Timestamp::UNIX_EPOCH, Some(f64::from(i)))).collect();
    assert_eq!(some.figures(), Some([1.0, 51.0, 96.0, 100.0]));
    assert_eq!([0.0, 12.5, 1234.0, 0.000_5, 2e9].map(chart::number), ["0", "12.5", "1234", "5.0e-4", "2.00e9"]);
}

const PLAN: &str = "name = \"p\"\n[[phase]]\nname = \"x\"\nlayer = \"engine\"\n[[phase.step]]\nid = \"soak\"\nuse = \"command.run\"\n\
    with = { apply = [\"true\"], changes = false }\n";

/// A journal of a week: twenty probes, a sample a minute, ten of them at a time; one broke its bound.
fn week(folder: &std::path::Path) {
    let mut journal = Journal::open_write(folder).unwrap();
    let probe = |n: usize| Probed {
        name: format!("probe-{n}"),
        unit: "ms".to_owned(),
        min: None,
        max: Some(300.0),
        baseline: Some(200.0),
    };
    let step = || "soak".to_owned();
    let window = WindowSpec { probes: (0..20).map(probe).collect(), every: Some(60.0), length: Some(604_800.0) };
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut append = |at: Timestamp, records: &[Record]| {
        journal.append("p", "r", 1, at, records, &BTreeMap::new()).unwrap();
    };
    append(from, &[Record::WindowOpened { step: step(), window }]);
    for ten in 0..7 * 24 * 6_u64 {
        let sample = |slot: u64| {
            let reading = |n: u64| Some(200.0 + ((slot + n * 40) as f64 / 60.0).sin() * 50.0);
            let broke = (slot == 5_000).then(|| ("probe-3".to_owned(), "330 ms, allowed is at most 300 ms".to_owned()));
            let (readings, broke) = ((0..20).map(reading).collect(), broke.into_iter().collect());
            let sample = Sample { slot, readings, broke, ..Sample::default() };
            Record::StepSampled { step: step(), sample }
        };
        let records: Vec<Record> = (ten * 10..ten * 10 + 10).map(sample).collect();
        append(from + SignedDuration::from_mins(ten as i64 * 10), &records);
    }
}

#[test]
fn a_week_of_samples_of_twenty_probes_is_read_and_told_within_a_second() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    week(folder.path());
    let registry = crate::registry().unwrap();
    let input = CompileInput {
        file: "plan.toml",
        text: PLAN,
        files: &NoFiles,
        registry: &registry,
        vars: &BTreeMap::new(),
        env: &|_| None,
    };
    let plan = compile(input).unwrap();
    let began = Instant::now();
    let entries = Journal::open_read(folder.path()).unwrap().unwrap().entries("p").unwrap();
    let state = PlanState::default();
    let now = facts::Now { at: "2026-01-08T00:00:00Z".parse().unwrap(), prints: BTreeMap::new() };
    let facts = facts::gather(&plan, &entries, &state, &BTreeMap::new(), &now, Kind::Final, None);
    let html = html::write(&page::of(&facts));
    let took = began.elapsed();
    assert_eq!((facts.gates[0].series.len(), facts.gates[0].series[3].samples.len()), (20, 10_080));
    assert_eq!(facts.gates[0].series[3].broke.len(), 1);
    assert_eq!(html.matches("<svg class=\"chart\"").count(), 20);
    // What is not optimised takes several times as long.
    let limit = if cfg!(debug_assertions) { 10 } else { 1 };
    assert!(took.as_secs() < limit, "{took:?}, {} KiB", html.len() >> 10);
    let day = facts::gather(&plan, &entries, &state, &BTreeMap::new(), &now, Kind::Daily, None);
    assert_eq!(day.gates[0].series[3].samples.len(), 24 * 60, "of the last day only");
}
