//! What probes answer, and what is said when they do not.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use cutover_core::Applied;
use cutover_tests::{Bench, Fixture};

/// Answers one request after another with these (status, body); says what it was asked.
fn server(answers: &'static [(&str, &str)]) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let _ = send.send(head.join("\n"));
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
        }
    });
    (address, asked)
}

fn open(probe: &str, root: &std::path::Path) -> Bench {
    let plan = format!(
        "name = \"p\"\n[[phase]]\nname = \"all\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"it\"\n\
         use = \"gate.metric\"\nwith.what = \"figure\"\nwith.min = -1e9\nwith.probe = {{ {probe} }}\n"
    );
    Fixture::new(plan).env("TOKEN", "hunter2").open(root)
}

fn figure(probe: &str, root: &std::path::Path) -> Result<String, String> {
    match open(probe, root).apply("it") {
        Ok(Applied::Changed(receipt)) => {
            Ok(receipt.notes[0].trim_start_matches("figure: ").split(',').next().unwrap().to_owned())
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.chain()),
    }
}

#[test]
fn a_server_is_asked_for_json_with_headers_and_secrets_stay_hidden() {
    let root = tempfile::tempdir().unwrap();
    let (at, asked) = server(&[
        ("200 OK", "{\"latency\": {\"p95\": 41.5}}"),
        ("200 OK", "{\"up\": true}"),
        ("200 OK", "{\"up\": true}"),
        ("503 Service Unavailable", "down"),
        ("200 OK", "hello"),
    ]);
    let probe = |more: &str| format!("use = \"http.json\", url = \"http://{at}/health?t=${{env.TOKEN}}\", {more}");
    let with = "pointer = \"/latency/p95\", unit = \"ms\", headers = { Authorization = \"Bearer ${env.TOKEN}\" }";
    assert_eq!(figure(&probe(with), root.path()).unwrap(), "41.5 ms");
    let head = asked.recv().unwrap();
    assert!(head.starts_with("GET /health?t=hunter2 ") && head.to_lowercase().contains("bearer hunter2"), "{head}");
    assert_eq!(figure(&probe("pointer = \"/up\""), root.path()).unwrap(), "1");
    for part in ["the answer has nothing at `/down`", "503", "the answer is no JSON"] {
        let error = figure(&probe("pointer = \"/down\""), root.path()).unwrap_err();
        assert!(error.contains(part) && error.contains("t=***") && !error.contains("hunter2"), "{part}: {error}");
    }
}

#[test]
fn prometheus_is_asked_a_query_or_read_from_its_text_format() {
    let root = tempfile::tempdir().unwrap();
    const VECTOR: &str =
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.004"]}]}}"#;
    let (at, asked) = server(&[("200 OK", VECTOR), ("200 OK", "# TYPE up gauge\nup{job=\"a\"} 1\nup{job=\"b\"} 0\n")]);
    let query = format!("use = \"prometheus.query\", url = \"http://{at}/\", query = \"sum(rate(errors[5m]))\"");
    assert_eq!(figure(&query, root.path()).unwrap(), "0.004");
    let head = asked.recv().unwrap();
    assert!(head.starts_with("GET /api/v1/query?query=sum"), "{head}");
    let text =
        format!("use = \"prometheus.text\", url = \"http://{at}/m\", metric = \"up\", labels = {{ job = \"a\" }}");
    assert_eq!(figure(&text, root.path()).unwrap(), "1");
}

#[test]
fn who_does_not_answer_in_time_is_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let begun = Instant::now();
    let web = format!("use = \"http.json\", url = \"http://{at}/\", timeout = \"200ms\"");
    assert!(figure(&web, root.path()).unwrap_err().contains("no answer: timeout"));
    let sleeper = "use = \"command\", run = [\"sh\", \"-c\", \"sleep 60 & sleep 60\"], timeout = \"200ms\"";
    assert!(figure(sleeper, root.path()).unwrap_err().contains("it ran longer than 0.2 s and was ended"));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_file_holds_a_number_or_json() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("score"), " 92.5\n").unwrap();
    fs::write(root.path().join("report.json"), "{\"scores\": {\"overall\": 92}}").unwrap();
    assert_eq!(figure("use = \"file\", path = \"score\"", root.path()).unwrap(), "92.5");
    let pointer = "use = \"file\", path = \"report.json\", pointer = \"/scores/overall\", unit = \"%\"";
    assert_eq!(figure(pointer, root.path()).unwrap(), "92 %");
    assert!(figure("use = \"file\", path = \"none\"", root.path()).unwrap_err().contains("cannot read"));
    assert!(
        figure("use = \"command\", run = [\"false\"]", root.path()).unwrap_err().contains("ended with exit status: 1")
    );
    assert!(
        figure("use = \"command\", run = [\"echo\", \"many\"]", root.path())
            .unwrap_err()
            .contains("`many` is no number")
    );
}
