//! Readers and writers on a database whose stage another connection moves.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use cutover_dual::{Counters, Counts, DualReader, DualWriter, Stage, Statements, Sums, Times};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Result};
use tempfile::TempDir;

struct Scene {
    folder: TempDir,
    conn: Connection,
    counters: Arc<Counters>,
    reader: DualReader,
    writer: DualWriter,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let conn = Connection::open(folder.path().join("app.db")).unwrap();
        conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE old (v TEXT); CREATE TABLE new (v TEXT NOT NULL);")
            .unwrap();
        let counters = Arc::new(Counters::default());
        let reader = DualReader::new("m", counters.clone());
        let writer = DualWriter::new("m", counters.clone());
        Self { folder, conn, counters, reader, writer }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// As `cutover` does it, from another connection.
    fn stage(&self, name: &str) {
        let other = Connection::open(self.path()).unwrap();
        other
            .execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS _cutover_stage (name TEXT PRIMARY KEY, stage TEXT NOT NULL);
                 INSERT OR REPLACE INTO _cutover_stage VALUES ('another', 'contracted'), ('m', '{name}');"
            ))
            .unwrap();
    }

    fn read(&self) -> Result<Vec<String>> {
        self.reader.read(&self.conn, |conn| all(conn, "new"), |conn| all(conn, "old"), |found| !found.is_empty())
    }

    fn write(&self, text: Option<&str>) -> Result<usize> {
        self.writer.write(
            &self.conn,
            |new| new.execute("INSERT INTO new VALUES (?1)", [text]),
            |old| old.execute("INSERT INTO old VALUES (?1)", [text]),
        )
    }
}

fn all(conn: &Connection, table: &str) -> Result<Vec<String>> {
    conn.prepare_cached(&format!("SELECT COALESCE(v, 'NULL') FROM {table} ORDER BY rowid"))?
        .query_map([], |row| row.get(0))?
        .collect()
}

#[test]
fn reads_and_writes_follow_the_stage_without_being_opened_again() {
    let scene = Scene::new();
    scene.write(Some("a")).unwrap();
    assert_eq!(scene.read().unwrap(), ["a"]);
    scene.stage("dual-write");
    scene.write(Some("b")).unwrap();
    assert_eq!(scene.read().unwrap(), ["a", "b"]);
    scene.stage("prefer-new");
    assert_eq!(scene.read().unwrap(), ["a", "b"], "the new schema has nothing yet");
    scene.write(Some("c")).unwrap();
    assert_eq!(scene.read().unwrap(), ["c"]);
    scene.stage("new-only");
    scene.write(Some("d")).unwrap();
    assert_eq!(scene.read().unwrap(), ["c", "d"]);
    scene.conn.execute_batch("DROP TABLE old").unwrap();
    scene.stage("contracted");
    assert_eq!(scene.read().unwrap(), ["c", "d"]);
    let counts = scene.counters.counts();
    assert_eq!((counts.reads_old, counts.reads_fallback, counts.reads_new), (2, 1, 3));
    assert_eq!((counts.writes_old, counts.writes_new, counts.writes_failed), (2, 2, 0));
    let times = |times: Times| times.named().map(|(answer, times)| (answer, times.count()));
    assert_eq!(times(counts.read_times), [("new", 3), ("old", 2), ("fallback", 1), ("failed", 0)]);
    assert_eq!(times(counts.write_times), [("new", 2), ("old", 2), ("fallback", 0), ("failed", 0)]);
}

#[test]
fn the_stage_that_was_taken_back_is_followed_too() {
    let scene = Scene::new();
    scene.stage("prefer-new");
    scene.write(Some("n")).unwrap();
    Connection::open(scene.path()).unwrap().execute_batch("DROP TABLE _cutover_stage").unwrap();
    scene.write(Some("o")).unwrap();
    assert_eq!(scene.read().unwrap(), ["o"]);
}

