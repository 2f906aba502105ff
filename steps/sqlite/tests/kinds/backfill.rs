//! A backfill that is interrupted goes on or goes back, whatever stopped it.

use std::path::Path;

use crate::support::{ask, brain, plan, sql};
use cutover_core::{Applied, Standing, StepError, Verdict};
use cutover_tests::{Bench, Fixture};
use insta::assert_snapshot;
use tempfile::TempDir;

const ROWS: &str = "SELECT m.id AS source, m.conversation_id AS session_id, m.turn AS turn_number, \
    m.content AS description FROM messages m JOIN conversations USING (conversation_id) WHERE m.id > :since";

fn with(rows: &str, more: &str) -> String {
    format!(r#"{{ into = "actions", key = "source", unique = ["session_id", "turn_number"], rows = "{rows}"{more} }}"#)
}

fn opened(with: &str, root: &Path) -> Bench {
    Fixture::new(plan(&[("it", "backfill", with)])).open(root)
}

fn root(messages: u32) -> TempDir {
    let root = TempDir::new().expect("a temporary folder");
    brain(root.path(), messages);
    root
}

fn told(error: &StepError) -> String {
    format!("{}\nhelp: {}", error.chain(), error.help().unwrap_or("-"))
}

/// Every filled row, in one text.
fn filled(root: &Path) -> String {
    ask(
        root,
        "SELECT group_concat(session_id || turn_number || description) FROM (SELECT * FROM actions ORDER BY 2, 3)",
    )
}

#[test]
fn a_crash_after_any_batch_goes_on_to_the_same_rows_or_back_to_none() {
    let whole = root(20);
    let bench = opened(&with(ROWS, ""), whole.path());
    let Ok(Applied::Changed(receipt)) = bench.apply("it") else { panic!("it applies") };
    assert_eq!((receipt.rows, receipt.notes.len()), (Some(39), 1), "one of 40 rows was there before");

    for stop in 1..=6 {
        let root = root(20);
        let bench = opened(&with(ROWS, ", batch = 6"), root.path());
        let before = bench.fingerprints().expect("fingerprints");
        // The application's own rule stops the step inside a batch: what earlier batches did is durable.
        sql(
            root.path(),
            &format!(
                "CREATE TRIGGER no BEFORE INSERT ON actions WHEN (SELECT count(*) FROM actions) >= {} \
                 BEGIN SELECT RAISE(ABORT, 'not now'); END",
                stop * 6
            ),
        );
        let error = bench.apply("it").expect_err("the trigger stops it");
        assert!(error.chain().contains("not now"), "{}", error.chain());
        bench.close().expect("closes");
        sql(root.path(), "DROP TRIGGER no");

        let next = opened(&with(ROWS, ", batch = 6"), root.path());
        let standing = next.inspect("it").expect("inspects");
        assert!(matches!(standing, Standing::Partial(_)), "after {stop} batches: {standing:?}");
        if stop % 2 == 0 {
            next.apply("it").expect("goes on");
            assert_eq!(next.verify("it").expect("verifies"), Verdict::Holds);
            assert_eq!(filled(root.path()), filled(whole.path()));
            next.close().expect("closes");
        }
        let last = opened(&with(ROWS, ", batch = 6"), root.path());
        last.rollback("it", None).expect("rolls back without a receipt");
        let after = last.fingerprints().expect("fingerprints");
        assert_eq!(before["brain"].changes(&after["brain"]), Vec::<String>::new(), "after {stop} batches");
        let counter = ask(root.path(), "SELECT seq FROM sqlite_sequence WHERE name = 'actions'");
        assert_eq!(counter, "1", "the counter is as before, after {stop} batches");
    }
}

#[test]
fn a_stopped_backfill_says_how_far_it_came_and_goes_on() {
    let root = root(20);
    let fixture = Fixture::new(plan(&[("it", "backfill", &with(ROWS, ", batch = 6"))]));
    let bench = fixture.open(root.path());
    sql(
        root.path(),
        "CREATE TRIGGER no BEFORE INSERT ON actions WHEN NEW.turn_number = 15 BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    drop(bench.apply("it"));
    sql(root.path(), "DROP TRIGGER no");
    bench.host().set_stop(true);
    let Ok(Applied::Stopped(at)) = bench.apply("it") else { panic!("it stops") };
    assert_snapshot!(at.at, @"12 of 40 rows");
    bench.host().set_stop(false);
    let Ok(Applied::Changed(receipt)) = bench.apply("it") else { panic!("it goes on") };
    assert_eq!(receipt.rows, Some(39));
    assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
    assert_eq!(ask(root.path(), "SELECT count(*) FROM actions"), "40");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM cutover_state WHERE key LIKE 'cursor:%'"), "0");
    let whole = self::root(20);
    opened(&with(ROWS, ""), whole.path()).apply("it").expect("applies in one go");
    assert_eq!(filled(root.path()), filled(whole.path()));
}

#[test]
fn rows_that_share_a_key_or_have_text_keys_are_all_filled_in() {
    let root = root(20);
    let rows = "SELECT conversation_id AS source, conversation_id AS session_id, turn AS turn_number FROM messages";
    let bench = opened(&with(rows, ", batch = 1"), root.path());
    let Ok(Applied::Changed(receipt)) = bench.apply("it") else { panic!("it applies") };
    assert_eq!(receipt.rows, Some(59));
    assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
}

#[test]
fn a_table_without_rowids_is_refused_before_anything_is_written() {
    let root = root(1);
    sql(root.path(), "DROP TABLE actions; CREATE TABLE actions (session_id TEXT PRIMARY KEY) WITHOUT ROWID");
    let bench = opened(&with(ROWS, ""), root.path());
    let Ok(Standing::Conflict(why)) = bench.inspect("it") else { panic!("{:?}", bench.inspect("it")) };
    assert_snapshot!(why);
}

#[test]
fn what_a_query_lacks_is_named() {
    let root = root(2);
    let error = |rows: &str| told(&opened(&with(rows, ""), root.path()).apply("it").expect_err("it fails"));
    let all = [
        error("SELECT id, conversation_id AS session_id, turn AS turn_number FROM messages"),
        error(
            "SELECT id AS source, conversation_id AS session_id, turn AS turn_number, content AS kontent FROM messages",
        ),
        error("SELECT nullif(turn, 1) AS source, conversation_id AS session_id, turn AS turn_number FROM messages"),
        error(
            "SELECT id AS source, conversation_id AS session_id, turn AS turn_number FROM messages WHERE id > :sinze",
        ),
    ];
    assert_snapshot!(all.join("\n"));
}

#[test]
fn a_batch_that_takes_too_long_is_undone_and_asks_for_a_review() {
    let root = root(40);
    // The application's own trigger makes each row dear.
    sql(
        root.path(),
        "CREATE TRIGGER slow BEFORE INSERT ON actions BEGIN
           SELECT count(*) FROM messages a, messages b, messages c, messages d, messages e;
         END",
    );
    let bench = opened(&with(ROWS, ", seconds = 1"), root.path());
    assert_snapshot!(told(&bench.apply("it").expect_err("it takes too long")));
    assert_eq!(ask(root.path(), "SELECT count(*) FROM actions"), "1");
}

/// Fills `dst (k, v)` from `src (k, v)`, two rows a batch.
fn keyed(root: &Path, tables: &str) -> Bench {
    sql(root, tables);
    let with = r#"{ into = "dst", key = "k", batch = 2, seconds = 3, rows = "SELECT k, v FROM src" }"#;
    opened(with, root)
}

#[test]
fn keys_of_every_type_and_both_infinities_are_each_filled_in_once() {
    let root = TempDir::new().expect("a temporary folder");
    let bench = keyed(
        root.path(),
        "CREATE TABLE src (k, v); CREATE TABLE dst (v);
         INSERT INTO src (k) VALUES (-9e999), (-9223372036854775808), (-1.5), (0), (0.1), (9007199254740993),
           (9223372036854775807), (9.3e18), (9e999), (9e999), (''), ('a' || char(0) || 'b'), ('a' || char(0) || 'c'),
           ('9'), ('blob'), (CAST(x'ff41' AS TEXT)), (CAST(x'ff42' AS TEXT)), (x''), (x'00'), (x'ffff');
         UPDATE src SET v = rowid;
         CREATE TRIGGER twice BEFORE INSERT ON dst WHEN EXISTS (SELECT 1 FROM dst WHERE v = NEW.v)
           BEGIN SELECT RAISE(ABORT, 'filled twice'); END",
    );
    let before = bench.fingerprints().expect("fingerprints");
    bench.apply("it").expect("applies");
    assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
    assert_eq!(ask(root.path(), "SELECT count(*) || ' ' || count(DISTINCT v) FROM dst"), "20 20");
    let receipt = bench.host().receipt("it");
    bench.rollback("it", receipt.as_ref()).expect("rolls back");
    assert_eq!(before["brain"].changes(&bench.fingerprints().expect("fingerprints")["brain"]), [""; 0]);
}

#[test]
fn a_key_that_only_real_columns_hold_ends_at_infinity() {
    let root = TempDir::new().expect("a temporary folder");
    let bench = keyed(
        root.path(),
        "CREATE TABLE src (k REAL, v); INSERT INTO src VALUES (1.5, 'a'), (9e999, 'inf'); CREATE TABLE dst (v);
         CREATE TRIGGER many BEFORE INSERT ON dst WHEN (SELECT count(*) FROM dst) > 9
           BEGIN SELECT RAISE(ABORT, 'it does not end'); END",
    );
    bench.apply("it").expect("applies");
    assert_eq!(ask(root.path(), "SELECT group_concat(v) FROM dst"), "a,inf");
}

#[test]
fn the_throttle_file_halts_a_backfill_slows_it_down_and_lets_it_go() {
    let root = root(20);
    let throttle = root.path().join("slower");
    std::fs::write(&throttle, "pause = true # for the backup\n").expect("it is written");
    let bench = opened(&with(ROWS, ", throttle = \"slower\""), root.path());
    bench.host().set_stop(true);
    let Ok(Applied::Stopped(at)) = bench.apply("it") else { panic!("it stops though it is paused") };
    assert_eq!(at.at, "0 of 40 rows");
    bench.host().set_stop(false);

    let waiting = throttle;
    let lifted = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        std::fs::write(waiting, "rows-per-second = 100\nbatch = 7").expect("it is written");
    });
    let began = std::time::Instant::now();
    bench.apply("it").expect("it goes on when it may");
    lifted.join().expect("it was lifted");
    // Batches of seven of forty rows, at a hundred rows a second.
    assert!(began.elapsed().as_millis() >= 300 + 350, "{:?}", began.elapsed());
    assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
    assert!(
        bench.host().notes("it").concat().contains("paused by the throttle file"),
        "{:?}",
        bench.host().notes("it")
    );
    let batches = ask(root.path(), "SELECT count(*) FROM cutover_state WHERE key LIKE 'filled:%/%/0%'");
    assert_eq!(batches, "6");
}

