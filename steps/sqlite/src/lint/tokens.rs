//! The tokens of one statement: names, clauses at its top, and which tables a query copies whole.
//!
//! Knows as much of the grammar as the lints ask.

use std::ops::Range;

use cutover_core::sql::spans;
use rusqlite::Connection;

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
        self.top_of(i..self.len(), &[word])
    }

    /// The first token of `range` that is one of `words` outside of parentheses.
    fn top_of(&self, range: Range<usize>, words: &[&str]) -> Option<usize> {
        let mut depth = 0usize;
        for at in range {
            match self.text(at) {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ if depth == 0 && words.iter().any(|word| self.is(at, word)) => return Some(at),
                _ => {}
            }
        }
        None
    }

    /// The token that closes the parenthesis at `open`.
    fn closing(&self, open: usize, end: usize) -> usize {
        let mut depth = 0usize;
        for at in open..end {
            match self.text(at) {
                "(" => depth += 1,
                ")" if depth <= 1 => return at,
                ")" => depth -= 1,
                _ => {}
            }
        }
        end
    }

    /// Whether a WHERE at the top of `range` leaves any row out. `WHERE true` does not, nor does `WHERE 1 = 1`.
    pub(super) fn chooses(&self, range: Range<usize>) -> bool {
        const BEHIND: [&str; 7] = ["GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "RETURNING", "ON"];
        self.top_of(range.clone(), &["WHERE"]).is_some_and(|at| {
            let end = self.top_of(at + 1..range.end, &BEHIND).unwrap_or(range.end);
            !self.always(at + 1..end)
        })
    }

    /// Whether a condition names nothing, and holds.
    fn always(&self, range: Range<usize>) -> bool {
        const WORDS: [&str; 8] = ["TRUE", "FALSE", "NULL", "AND", "OR", "NOT", "IS", "IN"];
        let constant = |at: usize| {
            let text = self.text(at);
            let sign = text.len() == 1 && "()=<>!+-*/%|&~.,".contains(text);
            sign || text.starts_with(|c: char| c == '\'' || c.is_ascii_digit()) || WORDS.iter().any(|w| self.is(at, w))
        };
        // SQLite knows best what its constants come to; what it cannot read is nothing that always holds.
        !range.is_empty()
            && range.clone().all(constant)
            && self.spans.get(range.start).zip(self.spans.get(range.end - 1)).is_some_and(|(first, last)| {
                let asked = format!("SELECT ({}) IS TRUE", &self.statement.sql[first.0..last.1]);
                let answer = |conn: Connection| conn.query_row(&asked, [], |row| row.get::<_, bool>(0));
                Connection::open_in_memory().and_then(answer).unwrap_or(false)
            })
    }

    /// A table of which the query in `range` gives every row, and the token behind its name.
    pub(super) fn whole(&self, range: Range<usize>) -> Option<(String, usize)> {
        // The limit of a compound stands at its end, and is the limit of all of it.
        if self.top_of(range.clone(), &["LIMIT"]).is_some() {
            return None;
        }
        let mut found = None;
        let mut from = range.start;
        let mut narrows = false;
        while from < range.end {
            let end = self.top_of(from..range.end, &["UNION", "EXCEPT", "INTERSECT"]).unwrap_or(range.end);
            if !narrows && found.is_none() {
                found = self.whole_of_one(from..end);
            }
            narrows = end < range.end && !self.is(end, "UNION");
            if narrows {
                found = None;
            }
            from = end + 1;
        }
        found
    }

    /// The same of one SELECT.
    fn whole_of_one(&self, range: Range<usize>) -> Option<(String, usize)> {
        let select = self.top_of(range.clone(), &["SELECT"])?;
        let from = self.top_of(select..range.end, &["FROM"])?;
        if self.chooses(from..range.end) || self.is_one_row(select..from, from..range.end) {
            return None;
        }
        if self.text(from + 1) == "(" {
            return self.whole(from + 2..self.closing(from + 1, range.end));
        }
        let (source, behind) = self.name(from + 1);
        // A function that gives rows is no table, and SQLite's own tables are small.
        let internal = source.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"));
        let other = source.is_empty() || self.text(behind) == "(" || internal || self.is_of_with(&source);
        (!other).then_some((source, behind))
    }

    /// Whether that is the name of a query that the statement's WITH makes: `name AS (…)`, `name(a, b) AS (…)`.
    fn is_of_with(&self, name: &str) -> bool {
        (0..self.len()).any(|at| {
            let (found, behind) = self.name(at);
            let behind = if self.text(behind) == "(" { self.closing(behind, self.len()) + 1 } else { behind };
            found.eq_ignore_ascii_case(name)
                && self.is(behind, "AS")
                && ["(", "MATERIALIZED", "NOT"].iter().any(|word| self.is(behind + 1, word))
        })
    }

    /// Whether a query with these columns makes one row of all: it counts or sums up, and does not group.
    fn is_one_row(&self, columns: Range<usize>, rest: Range<usize>) -> bool {
        const SUMS: [&str; 10] = [
            "count",
            "sum",
            "total",
            "avg",
            "min",
            "max",
            "group_concat",
            "string_agg",
            "json_group_array",
            "json_group_object",
        ];
        if self.top_of(rest, &["GROUP"]).is_some() {
            return false;
        }
        let mut at = columns.start;
        while at < columns.end {
            let opens = self.text(at + 1) == "(";
            // What a query within it counts is of other rows.
            if opens && self.is(at + 2, "SELECT") {
                at = self.closing(at + 1, columns.end);
            } else if opens && SUMS.iter().any(|sum| self.is(at, sum)) {
                let mut close = self.closing(at + 1, columns.end);
                // Of several values, min and max give the one that is the least or the greatest in its row.
                let extreme = self.is(at, "min") || self.is(at, "max");
                let of_row = extreme && self.top_of(at + 2..close, &[","]).is_some();
                if self.is(close + 1, "FILTER") {
                    close = self.closing(close + 2, columns.end);
                }
                if !of_row && !self.is(close + 1, "OVER") {
                    return true;
                }
            }
            at += 1;
        }
        false
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