#[test]
fn a_new_schema_that_fails_is_no_failure_while_there_is_an_old_one() {
    let scene = Scene::new();
    scene.stage("prefer-new");
    let halfway = |new: &Connection| {
        new.execute("INSERT INTO new VALUES ('half')", [])?;
        new.execute("INSERT INTO new VALUES (NULL)", [])
    };
    scene.writer.write(&scene.conn, halfway, |old| old.execute("INSERT INTO old VALUES (NULL)", [])).unwrap();
    assert_eq!(all(&scene.conn, "old").unwrap(), ["NULL"]);
    assert!(all(&scene.conn, "new").unwrap().is_empty(), "what it wrote until it failed is undone");
    let counts = scene.counters.counts();
    assert_eq!((counts.writes_fallback, counts.writes_failed), (1, 0));
    scene.conn.execute_batch("DROP TABLE new").unwrap();
    assert_eq!(scene.read().unwrap(), ["NULL"]);
    let counts = scene.counters.counts();
    assert_eq!((counts.reads_fallback, counts.reads_failed_new), (1, 1));
}

#[test]
fn what_fails_with_nothing_to_fall_back_to_writes_nothing_and_is_told() {
    let scene = Scene::new();
    scene.stage("new-only");
    scene.write(None).unwrap_err();
    assert!(scene.conn.is_autocommit(), "nothing is left open");
    assert_eq!(scene.counters.counts().writes_failed, 1);
    scene.stage("some-later-stage");
    let said = scene.read().unwrap_err().to_string();
    assert!(said.contains("some-later-stage"), "{said}");
    assert!(scene.conn.is_autocommit());
}

