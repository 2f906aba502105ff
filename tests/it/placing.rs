//! Where things lie: lock files, symbolic links, targets that are one file, and commands printed for a shell.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::system::{System, scripts};

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);";

fn small() -> System {
    let system = System::new(ORDERS, "");
    scripts(&system, 2, 1, "");
    system
}

#[test]
fn a_lock_file_that_leads_elsewhere_is_refused_and_nothing_is_written_through_it() {
    let system = small();
    let victim = system.root().join("victim");
    fs::write(&victim, "precious").unwrap();
    let lock = system.root().join(".app.db.cutover-lock");
    symlink("victim", &lock).unwrap();
    for args in [&[][..], &["--take-over"]] {
        let ran = system.cutover("apply", args).expect_code(66);
        assert!(ran.stderr.contains("is a symbolic link") && ran.stderr.contains("move it away"), "{}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    fs::remove_file(&lock).unwrap();
    fs::hard_link(&victim, &lock).unwrap();
    let ran = system.cutover("apply", &[]).expect_code(66);
    assert!(ran.stderr.contains("has another name too"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let ran = system.cutover("apply", &[]).expect_code(66);
    assert!(ran.stderr.contains("is no regular file"), "{}", ran.stderr);
    fs::remove_dir(&lock).unwrap();
    system.cutover("apply", &[]).expect_code(0);
}

#[test]
fn looking_does_not_wait_for_a_pipe_in_the_place_of_a_lock() {
    let system = small();
    system.cutover("apply", &[]).expect_code(0);
    let lock = system.root().join(".cutover/lock");
    fs::remove_file(&lock).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let mut looking = system.start("status", &[]);
    let limit = Instant::now() + Duration::from_secs(20);
    while looking.try_wait().unwrap().is_none() {
        if Instant::now() > limit {
            looking.kill().unwrap();
            panic!("status waits for a pipe");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    system.cutover("apply", &["--take-over"]).expect_code(66);
}
