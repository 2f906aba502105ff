//! A statement as the lints see it: its verb, and the table that it is about. What is not recognised is nothing that they
//! speak of.

use std::ops::Range;

use super::tokens::Tokens;

/// A statement, as far as the lints tell it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// CREATE of this sort ("table", "index", "view", "trigger") and name; `lenient`: IF NOT EXISTS; `filled`: with all
    /// rows of that table.
    Create { sort: &'static str, name: String, lenient: bool, filled: Option<String> },
    /// DROP TABLE.
    DropTable(String),
    /// ALTER TABLE … RENAME TO.
    Rename { from: String, to: String },
    /// ALTER TABLE … DROP COLUMN, with table and column.
    DropColumn(String, String),
    /// ALTER TABLE … ADD COLUMN, with table and column, NOT NULL and without a default.
    AddNotNull(String, String),
    /// DELETE of every row.
    DeleteAll(String),
    /// UPDATE of every row.
    UpdateAll(String),
    /// INSERT into the first of all rows of the second.
    CopyAll(String, String),
    /// ANALYZE, or PRAGMA optimize, which may do it.
    Analyze,
    /// A query, or a pragma that only looks.
    Look,
    /// Anything else.
    Other,
}

impl Shape {
    /// What `tokens` are, and which of them say so.
    pub(super) fn of(tokens: &Tokens<'_>) -> (Self, Range<usize>) {
        let verb = tokens.verb();
        let word = tokens.text(verb).to_ascii_uppercase();
        match word.as_str() {
            "CREATE" => create(tokens),
            "DROP" if tokens.is(1, "TABLE") => {
                let (name, end) = tokens.name(if tokens.are(2, &["IF", "EXISTS"]) { 4 } else { 2 });
                (Self::DropTable(name), tokens.place(0, end - 1))
            }
            "ALTER" if tokens.is(1, "TABLE") => alter(tokens),
            "DELETE" => {
                let (name, end) = tokens.name(verb + 2);
                let shape = if tokens.chooses(end..tokens.len()) || tokens.top(end, "LIMIT").is_some() {
                    Self::Other
                } else {
                    Self::DeleteAll(name)
                };
                (shape, tokens.place(verb, end - 1))
            }
            "UPDATE" => {
                let (name, end) = tokens.name(if tokens.is(verb + 1, "OR") { verb + 3 } else { verb + 1 });
                let shape = if tokens.chooses(end..tokens.len()) || tokens.top(end, "LIMIT").is_some() {
                    Self::Other
                } else {
                    Self::UpdateAll(name)
                };
                (shape, tokens.place(verb, end - 1))
            }
            "INSERT" | "REPLACE" => insert(tokens, verb),
            "ANALYZE" => (Self::Analyze, tokens.place(0, tokens.len())),
            "PRAGMA" if (1..=3).any(|i| tokens.is(i, "optimize")) => (Self::Analyze, tokens.place(0, tokens.len())),
            "PRAGMA" if (0..tokens.len()).any(|i| tokens.text(i) == "=") => (Self::Other, 0..0),
            "SELECT" | "VALUES" | "EXPLAIN" | "PRAGMA" => (Self::Look, 0..0),
            _ => (Self::Other, 0..0),
        }
    }
}

fn create(tokens: &Tokens<'_>) -> (Shape, Range<usize>) {
    const SORTS: [&str; 4] = ["table", "index", "view", "trigger"];
    let found = (1..4).find_map(|at| SORTS.iter().find(|sort| tokens.is(at, sort)).map(|sort| (at, *sort)));
    let temporary = tokens.is(1, "TEMP") || tokens.is(1, "TEMPORARY");
    let Some((at, sort)) = found else { return (Shape::Other, 0..0) };
    let lenient = tokens.are(at + 1, &["IF", "NOT", "EXISTS"]);
    let (name, end) = tokens.name(if lenient { at + 4 } else { at + 1 });
    let filled = if sort == "table" && tokens.is(end, "AS") { tokens.whole(end + 1..tokens.len()) } else { None };
    let place = tokens.place(0, filled.as_ref().map_or(end, |(_, behind)| *behind) - 1);
    match filled {
        Some((source, _)) if temporary => (Shape::CopyAll(name, source), place),
        _ if temporary => (Shape::Other, 0..0),
        filled => (Shape::Create { sort, name, lenient, filled: filled.map(|(source, _)| source) }, place),
    }
}