/// The counters that are not 0.
fn counted(counts: &Counts) -> Vec<(&'static str, u64)> {
    counts.named().into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_read_that_fails_is_counted_as_failed_and_as_nothing_else() {
    let scene = Scene::new();
    scene.conn.execute_batch("DROP TABLE old; DROP TABLE new").unwrap();
    let compared = DualReader::new("m", scene.counters.clone()).compare_every(1);
    for stage in ["dual-write", "prefer-new", "new-only", "some-later-stage"] {
        scene.stage(stage);
        scene.read().unwrap_err();
        compared.read_compared(&scene.conn, |c| all(c, "new"), |c| all(c, "old"), |f| !f.is_empty()).unwrap_err();
    }
    let counts = scene.counters.counts();
    assert_eq!(counted(&counts), [("reads.failed", 8)]);
    let times = counts.read_times.named().map(|(answer, times)| (answer, times.count()));
    assert_eq!(times, [("new", 0), ("old", 0), ("fallback", 0), ("failed", 8)]);
}

#[test]
fn a_write_that_cannot_be_committed_or_begun_is_counted_as_failed_and_as_nothing_else() {
    let scene = Scene::new();
    scene.stage("dual-write");
    scene
        .conn
        .execute_batch(
            "PRAGMA foreign_keys = ON; CREATE TABLE child (v REFERENCES parent(v) DEFERRABLE INITIALLY DEFERRED);
             CREATE TABLE parent (v PRIMARY KEY)",
        )
        .unwrap();
    let orphan = |conn: &Connection| conn.execute("INSERT INTO child VALUES (1)", []);
    scene.writer.write(&scene.conn, orphan, orphan).unwrap_err();
    assert_eq!(counted(&scene.counters.counts()), [("writes.failed", 1)]);
    scene.conn.busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(scene.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    scene.write(Some("a")).unwrap_err();
    assert_eq!(counted(&scene.counters.counts()), [("writes.failed", 2)]);
    assert_eq!(scene.counters.counts().write_times.failed.count(), 2);
}

#[test]
fn what_a_write_would_have_added_to_the_sums_is_added_later_where_it_cannot_be_committed() {
    let scene = Scene::new();
    scene.stage("dual-write");
    let tables = "PRAGMA foreign_keys = ON; CREATE TABLE parent (v PRIMARY KEY);
        CREATE TABLE child (v REFERENCES parent(v) DEFERRABLE INITIALLY DEFERRED)";
    scene.conn.execute_batch(tables).unwrap();
    scene.read().unwrap();
    let orphan = |conn: &Connection| conn.execute("INSERT INTO child VALUES (1)", []);
    scene.writer.write(&scene.conn, orphan, orphan).unwrap_err();
    scene.counters.flush(&scene.conn, "m").unwrap();
    let sum = "SELECT value FROM _cutover_counters WHERE counter = 'reads.old'";
    assert_eq!(scene.conn.query_row(sum, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

const INSERT: &str = "INSERT INTO old VALUES ('a')";

/// Writes by [`INSERT`]; whether it was compiled, and whether that was inside the transaction. SQLite asks the authorizer
/// whenever it compiles.
fn compiled(scene: &mut Scene, statements: Statements<'_>) -> [bool; 2] {
    let (inside, seen) = (Arc::new(AtomicBool::new(false)), Arc::new([AtomicBool::new(false), AtomicBool::new(false)]));
    let (now, told) = (inside.clone(), seen.clone());
    let authorizer = move |asked: AuthContext<'_>| {
        if matches!(asked.action, AuthAction::Insert { table_name: "old" }) {
            told[usize::from(now.load(SeqCst))].store(true, SeqCst);
        }
        Authorization::Allow
    };
    scene.conn.authorizer(Some(authorizer)).unwrap();
    let insert = |conn: &Connection| {
        inside.store(!conn.is_autocommit(), SeqCst);
        let inserted = conn.prepare_cached(INSERT)?.execute([]);
        inside.store(false, SeqCst);
        inserted
    };
    scene.writer.write_compiled(&scene.conn, statements, insert, insert).unwrap();
    seen.each_ref().map(|seen| seen.load(SeqCst))
}

#[test]
fn statements_that_are_named_are_compiled_before_the_lock() {
    let mut scene = Scene::new();
    let path = scene.path();
    let (none, nowhere) = (Statements::default(), &["INSERT INTO nowhere VALUES (1)"][..]);
    let old = Statements { old: &[INSERT], new: nowhere };
    let new = Statements { new: &[INSERT], old: nowhere };
    let change = || {
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE more (v); DROP TABLE more").unwrap();
    };
    for (stage, named, others) in [("dual-write", old, new), ("new-only", new, old), ("prefer-new", old, none)] {
        scene.stage(stage);
        change();
        assert_eq!(compiled(&mut scene, none), [false, true], "{stage}: by nobody else");
        change();
        assert_eq!(compiled(&mut scene, named), [true, false], "{stage}");
        change();
        assert_eq!(
            compiled(&mut scene, others),
            [false, true],
            "{stage}: what the other schema's writes run says nothing"
        );
    }
}

#[test]
fn in_the_callers_transaction_nothing_is_committed() {
    let scene = Scene::new();
    scene.stage("prefer-new");
    scene.conn.execute_batch("BEGIN").unwrap();
    scene.write(Some("gone")).unwrap();
    assert_eq!(scene.read().unwrap(), ["gone"]);
    assert!(!scene.conn.is_autocommit());
    scene.conn.execute_batch("ROLLBACK").unwrap();
    assert!(scene.read().unwrap().is_empty());
}

#[test]
fn a_read_sees_one_state_of_stage_and_rows() {
    let scene = Scene::new();
    scene.stage("prefer-new");
    scene.conn.execute("INSERT INTO old VALUES ('kept')", []).unwrap();
    let found = scene.reader.read(
        &scene.conn,
        |conn| {
            // Between the two reads the migration is over.
            scene.stage("contracted");
            Connection::open(scene.path()).unwrap().execute_batch("DROP TABLE old")?;
            all(conn, "new")
        },
        |conn| all(conn, "old"),
        |found| !found.is_empty(),
    );
    assert_eq!(found.unwrap(), ["kept"]);
}

#[test]
fn differences_are_counted_and_do_not_disturb() {
    let scene = Scene::new();
    scene.stage("dual-write");
    scene.conn.execute_batch("INSERT INTO old VALUES ('a'); INSERT INTO new VALUES ('b');").unwrap();
    let reader = DualReader::new("m", scene.counters.clone()).compare_every(2);
    let read =
        || reader.read_compared(&scene.conn, |c| all(c, "new"), |c| all(c, "old"), |found| !found.is_empty()).unwrap();
    // What the new schema lacks may wait for the backfill: that is no difference.
    assert_eq!([read(), read()].concat(), ["a", "a"]);
    assert_eq!(scene.counters.counts().reads_compared, 0);
    scene.stage("prefer-new");
    assert_eq!([read(), read(), read(), read()].concat(), ["b", "b", "b", "b"]);
    let counts = scene.counters.counts();
    assert_eq!((counts.reads_new, counts.reads_compared, counts.reads_mismatched), (4, 2, 2));
    scene.conn.execute_batch("UPDATE new SET v = 'a'").unwrap();
    read();
    assert_eq!(scene.counters.counts().reads_mismatched, 2);
}

#[test]
fn sums_that_were_deleted_begin_anew_with_the_longest_of_what_still_comes() {
    let scene = Scene::new();
    scene.stage("prefer-new");
    scene.write(Some("a")).unwrap();
    let longest = || {
        scene.read().unwrap();
        scene.counters.flush(&scene.conn, "m").unwrap();
        let sql = "SELECT count(*) FROM _cutover_counters WHERE counter = 'reads.new.longest-us'";
        scene.conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(longest(), 1);
    scene.conn.execute_batch("DELETE FROM _cutover_counters").unwrap();
    (0..20).for_each(|_| assert_eq!(longest(), 1));
}

#[test]
fn the_sums_of_several_programs_are_in_the_database_and_none_is_counted_twice() {
    let scene = Scene::new();
    scene.counters.flush(&scene.conn, "m").unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = '_cutover_counters'";
    let made: i64 = scene.conn.query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(made, 0, "no migration is under way");
    scene.stage("prefer-new");
    let sum = |counter: &str| -> i64 {
        scene
            .conn
            .query_row("SELECT value FROM _cutover_counters WHERE name = 'm' AND counter = ?1", [counter], |r| r.get(0))
            .unwrap()
    };
    scene.write(Some("a")).unwrap();
    let other = Arc::new(Counters::default());
    let also = DualReader::new("m", other.clone());
    for _ in 0..3 {
        scene.read().unwrap();
        also.read(&scene.conn, |c| all(c, "new"), |c| all(c, "old"), |found| !found.is_empty()).unwrap();
    }
    for _ in 0..2 {
        scene.counters.flush(&scene.conn, "m").unwrap();
        other.flush(&scene.conn, "m").unwrap();
    }
    assert_eq!((sum("reads.new"), sum("writes.new")), (6, 1));
}

#[test]
fn times_of_the_new_schema_the_old_one_and_fallbacks_are_apart_in_the_database_too() {
    let scene = Scene::new();
    for stage in ["dual-write", "prefer-new", "new-only"] {
        scene.stage(stage);
        scene.read().unwrap();
    }
    scene.write(Some("a")).unwrap();
    scene.conn.execute_batch("DROP TABLE new").unwrap();
    scene.read().unwrap_err();
    // A read that fell back took the time of both.
    scene.stage("prefer-new");
    let mut spent = Duration::ZERO;
    let new = |conn: &Connection| {
        let began = Instant::now();
        let numbers =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) SELECT sum(i) FROM n";
        let sum: i64 = conn.query_row(numbers, [], |row| row.get(0))?;
        spent = began.elapsed();
        Ok(sum)
    };
    scene.reader.read(&scene.conn, new, |_| Ok::<_, rusqlite::Error>(0), |_| false).unwrap();
    scene.counters.flush(&scene.conn, "m").unwrap();
    let sums = Sums::of(&scene.conn, "m").unwrap();
    assert_eq!(sums.times.len(), 5, "{sums:?}");
    let counts =
        ["reads.new", "reads.old", "reads.fallback", "reads.failed", "writes.new"].map(|what| sums.times[what].count());
    assert_eq!(counts, [1, 1, 2, 1, 1]);
    assert!(u128::from(sums.times["reads.fallback"].longest) >= spent.as_micros(), "{sums:?}");
    let expected = [("reads.failed", 1), ("reads.fallback", 2), ("reads.new", 1), ("reads.old", 1), ("writes.new", 1)];
    assert_eq!(sums.counted, expected.map(|(what, count)| (what.to_owned(), count)).into());
}

#[test]
fn a_table_of_an_older_version_is_read_and_counted_on_and_a_strange_one_hinders_no_write() {
    let scene = Scene::new();
    scene.stage("new-only");
    scene
        .conn
        .execute_batch(
            "CREATE TABLE _cutover_counters (name TEXT NOT NULL, counter TEXT NOT NULL, value INTEGER NOT NULL,
               PRIMARY KEY (name, counter)) WITHOUT ROWID;
             INSERT INTO _cutover_counters VALUES ('m', 'reads.new', 2), ('m', 'reads.below-us.16', 1),
               ('m', 'reads.below-us.more', 1), ('m', 'reads.below-us.17', 1), ('m', 'reads.longest-us', 400000),
               ('m', 'reads.old', 0)",
        )
        .unwrap();
    scene.read().unwrap();
    scene.counters.flush(&scene.conn, "m").unwrap();
    let sums = Sums::of(&scene.conn, "m").unwrap();
    assert_eq!(sums.counted, [("reads.new".to_owned(), 3)].into());
    assert_eq!(sums.times.keys().collect::<Vec<_>>(), ["reads", "reads.new"]);
    let before = sums.times["reads"];
    assert_eq!((before.count(), before.percentile(1), before.percentile(99)), (3, 16, 400_000));
    let strange = ["CREATE TABLE _cutover_counters (what TEXT)", "CREATE VIEW _cutover_counters AS SELECT 1 AS one"];
    for made in strange {
        let scene = Scene::new();
        scene.stage("new-only");
        scene.conn.execute_batch(made).unwrap();
        scene.write(Some("kept")).unwrap();
        assert_eq!(scene.read().unwrap(), ["kept"], "{made}");
        assert_eq!(counted(&scene.counters.counts()), [("reads.new", 1), ("writes.new", 1)]);
    }
}

static WAITED: AtomicBool = AtomicBool::new(false);

/// Waits for a lock that another connection has, and says that it does.
fn wait(times: i32) -> bool {
    WAITED.store(true, SeqCst);
    thread::sleep(Duration::from_millis(1));
    times < 5_000
}

#[test]
fn a_writer_does_not_wait_for_one_that_wants_to_write_the_counters() {
    let scene = Scene::new();
    scene.stage("dual-write");
    let (path, counters) = (scene.path(), scene.counters.clone());
    let flushed = thread::scope(|scope| {
        let mut flush = None;
        let write = |conn: &Connection| {
            let flushing = scope.spawn(|| {
                let mut other = Connection::open(&path).unwrap();
                other.busy_handler(Some(wait)).unwrap();
                counters.flush(&other, "m")
            });
            while !WAITED.load(SeqCst) && !flushing.is_finished() {
                thread::yield_now();
            }
            flush = Some(flushing);
            conn.execute("INSERT INTO old VALUES ('a')", [])
        };
        let nothing = |_: &Connection| Ok(0);
        scene.writer.write(&scene.conn, nothing, write).unwrap();
        flush.take().map(|flushing| flushing.join().unwrap())
    });
    assert_eq!(flushed, Some(Ok(())));
    assert_eq!(scene.counters.counts().writes_old, 1);
}

#[test]
fn a_stage_has_one_name() {
    assert!(Stage::ALL.into_iter().all(|stage| Stage::parse(stage.name()) == Some(stage)));
    assert_eq!(Stage::parse("dual"), None);
}
