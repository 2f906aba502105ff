//! Metrics: what is served while a run lasts, and that it ends with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use cutover_tests::{Tree, run};
use serde_json::Value;

use super::{TOKEN, command, peer, read_by, system};

/// The answer to a GET, head and body.
fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The value of a sample with these labels.
fn value<'a>(samples: &'a [Value], name: &str, labels: &[(&str, &str)]) -> Option<&'a str> {
    let has = |sample: &&Value| {
        sample[1] == name && labels.iter().all(|(label, text)| sample[2][label].as_str() == Some(text))
    };
    samples.iter().find(has).map(|sample| sample[3].as_str().unwrap())
}

#[test]
fn metrics_are_served_while_a_run_lasts() {
    let Some(peer) = peer("metrics.py") else { return };
    let system = system();
    let mut child = command(&system, "apply", &["--metrics-listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    let address = said.trim().strip_prefix("metrics: http://").unwrap().strip_suffix("/metrics").unwrap().to_owned();
    let until = Instant::now() + Duration::from_secs(30);
    let samples = loop {
        let (head, body) = get(&address, "/metrics");
        assert!(head.contains("200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
        assert!(!body.contains(TOKEN), "{body}");
        let samples = read_by(&peer, &body);
        let working = value(&samples, "cutover_steps_under_way", &[]) == Some("1.0");
        if working && value(&samples, "cutover_steps_total", &[("state", "applied")]) == Some("2.0") {
            break samples;
        }
        assert!(Instant::now() < until, "{body}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let probe = [("step", "rows"), ("probe", "rows \"of\" a"), ("unit", "rows")];
    for (name, labels, expected) in [
        ("cutover_lock_held", &[][..], "1.0"),
        ("cutover_run_info", &[("plan", "seen"), ("command", "apply"), ("resumed", "false")], "1.0"),
        ("cutover_plan_steps", &[("phase", "two")], "2.0"),
        ("cutover_phase_active", &[("phase", "one")], "0.0"),
        ("cutover_phase_active", &[("phase", "two")], "1.0"),
        ("cutover_gate_reading", &probe, "2.0"),
        ("cutover_gate_reading_ok", &probe[..2], "1.0"),
        ("cutover_gate_readings_total", &[("step", "rows"), ("result", "ok")], "2.0"),
        ("cutover_steps_total", &[("state", "failed")], "0.0"),
        ("cutover_step_duration_seconds_count", &[("kind", "sqlite.tables"), ("action", "verify")], "1.0"),
        (
            "cutover_step_duration_seconds_bucket",
            &[("kind", "gate.metric"), ("action", "apply"), ("le", "+Inf")],
            "1.0",
        ),
    ] {
        assert_eq!(value(&samples, name, labels), Some(expected), "{name} {labels:?} of {samples:?}");
    }
    assert!(get(&address, "/").0.contains("404"));
    // Somebody who asks and says nothing more holds up neither the next one nor the end.
    let _silent = TcpStream::connect(&address).unwrap();
    system.write_root("go", "well\n");
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(TcpStream::connect(&address).is_err(), "the end of the run is the end of its server");
}

#[test]
fn what_cannot_be_watched_as_asked_is_refused_before_anything_is_written() {
    let system = system();
    let before = Tree::of(&system.root());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, why) in [
        (["--metrics-listen", &taken], "metrics cannot be served on `127.0.0.1:"),
        (["--metrics-listen", "nonsense"], "metrics cannot be served on `nonsense`"),
        (["--otlp", "127.0.0.1:4318"], "traces cannot be sent to `127.0.0.1:4318`"),
        (["--otlp", "http://me:hidden@127.0.0.1"], "a name and a password do not belong there"),
        (["--log-level", "loud"], "`loud` is no level of logs"),
        (["--log-file", "/nowhere/at/all"], "logs cannot be written to `/nowhere/at/all`"),
    ] {
        let ran = run(&mut command(&system, "apply", &args)).expect_code(2);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("nothing was changed"), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hidden"), "{}", ran.stderr);
    }
    before.assert_same(&Tree::of(&system.root()), "after refusals");
}
