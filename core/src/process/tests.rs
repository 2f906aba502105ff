//! Programs that talk, hang and leave children behind.

use super::sink::TAIL;
use super::*;

fn sh(script: &str, timeout: Duration, log: Option<PathBuf>) -> Result<Ran, StepError> {
    let argv = ["sh", "-c", script].map(str::to_owned);
    let program =
        Program { argv: &argv, cwd: ".".into(), env: &BTreeMap::new(), timeout, log, output: None, running: None };
    run(&program, &|text| text.replace("hunter2", "***"))
}

#[test]
fn output_is_masked_in_the_log_and_its_end_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script =
        "printf hun; sleep 0.1; echo ter2; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 3";
    let ran = sh(script, Duration::from_secs(60), Some(log.clone())).unwrap();
    assert_eq!(ran.ended, Ended::Code(3));
    assert!(ran.tail.len() <= TAIL && ran.tail.ends_with("line 19999\n"), "{}", ran.tail.len());
    let whole = std::fs::read_to_string(log).unwrap();
    assert!(whole.starts_with("***\nline 0\n") && whole.ends_with("line 19999\n"));
    assert_eq!(ran.last_lines(2), ["line 19998", "line 19999"]);
}

#[test]
fn a_secret_of_several_lines_is_masked_where_the_output_is_cut_into_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let line = "x".repeat(99);
    // With the secret's first line the piece is full.
    let script = format!(
        "yes {line} | head -n 2621; printf '%040d\\n' 0; echo begin; sleep 0.3; echo end; yes {line} | head -n 2700"
    );
    let argv = ["sh", "-c", &script].map(str::to_owned);
    let timeout = Duration::from_secs(60);
    let env = BTreeMap::new();
    let program = Program {
        argv: &argv,
        cwd: ".".into(),
        env: &env,
        timeout,
        log: Some(log.clone()),
        output: None,
        running: None,
    };
    run(&program, &|text| text.replace("begin\nend", "***")).unwrap();
    let whole = std::fs::read_to_string(log).unwrap();
    assert!(whole.contains("\n***\n") && !whole.contains("begin"), "the secret was cut in two");
    assert_eq!(whole.lines().count(), 5323);
}

#[test]
fn a_command_over_its_time_is_ended_with_all_its_children() {
    let dir = tempfile::tempdir().unwrap();
    // The child ignores the polite signal, and holds no stream that would give it away.
    let stubborn = "(trap '' TERM; exec sleep 300 > /dev/null 2>&1) &";
    let script = format!("{stubborn} echo $! > {}/pid; echo waiting; wait", dir.path().display());
    let started = Instant::now();
    let ran = sh(&script, Duration::from_millis(400), None).unwrap();
    assert_eq!(ran.ended, Ended::TimedOut(Duration::from_millis(400)));
    assert_eq!(ran.tail, "waiting\n");
    assert!(started.elapsed() < Duration::from_secs(30));
    let pid: i32 = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
    // An orphan that was killed may stay a zombie until init looks.
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    while started.elapsed() < Duration::from_secs(30) && !(state().is_empty() || state().contains(") Z")) {
        thread::sleep(POLL);
    }
    assert!(state().is_empty() || state().contains(") Z"), "{}", state());
}

#[test]
fn a_child_left_behind_does_not_hold_the_step() {
    let started = Instant::now();
    let ran = sh("sleep 300 & echo done", Duration::from_secs(60), None).unwrap();
    assert_eq!((ran.ended, ran.tail.as_str()), (Ended::Code(0), "done\n"));
    assert!(started.elapsed() < Duration::from_secs(30));
}
