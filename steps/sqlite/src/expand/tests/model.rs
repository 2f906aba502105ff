//! The model test: random statements of old and new programs, with a backfill and stage moves between, leave both sides in
//! step, and do to the writer's own side what they do where there are no triggers of ours.
//!
//! 20,000 statements each time; `CUTOVER_MODEL_OPS=1000000` for more. What fails prints how it is replayed:
//! `CUTOVER_SEED` and `CUTOVER_EPISODE`.

use std::fmt::Write as _;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::random::Random;
use super::statements::{Statement, WORLDS, Writes, statement};
use super::support::World;
use crate::cutover::refuse;
use crate::expand::weave::{ROW, Side};

/// Statements in one database.
const EPISODE: u64 = 250;

#[test]
fn random_writes_on_both_sides_leave_them_in_step() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("CUTOVER_SEED").unwrap_or(20_251_113);
    let all = number("CUTOVER_MODEL_OPS").unwrap_or(20_000).div_ceil(EPISODE);
    let only = number("CUTOVER_EPISODE");
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64).min(if all > 200 { 8 } else { 2 });
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let episodes = |from: u64| (from..all).step_by(threads as usize).filter(move |e| only.is_none_or(|o| o == *e));
        let workers: Vec<_> = (0..threads)
            .map(|from| {
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for episode in episodes(from) {
                        Episode::new(seed, episode).run(&mut tally);
                    }
                    tally
                })
            })
            .collect();
        for worker in workers {
            total.add(&worker.join().unwrap_or_else(|_| panic!("an episode failed: see above")));
        }
    });
    println!("{total}, seed {seed}");
    if only.is_none() {
        assert!(total.statements >= all * EPISODE / 2 && total.refused * 2 < total.statements, "{total}");
        assert!(total.quarantined > 0 && total.backfilled > 0 && total.moved > 0 && total.rolled_back > 0, "{total}");
    }
}

#[derive(Debug, Default)]
struct Tally {
    statements: u64,
    refused: u64,
    compared: u64,
    backfilled: u64,
    moved: u64,
    rolled_back: u64,
    quarantined: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.statements += other.statements;
        self.refused += other.refused;
        self.compared += other.compared;
        self.backfilled += other.backfilled;
        self.moved += other.moved;
        self.rolled_back += other.rolled_back;
        self.quarantined += other.quarantined;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} statements, 0 mismatches; {} of them refused by the tables themselves, {} compared with a database without \
             triggers, {} rolled back, {} rows in quarantine at the end, {} backfills, {} stage moves",
            self.statements,
            self.refused,
            self.compared,
            self.rolled_back,
            self.quarantined,
            self.backfilled,
            self.moved
        )
    }
}

/// A backfill that leaves nothing out.
const WHOLE: u64 = 2;

/// One database and its random statements.
struct Episode {
    seed: u64,
    number: u64,
    random: Random,
    kind: &'static Writes,
    world: World,
    plain: Connection,
    /// Old rows may be there that nobody has shown on the new side yet.
    behind: bool,
    /// The old tables refuse writes.
    closed: bool,
    log: String,
}