fn alter(tokens: &Tokens<'_>) -> (Shape, Range<usize>) {
    let (table, at) = tokens.name(2);
    if tokens.are(at, &["RENAME", "TO"]) {
        let (to, end) = tokens.name(at + 2);
        return (Shape::Rename { from: table, to }, tokens.place(0, end - 1));
    }
    let column = at + 1 + usize::from(tokens.is(at + 1, "COLUMN"));
    let (name, rest) = tokens.name(column);
    if tokens.is(at, "DROP") {
        return (Shape::DropColumn(table, name), tokens.place(0, rest - 1));
    }
    if tokens.is(at, "ADD") {
        let required = (rest..tokens.len()).find(|i| tokens.are(*i, &["NOT", "NULL"]));
        let default = tokens.top(rest, "DEFAULT").filter(|i| !tokens.is(i + 1, "NULL"));
        let generated = tokens.top(rest, "AS").is_some();
        if let Some(required) = required.filter(|_| default.is_none() && !generated) {
            return (Shape::AddNotNull(table, name), tokens.place(column, required + 1));
        }
    }
    (Shape::Other, 0..0)
}

fn insert(tokens: &Tokens<'_>, verb: usize) -> (Shape, Range<usize>) {
    let into = tokens.top(verb, "INTO").map_or(verb, |at| at);
    let (table, end) = tokens.name(into + 1);
    // What stands behind the query: an upsert has a WHERE of its own.
    let upsert = (end..tokens.len()).find(|at| tokens.are(*at, &["ON", "CONFLICT"]));
    let behind = upsert.or_else(|| tokens.top(end, "RETURNING")).unwrap_or(tokens.len());
    match tokens.whole(end..behind) {
        Some((source, last)) => (Shape::CopyAll(table, source), tokens.place(verb, last - 1)),
        None => (Shape::Other, 0..0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn shape(sql: &str) -> Shape {
        Shape::of(&Tokens::of(&split(sql)[0])).0
    }

    fn created(sort: &'static str, name: &str, lenient: bool, filled: Option<&str>) -> Shape {
        Shape::Create { sort, name: name.to_owned(), lenient, filled: filled.map(str::to_owned) }
    }

    #[test]
    fn statements_are_known_however_they_are_written() {
        let name = |name: &str| name.to_owned();
        for (sql, expected) in [
            ("drop table if exists main.\"T x\"", Shape::DropTable(name("T x"))),
            ("ALTER TABLE t RENAME TO u", Shape::Rename { from: name("t"), to: name("u") }),
            ("ALTER TABLE t RENAME COLUMN a TO b", Shape::Other),
            ("ALTER TABLE [t] DROP a", Shape::DropColumn(name("t"), name("a"))),
            ("alter table t add column a text not null", Shape::AddNotNull(name("t"), name("a"))),
            ("ALTER TABLE t ADD a TEXT NOT NULL DEFAULT ''", Shape::Other),
            ("ALTER TABLE t ADD a TEXT NOT NULL DEFAULT NULL", Shape::AddNotNull(name("t"), name("a"))),
            ("ALTER TABLE t ADD a INT NOT NULL AS (b + 1)", Shape::Other),
            ("DELETE FROM t", Shape::DeleteAll(name("t"))),
            ("DELETE FROM t WHERE a = (SELECT 1)", Shape::Other),
            ("DELETE FROM t WHERE 1", Shape::DeleteAll(name("t"))),
            ("DELETE FROM t WHERE 1 = a", Shape::Other),
            ("UPDATE OR IGNORE main.t SET a = (SELECT b FROM u WHERE u.id = t.id)", Shape::UpdateAll(name("t"))),
            ("WITH x AS (SELECT 1 WHERE 1=1) UPDATE t SET a = 1", Shape::UpdateAll(name("t"))),
            ("UPDATE t SET a = 1 WHERE a IS NULL", Shape::Other),
            ("INSERT INTO t (a) SELECT a FROM u", Shape::CopyAll(name("t"), name("u"))),
            ("INSERT INTO t SELECT a FROM u WHERE true ON CONFLICT DO NOTHING", Shape::CopyAll(name("t"), name("u"))),
            ("INSERT INTO t SELECT a FROM u LIMIT 500", Shape::Other),
            ("INSERT INTO t SELECT value FROM json_each('[1]')", Shape::Other),
            ("INSERT INTO t VALUES (1)", Shape::Other),
            ("REPLACE INTO t SELECT * FROM u AS x", Shape::CopyAll(name("t"), name("u"))),
            ("CREATE UNIQUE INDEX IF NOT EXISTS i ON t(a)", created("index", "i", true, None)),
            ("CREATE TEMP TABLE t(a)", Shape::Other),
            ("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END", created("trigger", "g", false, None)),
            ("PRAGMA optimize", Shape::Analyze),
            ("PRAGMA user_version = 3", Shape::Other),
            ("PRAGMA user_version", Shape::Look),
        ] {
            assert_eq!(shape(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_condition_of_constants_leaves_out_every_row_or_none() {
        for all in
            ["1=1", "true AND NOT 0", "('a' = 'a')", "1 IN (1, 2) OR false", "2.5 > 1 ORDER BY a", "1=1 RETURNING a"]
        {
            assert_eq!(shape(&format!("DELETE FROM t WHERE {all}")), Shape::DeleteAll("t".into()), "{all}");
            assert_eq!(shape(&format!("UPDATE t SET a = 1 WHERE {all}")), Shape::UpdateAll("t".into()), "{all}");
        }
        for some in
            ["1=0", "false", "NULL", "a", "1 = a", "\"a\" = 1", ":n = 1", "1=1 AND a > 2", "1=1 LIMIT 5", "1 = ", ""]
        {
            assert_eq!(shape(&format!("DELETE FROM t WHERE {some}")), Shape::Other, "{some}");
            assert_eq!(shape(&format!("UPDATE t SET a = 1 WHERE {some}")), Shape::Other, "{some}");
        }
    }

    #[test]
    fn a_copy_of_a_whole_table_is_seen_in_every_part_of_its_query() {
        for (query, source) in [
            ("SELECT * FROM u", Some("u")),
            ("SELECT * FROM u WHERE 1 = 1", Some("u")),
            ("SELECT * FROM (SELECT * FROM u)", Some("u")),
            ("SELECT * FROM (SELECT a FROM (SELECT * FROM main.\"u\") AS x) AS y ORDER BY a", Some("u")),
            ("SELECT * FROM v WHERE a > 1 UNION ALL SELECT * FROM u", Some("u")),
            ("SELECT * FROM (SELECT * FROM v WHERE a > 1 UNION SELECT * FROM u)", Some("u")),
            ("VALUES (1) UNION ALL SELECT a FROM u", Some("u")),
            ("SELECT a, max(b, 1) FROM u", Some("u")),
            ("SELECT a, count(*) OVER () FROM u", Some("u")),
            ("SELECT a, count(*) FILTER (WHERE a > 1) OVER () FROM u", Some("u")),
            ("SELECT a, (SELECT count(*) FROM v) FROM u", Some("u")),
            ("SELECT a, count(*) FROM u GROUP BY a", Some("u")),
            ("SELECT * FROM v EXCEPT SELECT * FROM w UNION ALL SELECT * FROM u", Some("u")),
            ("SELECT * FROM u WHERE a > 1", None),
            ("SELECT * FROM (SELECT * FROM u) WHERE a > 1", None),
            ("SELECT * FROM (SELECT * FROM u WHERE a > 1)", None),
            ("SELECT * FROM (SELECT * FROM u LIMIT 5)", None),
            ("SELECT * FROM v WHERE a > 1 UNION ALL SELECT * FROM u LIMIT 5", None),
            ("SELECT * FROM u EXCEPT SELECT * FROM v", None),
            ("SELECT * FROM u INTERSECT SELECT * FROM v", None),
            ("SELECT count(*), max(a) FROM u", None),
            ("SELECT coalesce(sum(a) FILTER (WHERE a > 1), 0) FROM u", None),
            ("SELECT * FROM (SELECT sum(a) FROM u)", None),
            ("SELECT value FROM json_each('[1]') UNION ALL SELECT 2", None),
            ("SELECT * FROM main.sqlite_sequence", None),
            ("SELECT * FROM u WHERE 1=0", None),
            ("WITH u AS (SELECT * FROM b WHERE a > 1) SELECT * FROM u", None),
            ("WITH u(a) AS NOT MATERIALIZED (SELECT * FROM b WHERE a > 1) SELECT * FROM u", None),
        ] {
            let copied = source.map_or(Shape::Other, |source| Shape::CopyAll("t".into(), source.into()));
            assert_eq!(shape(&format!("INSERT INTO t (a) {query}")), copied, "{query}");
            assert_eq!(shape(&format!("CREATE TABLE t AS {query}")), created("table", "t", false, source), "{query}");
            assert_eq!(shape(&format!("CREATE TEMP TABLE t AS {query}")), copied, "{query}");
        }
        let upsert = "INSERT INTO t SELECT a FROM u WHERE true ON CONFLICT (a) DO UPDATE SET b = 1 WHERE a > 1";
        assert_eq!(shape(upsert), Shape::CopyAll("t".into(), "u".into()));
        assert_eq!(shape("CREATE TABLE IF NOT EXISTS t AS SELECT * FROM u"), created("table", "t", true, Some("u")));
        assert_eq!(shape("CREATE VIEW t AS SELECT * FROM u"), created("view", "t", false, None));
    }

    #[test]
    fn no_text_at_all_is_too_strange() {
        for sql in [
            "CREATE TABLE t AS",
            "CREATE TABLE t AS SELECT * FROM (",
            "CREATE TABLE t AS SELECT * FROM (SELECT * FROM",
            "INSERT INTO t SELECT count( FROM u UNION",
            "INSERT INTO t SELECT 1) UNION SELECT (",
            "DELETE FROM t WHERE (",
            "DELETE FROM t WHERE 1)",
            "DROP TABLE",
            "ALTER TABLE",
            "DELETE",
            "INSERT INTO t SELECT",
            "CREATE TABLE IF NOT",
            "WITH",
            "UPDATE OR",
            "ALTER TABLE t ADD",
            "ALTER TABLE t RENAME TO",
        ] {
            let _ = shape(sql);
        }
    }
}
