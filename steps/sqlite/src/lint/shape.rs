//! A statement as the lints see it: its verb, the table that it is about, and the clauses that stand at its top.
//!
//! Knows as much of the grammar as the lints ask. What it does not recognise is nothing that they speak of.

use std::ops::Range;

use cutover_core::sql::spans;

use crate::sql::Statement;

/// The tokens of one statement with their places in the script.
pub(super) struct Tokens<'s> {
    statement: &'s Statement,
    spans: Vec<(usize, usize)>,
}

impl<'s> Tokens<'s> {
    pub(super) fn of(statement: &'s Statement) -> Self {
        Self { statement, spans: spans(&statement.sql) }
    }

    /// The text of token `i`; empty behind the last one.
    pub(super) fn text(&self, i: usize) -> &'s str {
        self.spans.get(i).map_or("", |&(from, to)| &self.statement.sql[from..to])
    }

    /// Whether token `i` is this keyword.
    pub(super) fn is(&self, i: usize, word: &str) -> bool {
        self.text(i).eq_ignore_ascii_case(word)
    }

    /// Whether the tokens from `i` on are these keywords.
    pub(super) fn are(&self, i: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.is(i + n, word))
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The place of tokens `from..=to` in the script.
    pub(super) fn place(&self, from: usize, to: usize) -> Range<usize> {
        let start = self.spans.get(from).map_or(0, |s| s.0);
        let end = self.spans.get(to).or(self.spans.last()).map_or(start, |s| s.1);
        self.statement.at + start..self.statement.at + end.max(start)
    }

    /// The name at token `i`, past a schema before it, without its quotes; and the token behind it.
    pub(super) fn name(&self, i: usize) -> (String, usize) {
        let at = if self.text(i + 1) == "." { i + 2 } else { i };
        (self.text(at).trim_matches(['"', '`', '[', ']', '\'']).replace("\"\"", "\""), at + 1)
    }

    /// The first token from `i` on that is `word` outside of parentheses.
    pub(super) fn top(&self, i: usize, word: &str) -> Option<usize> {
        let mut depth = 0usize;
        for at in i..self.len() {
            match self.text(at) {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ if depth == 0 && self.is(at, word) => return Some(at),
                _ => {}
            }
        }
        None
    }

    /// Whether a WHERE at the top from `i` on leaves any row out. `WHERE true` does not.
    pub(super) fn chooses(&self, i: usize) -> bool {
        self.top(i, "WHERE").is_some_and(|at| {
            let all = ["true", "1"].iter().any(|all| self.is(at + 1, all));
            let ends =
                |word: &str| ["", "ON", "RETURNING", "ORDER", "LIMIT"].iter().any(|w| w.eq_ignore_ascii_case(word));
            !(all && ends(self.text(at + 2)))
        })
    }

    /// Where the verb stands: behind `WITH … AS (…)`, or at the start.
    pub(super) fn verb(&self) -> usize {
        if !self.is(0, "WITH") {
            return 0;
        }
        let verbs = ["INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT"];
        verbs.iter().filter_map(|verb| self.top(1, verb)).min().unwrap_or(0)
    }
}

/// A statement, as far as the lints tell it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// CREATE of this sort ("table", "index", "view", "trigger") and name; `lenient`: IF NOT EXISTS.
    Create { sort: &'static str, name: String, lenient: bool },
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
                let shape = if tokens.chooses(end) || tokens.top(end, "LIMIT").is_some() {
                    Self::Other
                } else {
                    Self::DeleteAll(name)
                };
                (shape, tokens.place(verb, end - 1))
            }
            "UPDATE" => {
                let (name, end) = tokens.name(if tokens.is(verb + 1, "OR") { verb + 3 } else { verb + 1 });
                let shape = if tokens.chooses(end) || tokens.top(end, "LIMIT").is_some() {
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
    let Some((at, sort)) = found.filter(|_| !temporary) else { return (Shape::Other, 0..0) };
    let lenient = tokens.are(at + 1, &["IF", "NOT", "EXISTS"]);
    let (name, end) = tokens.name(if lenient { at + 4 } else { at + 1 });
    (Shape::Create { sort, name, lenient }, tokens.place(0, end - 1))
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
    let from = tokens.top(end, "SELECT").and_then(|at| tokens.top(at, "FROM"));
    let Some(from) = from else { return (Shape::Other, 0..0) };
    let (source, behind) = tokens.name(from + 1);
    // A subquery chooses by itself, and a function that gives rows is no table.
    let other = tokens.text(from + 1) == "(" || tokens.text(behind) == "(";
    if other || tokens.chooses(from) || tokens.top(from, "LIMIT").is_some() {
        return (Shape::Other, 0..0);
    }
    (Shape::CopyAll(table, source), tokens.place(verb, behind - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn shape(sql: &str) -> Shape {
        Shape::of(&Tokens::of(&split(sql)[0])).0
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
            (
                "CREATE UNIQUE INDEX IF NOT EXISTS i ON t(a)",
                Shape::Create { sort: "index", name: name("i"), lenient: true },
            ),
            ("CREATE TEMP TABLE t(a)", Shape::Other),
            (
                "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END",
                Shape::Create { sort: "trigger", name: name("g"), lenient: false },
            ),
            ("PRAGMA optimize", Shape::Analyze),
            ("PRAGMA user_version = 3", Shape::Other),
            ("PRAGMA user_version", Shape::Look),
        ] {
            assert_eq!(shape(sql), expected, "{sql}");
        }
    }

    #[test]
    fn no_text_at_all_is_too_strange() {
        for sql in [
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