#[test]
fn a_broken_throttle_file_is_told_once_and_slows_nothing_down() {
    let root = root(20);
    std::fs::write(root.path().join("slower"), "faster = true").expect("it is written");
    let bench = opened(&with(ROWS, ", throttle = \"slower\", batch = 2"), root.path());
    bench.apply("it").expect("applies");
    assert_eq!(
        bench.host().notes("it"),
        ["the throttle file is not read: `faster` is none of pause, rows-per-second, batch, hold-ms"]
    );
    assert!(
        plan_error(&with(ROWS, ", throttle = \"../slower\"")).contains("`../slower` is not a path inside the root")
    );
}

fn plan_error(with: &str) -> String {
    Fixture::new(plan(&[("it", "backfill", with)])).try_compile().expect_err("it is refused").to_string()
}

#[test]
fn a_writer_beside_gets_its_turn_between_batches() {
    let root = root(4000);
    let conn = rusqlite::Connection::open(root.path().join("brain.db")).expect("opens");
    conn.pragma_update(None, "journal_mode", "wal").expect("it takes a write-ahead log");
    conn.busy_timeout(std::time::Duration::from_secs(5)).expect("it waits");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut wrote = 0;
        while !seen.load(std::sync::atomic::Ordering::Relaxed) {
            conn.execute("UPDATE conversations SET status = 'busy' WHERE conversation_id = 'c1'", [])
                .expect("it writes");
            wrote += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        wrote
    });
    let bench = opened(&with(ROWS, ""), root.path());
    bench.apply("it").expect("applies");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writer.join().expect("no write of it failed") > 0);
    assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
}