impl Episode {
    fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let kind = &WORLDS[(number % WORLDS.len() as u64) as usize];
        let mut log = String::new();
        // Old rows that were there before the new tables.
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; {}", kind.schema.concat())).unwrap();
        let behind = random.chance(2);
        if behind {
            for _ in 0..random.below(12) {
                let Statement { sql, .. } = statement(&mut random, kind, Some(Side::Old));
                let _ = conn.execute_batch(&sql);
                let _ = writeln!(log, "{sql}; -- before");
            }
        }
        let world = World::over(conn, &kind.mapping.concat());
        let pragmas = format!(
            "PRAGMA recursive_triggers = {}; PRAGMA foreign_keys = {}; PRAGMA trusted_schema = OFF",
            random.chance(2),
            random.chance(2)
        );
        let plain = Connection::open_in_memory().unwrap();
        plain.execute_batch(&format!("PRAGMA foreign_keys = OFF; {}", kind.schema.concat())).unwrap();
        for conn in [&world.conn, &plain] {
            conn.execute_batch(&pragmas).unwrap();
        }
        let _ = writeln!(log, "{pragmas};");
        Self { seed, number, random, kind, world, plain, behind, closed: false, log }
    }

    fn run(mut self, tally: &mut Tally) {
        for _ in 0..EPISODE {
            match self.random.below(40) {
                0 => {
                    let half = self.random.below(4);
                    self.backfill(half, tally);
                }
                1 if self.world.conn.is_autocommit() => self.move_stage(tally),
                2..=5 => self.transaction(tally),
                _ => self.write(tally),
            }
            self.check();
        }
        let _ = self.world.conn.execute_batch("COMMIT");
        self.backfill(WHOLE, tally);
        self.check();
        tally.quarantined += self.world.list("SELECT count(*) FROM _cutover_quarantine").parse::<u64>().unwrap();
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "{what}\n{}replay: CUTOVER_SEED={} CUTOVER_EPISODE={} cargo test -p cutover-steps-sqlite --lib random_writes (world {})",
            self.log, self.seed, self.number, self.kind.name
        )
    }

    /// What the backfill does with one range of keys: a half of them, or from `WHOLE` on all.
    fn backfill(&mut self, half: u64, tally: &mut Tally) {
        let whole = half >= WHOLE;
        for weave in &self.world.weaves {
            // Every second key: a query of a backfill asks for a range of them.
            let range = if whole {
                "1".to_owned()
            } else {
                format!("unicode({}) % 2 = {half}", weave.key_text(Side::Old, ROW))
            };
            let condition = format!("({range}) AND {}", weave.absent(ROW));
            for sql in weave.guarded("backfill", weave.put_all(&condition, true)) {
                if let Err(e) = self.world.conn.execute_batch(&sql) {
                    self.fail(&format!("the backfill failed: {e}\n{sql}"));
                }
            }
        }
        let _ = writeln!(self.log, "-- backfill {half}");
        tally.backfilled += 1;
        if whole && self.world.conn.is_autocommit() {
            self.behind = false;
        }
    }

    fn move_stage(&mut self, tally: &mut Tally) {
        let stage = ["dual-write", "prefer-new", "new-only"][self.random.below(3) as usize];
        self.world.run(&format!("INSERT OR REPLACE INTO _cutover_stage VALUES ('m', '{stage}', '', '')"));
        // As a cutover does, and the way back from it.
        let moved = match stage {
            "new-only" if self.closed => Ok(()),
            "new-only" => refuse::close(&self.world.conn, &self.world.mapping),
            _ => refuse::open(&self.world.conn, &self.world.mapping),
        };
        if let Err(e) = moved {
            self.fail(&format!("the stage did not move: {e}"));
        }
        self.closed = stage == "new-only";
        let _ = writeln!(self.log, "-- stage {stage}");
        tally.moved += 1;
    }

    fn transaction(&mut self, tally: &mut Tally) {
        let open = !self.world.conn.is_autocommit();
        let sql = match (open, self.random.below(6)) {
            (false, _) => "BEGIN",
            (true, 0 | 1) => "SAVEPOINT s",
            (true, 2) => "ROLLBACK TO s",
            (true, 3) => "RELEASE s",
            (true, 4) => "COMMIT",
            (true, _) => "ROLLBACK",
        };
        let result = self.world.conn.execute_batch(sql);
        let _ = writeln!(self.log, "{sql}; -- {result:?}");
        tally.rolled_back += u64::from(sql.starts_with("ROLLBACK") && result.is_ok());
    }

    fn write(&mut self, tally: &mut Tally) {
        let Statement { sql, table, side, undoes } = statement(&mut self.random, self.kind, None);
        let open = !self.world.conn.is_autocommit();
        // What a new program meets while old rows are not there yet is another matter; so is what OR ROLLBACK undoes.
        let compared = self.random.chance(4)
            && !(undoes && open)
            && !(self.behind && side == Side::New)
            && !(self.closed && side == Side::Old);
        let expected = compared.then(|| self.expected(&sql));
        let result = self.world.conn.execute(&sql, []);
        let _ = writeln!(self.log, "{sql}; -- {}", result.as_ref().map_or_else(ToString::to_string, |n| n.to_string()));
        tally.statements += 1;
        tally.refused += u64::from(result.is_err());
        let Some((expected, changes, rows)) = expected else { return };
        tally.compared += 1;
        let what = |r: &rusqlite::Result<usize>| r.as_ref().map_or_else(crate::sql::message, |n| n.to_string());
        if what(&expected) != what(&result) {
            self.fail(&format!("without triggers: {}; with: {}", what(&expected), what(&result)));
        }
        if result.is_ok() && changes.0 != self.world.conn.changes() {
            self.fail(&format!("changes(): {} without triggers, {} with", changes.0, self.world.conn.changes()));
        }
        if changes.1.is_some_and(|id| id != self.world.conn.last_insert_rowid()) {
            let id = self.world.conn.last_insert_rowid();
            self.fail(&format!("last_insert_rowid(): {:?} without triggers, {id} with", changes.1));
        }
        let now = self.rows(&self.world.conn, table);
        if rows != now {
            self.fail(&format!("`{table}` without triggers:\n{rows}\nwith:\n{now}"));
        }
    }

    /// What the statement does where there are no triggers of ours: its result, what it says of itself, the table's rows.
    fn expected(&self, sql: &str) -> (rusqlite::Result<usize>, (u64, Option<i64>), String) {
        let keys: bool = self.plain.query_row("PRAGMA foreign_keys", [], |row| row.get(0)).unwrap();
        self.plain.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for table in self.kind.tables {
            self.plain.execute_batch(&format!("DELETE FROM {}", table.name)).unwrap();
        }
        for table in self.kind.tables {
            copy(&self.world.conn, &self.plain, table.name);
        }
        if self.kind.counted {
            self.plain.execute_batch("DELETE FROM sqlite_sequence").unwrap();
            copy(&self.world.conn, &self.plain, "sqlite_sequence");
        }
        self.plain.execute_batch(&format!("PRAGMA foreign_keys = {keys}")).unwrap();
        let before = self.plain.last_insert_rowid();
        let result = self.plain.execute(sql, []);
        // An upsert that only updates leaves the last id as it was, and that is of the copy here.
        let id = Some(self.plain.last_insert_rowid()).filter(|id| *id != before && self.kind.counted);
        let said = (self.plain.changes(), id);
        let table = self.kind.tables.iter().find(|t| sql.contains(&format!(" {} ", t.name)) || sql.ends_with(t.name));
        let rows = table.map(|t| self.rows(&self.plain, t.name)).unwrap_or_default();
        (result, said, rows)
    }

    fn rows(&self, conn: &Connection, table: &str) -> String {
        let mut statement = conn.prepare_cached(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            Ok((0..columns).map(|i| format!("{:?}", row.get::<_, Value>(i).unwrap())).collect::<Vec<_>>().join("|"))
        });
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    fn check(&self) {
        let mut differences = self.world.differences();
        if self.behind {
            differences.retain(|line| !line.contains(": only old: ") || !self.unseen(line));
        }
        if !differences.is_empty() {
            self.fail(&format!("not in step:\n{}\n", differences.join("\n")));
        }
    }

    /// Whether the row of that line is not on the new side at all.
    fn unseen(&self, line: &str) -> bool {
        let (name, row) = line.split_once(": only old: ").unwrap_or_default();
        self.world.weaves.iter().filter(|weave| weave.pair.name == name).all(|weave| {
            let key = weave.across(Side::New, Side::Old, weave.keys(Side::New)).join(" || '|' || ");
            let there = format!("SELECT 1 FROM {} WHERE instr(?1, {key} || '|') = 1", weave.table(Side::New));
            !self.world.conn.prepare_cached(&there).unwrap().exists([row]).unwrap()
        })
    }
}

fn copy(from: &Connection, to: &Connection, table: &str) {
    let mut read = from.prepare_cached(&format!("SELECT * FROM {table}")).unwrap();
    let columns = read.column_count();
    let marks = vec!["?"; columns].join(", ");
    let mut write = to.prepare_cached(&format!("INSERT INTO {table} VALUES ({marks})")).unwrap();
    let mut rows = read.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<Value> = (0..columns).map(|i| row.get(i).unwrap()).collect();
        write.execute(rusqlite::params_from_iter(values)).unwrap();
    }
}
