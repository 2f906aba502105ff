//! The lints that a script's text alone answers.

use std::collections::BTreeSet;

use cutover_core::Finding;

use super::shape::Shape;
use super::tokens::Tokens;
use super::{ANALYZE, DELETES_ALL, DROPS_COLUMN, DROPS_TABLE, IDLE_DOWN, NOT_NULL, REBUILD, UNBOUNDED};
use crate::sql::Statement;

/// What is doubtful about a script that goes forward. `file` is its name in the plan; `moves`: readers of its tables move to
/// others later.
pub(crate) fn of_up(file: &str, statements: &[Statement], moves: bool) -> Vec<Finding> {
    let tokens: Vec<Tokens<'_>> = statements.iter().map(Tokens::of).collect();
    let shapes: Vec<_> = tokens.iter().map(Shape::of).collect();
    let rebuilds = Rebuilds::of(shapes.iter().map(|(shape, _)| shape));
    let mut own: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::new();
    for (at, (shape, place)) in shapes.into_iter().enumerate() {
        let finding = |lint, message: String| Finding::at(lint, file, place.clone(), message);
        let ours = |name: &str| own.contains(&key(name));
        match shape {
            Shape::Create { sort: "table", name, filled, .. } => {
                let source = filled.filter(|source| !ours(source) && !rebuilds.copies(source));
                found.extend(source.map(|source| {
                    finding(&UNBOUNDED, copied(&source, &name)).label(ALL_ROWS).help(BATCHES)
                }));
                own.insert(key(&name));
            }
            Shape::Rename { from, to } => {
                if own.remove(&key(&from)) {
                    own.insert(key(&to));
                }
                found.extend(rebuilds.at(at).map(|name| rebuilt(finding(&REBUILD, said(name)))));
            }
            Shape::DropTable(_) if rebuilds.at(at).is_some() => {
                found.extend(rebuilds.at(at).map(|name| rebuilt(finding(&REBUILD, said(name)))));
            }
            Shape::DropTable(name) if !ours(&name) && !rebuilds.drops(at) => found.push(
                finding(&DROPS_TABLE, format!("`{name}` is dropped with all its rows")).help(
                    "its rows come back by a restore alone: drop it in a later release, or let `sqlite.contract` keep them aside",
                ),
            ),
            Shape::DropColumn(table, column) if !ours(&table) => found.push(
                finding(&DROPS_COLUMN, format!("`{table}.{column}` is dropped with all its values")).help(
                    "programs that still name it fail from here on, and a down script can only add it empty: drop it in a later release",
                ),
            ),
            Shape::AddNotNull(table, column) if !ours(&table) => found.push(
                finding(&NOT_NULL, format!("`{table}.{column}` is NOT NULL and has no default"))
                    .label("works on an empty table alone")
                    .help("give it a constant default other than NULL, or add it without NOT NULL and fill it by `sqlite.backfill`"),
            ),
            Shape::DeleteAll(table) if !ours(&table) => found.push(
                finding(&DELETES_ALL, format!("every row of `{table}` is deleted"))
                    .label(ALL_ROWS)
                    .help("name the rows by a WHERE; a snapshot before it is the only way back"),
            ),
            Shape::UpdateAll(table) if !ours(&table) => found.push(
                finding(&UNBOUNDED, format!("every row of `{table}` is written in one transaction"))
                    .label(ALL_ROWS)
                    .help(BATCHES),
            ),
            Shape::CopyAll(table, source) if !ours(&source) && !rebuilds.copies(&source) => {
                found.push(finding(&UNBOUNDED, copied(&source, &table)).label(ALL_ROWS).help(BATCHES));
            }
            Shape::Analyze if moves => found.push(
                finding(&ANALYZE, "statistics are gathered before readers are cut over".to_owned()).help(
                    "a program whose SQLite is built with STAT4 then prepares a statement again whenever another value is bound, \
                     which costs the readers that move several times what they cost now: do it behind the last `sqlite.cutover`, \
                     and measure the readers with it",
                ),
            ),
            _ => {}
        }
    }
    found
}

const ALL_ROWS: &str = "no row is left out";

const BATCHES: &str =
    "other writers wait for all of it: use `sqlite.backfill`, which goes in short batches and can stop";

/// What is doubtful about a script that goes back from what `up` did.
pub(crate) fn of_down(file: &str, statements: &[Statement], up: &[Statement]) -> Vec<Finding> {
    let looks = |statement: &Statement| Shape::of(&Tokens::of(statement)).0 == Shape::Look;
    if !statements.iter().all(looks) || up.iter().all(looks) {
        return Vec::new();
    }
    let tokens: Vec<Tokens<'_>> = statements.iter().map(Tokens::of).collect();
    let place = tokens.first().map_or(0..0, |t| t.place(0, t.len()));
    vec![
        Finding::at(&IDLE_DOWN, file, place, "the down script changes nothing").help(
            "write the statements that undo the script, or take `down` away: the step is then undone by restoring the target",
        ),
    ]
}

fn copied(source: &str, table: &str) -> String {
    format!("every row of `{source}` is copied into `{table}` in one transaction")
}

fn said(table: &str) -> String {
    format!("`{table}` is rebuilt while foreign keys are on")
}

