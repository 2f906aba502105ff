//! Traces: what a collector gets of a run, and that a run does not mind one that is not there.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use cutover_tests::run;
use serde_json::Value;

use super::collector::collector;
use super::{TOKEN, command, peer, read_by, system};

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no span `{name}` in {spans:#?}"))
}

fn happened(span: &Value) -> Vec<&str> {
    span["events"].as_array().unwrap().iter().map(|event| event[0].as_str().unwrap()).collect()
}

#[test]
fn a_run_is_a_trace_with_a_span_for_each_phase_and_step() {
    let Some(peer) = peer("traces.py") else { return };
    let system = system();
    system.write_root("go", "badly\n");
    let (url, collected) = collector();
    let mut apply = command(&system, "apply", &["--otlp", &url]);
    let ran = run(apply.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k1, x-team = t2")).expect_code(100);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    let heads = collected.heads.lock().unwrap().to_ascii_lowercase();
    assert!(heads.contains("post /v1/traces http/1.1") && heads.contains("content-type: application/json"), "{heads}");
    assert!(heads.contains("x-key: k1") && heads.contains("x-team: t2"), "{heads}");
    let documents = collected.documents.lock().unwrap().clone();
    assert!(!documents.contains(TOKEN) && documents.contains("said ***"), "{documents}");

    let spans = read_by(&peer, &documents);
    assert!(spans.iter().all(|span| span["trace"] == spans[0]["trace"] && span["service"] == "cutover"), "{spans:#?}");
    let parent = |child: &str| {
        let id = &named(&spans, child)["parent"];
        spans.iter().find(|span| span["id"] == *id).map_or("", |span| span["name"].as_str().unwrap())
    };
    for (child, of) in [
        ("apply", ""),
        ("phase one", "apply"),
        ("phase two", "apply"),
        ("unwind", "apply"),
        ("table", "phase one"),
        ("rows", "phase two"),
        ("work", "phase two"),
        ("rollback work", "unwind"),
    ] {
        assert_eq!(parent(child), of, "{child}");
    }
    assert_eq!(happened(named(&spans, "table")), ["apply", "verify", "applied"]);
    assert_eq!(happened(named(&spans, "rows")), ["apply", "sample", "sample", "verify", "applied"]);
    let work = named(&spans, "work");
    assert_eq!((happened(work).first(), happened(work).last()), (Some(&"apply"), Some(&"exception")));
    assert_eq!((&work["status"], &work["attributes"]["cutover.step.kind"]), (&2.into(), &"command.run".into()));
    let root = named(&spans, "apply");
    assert_eq!((&root["status"], &root["attributes"]["cutover.outcome"]), (&2.into(), &"failed-rolled-back".into()));
    assert_eq!(named(&spans, "table")["status"], 1);
    assert_eq!(named(&spans, "rollback work")["status"], 1);

    // Another run is another trace.
    system.write_root("go", "well\n");
    run(&mut command(&system, "apply", &["--otlp", &url])).expect_code(0);
    let all = read_by(&peer, &collected.documents.lock().unwrap());
    let more = &all[spans.len()..];
    assert!(
        more.iter().all(|span| span["trace"] == more[0]["trace"] && span["trace"] != spans[0]["trace"]),
        "{more:#?}"
    );
    assert_eq!(named(more, "apply")["status"], 1);
}

#[test]
fn a_collector_that_is_not_there_is_a_warning_at_the_end() {
    let system = system();
    system.write_root("go", "well\n");
    let ran = run(&mut command(&system, "apply", &["--otlp", "http://127.0.0.1:9"])).expect_code(0);
    let warning = "spans did not reach `http://127.0.0.1:9/v1/traces`: ";
    assert!(ran.stderr.starts_with("warning: ") && ran.stderr.contains(warning), "{}", ran.stderr);
    assert!(ran.stdout.ends_with("done\n"), "{}", ran.stdout);
}

#[test]
fn a_collector_that_never_answers_holds_nobody_up_for_long() {
    let system = system();
    system.write_root("go", "well\n");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let began = Instant::now();
    let ran = run(&mut command(&system, "apply", &["--otlp", &url])).expect_code(0);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(ran.stderr.contains("did not reach") || ran.stderr.contains("may not have reached"), "{}", ran.stderr);
}