fn rebuilt(finding: Finding) -> Finding {
    finding.help(
        "dropping a table deletes its rows first, and with foreign keys on the rows that refer to them go too (ON DELETE \
         CASCADE) or stop it: prefer ALTER TABLE, or expand into a new table and cut over",
    )
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The dances that make a table anew under its old name.
struct Rebuilds {
    /// The statement that is warned of, by its number, with the table.
    spoken: Vec<(usize, String)>,
    /// Other drops that belong to one.
    drops: Vec<usize>,
    /// Tables whose rows are copied by one.
    sources: BTreeSet<String>,
}

impl Rebuilds {
    fn of<'s>(shapes: impl Iterator<Item = &'s Shape>) -> Self {
        let shapes: Vec<&Shape> = shapes.collect();
        let mut found = Self { spoken: Vec::new(), drops: Vec::new(), sources: BTreeSet::new() };
        let later = |at: usize, wanted: &dyn Fn(&Shape) -> bool| (at + 1..shapes.len()).find(|i| wanted(shapes[*i]));
        for (at, shape) in shapes.iter().enumerate() {
            match shape {
                // A new table is made, the old one dropped, the new one takes its name.
                Shape::DropTable(name) => {
                    let takes = |s: &Shape| matches!(s, Shape::Rename { to, .. } if key(to) == key(name));
                    if later(at, &takes).is_some() {
                        found.spoken.push((at, name.clone()));
                        found.sources.insert(key(name));
                    }
                }
                // The old table is moved aside, a new one made in its place, the old one dropped.
                Shape::Rename { from, to } => {
                    let made =
                        |s: &Shape| matches!(s, Shape::Create { sort: "table", name, .. } if key(name) == key(from));
                    let dropped = |s: &Shape| matches!(s, Shape::DropTable(name) if key(name) == key(to));
                    if let (Some(_), Some(drop)) = (later(at, &made), later(at, &dropped)) {
                        found.spoken.push((at, from.clone()));
                        found.drops.push(drop);
                        found.sources.insert(key(to));
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn at(&self, statement: usize) -> Option<&str> {
        self.spoken.iter().find(|(at, _)| *at == statement).map(|(_, name)| name.as_str())
    }

    fn drops(&self, statement: usize) -> bool {
        self.drops.contains(&statement)
    }

    fn copies(&self, source: &str) -> bool {
        self.sources.contains(&key(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn codes(sql: &str) -> Vec<String> {
        let found = of_up("x.sql", &split(sql), true);
        found.into_iter().map(|f| format!("{} {}", f.code, &sql[f.place.map_or(0..0, |(_, span)| span)])).collect()
    }

    #[test]
    fn what_loses_rows_or_holds_the_lock_is_said_with_its_place() {
        assert_eq!(codes("CREATE TABLE a(x);\nDROP TABLE IF EXISTS b"), ["W401 DROP TABLE IF EXISTS b"]);
        assert_eq!(codes("ALTER TABLE b DROP COLUMN c"), ["W402 ALTER TABLE b DROP COLUMN c"]);
        assert_eq!(codes("DELETE FROM b"), ["W403 DELETE FROM b"]);
        assert_eq!(codes("ALTER TABLE b ADD c INT; UPDATE b SET c = 1"), ["W404 UPDATE b"]);
        assert_eq!(codes("INSERT INTO a SELECT x FROM b ORDER BY x"), ["W404 INSERT INTO a SELECT x FROM b"]);
        assert_eq!(codes("CREATE TABLE a AS SELECT * FROM b"), ["W404 CREATE TABLE a AS SELECT * FROM b"]);
        assert_eq!(
            codes("INSERT INTO a SELECT x FROM (SELECT * FROM b)"),
            ["W404 INSERT INTO a SELECT x FROM (SELECT * FROM b"]
        );
        assert_eq!(codes("UPDATE b SET c = 1 WHERE 1=1"), ["W404 UPDATE b"]);
        assert_eq!(codes("ALTER TABLE b ADD c INT NOT NULL"), ["W406 c INT NOT NULL"]);
        assert_eq!(codes("ANALYZE b"), ["W407 ANALYZE b"]);
    }

    #[test]
    fn what_a_script_does_to_its_own_tables_is_nobodys_loss() {
        let own = "CREATE TABLE a(x); INSERT INTO a VALUES (1); CREATE TABLE b(x); INSERT INTO b SELECT x FROM a; \
                   CREATE TABLE c AS SELECT * FROM a; INSERT INTO b SELECT * FROM c; UPDATE a SET x = 2; DELETE FROM a; ALTER TABLE a ADD y NOT NULL; DROP TABLE A";
        assert_eq!(codes(own), [""; 0]);
    }

    #[test]
    fn a_rebuild_is_one_warning_however_it_is_danced() {
        let one = "CREATE TABLE n(x); INSERT INTO n SELECT x FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t";
        assert_eq!(codes(one), ["W405 DROP TABLE t"]);
        let filled = "CREATE TABLE n AS SELECT x FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t";
        assert_eq!(codes(filled), ["W405 DROP TABLE t"]);
        let other = "ALTER TABLE t RENAME TO o; CREATE TABLE t(x); INSERT INTO t SELECT x FROM o; DROP TABLE o";
        assert_eq!(codes(other), ["W405 ALTER TABLE t RENAME TO o"]);
    }

    #[test]
    fn a_down_script_of_queries_alone_changes_nothing() {
        let found = |down: &str, up: &str| of_down("d.sql", &split(down), &split(up)).len();
        assert_eq!(found("SELECT 1; PRAGMA user_version", "CREATE TABLE t(a)"), 1);
        assert_eq!(found("SELECT 1; PRAGMA user_version = 2", "CREATE TABLE t(a)"), 0);
        assert_eq!(found("SELECT 1", "SELECT 1"), 0);
    }
}
