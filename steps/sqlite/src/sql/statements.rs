//! A script as a list of statements, and what a statement may not do inside a step's transaction.
//!
//! Owns the splitting (triggers stay whole) and the refusals. Knows no connection: all of it happens at build.

use cutover_core::sql::spans;

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without the final semicolon.
    pub sql: String,
    /// The line it starts on (1-based).
    pub line: usize,
    /// The byte of the script at which it starts.
    pub at: usize,
}

impl Statement {
    /// The statement on one line, cut to a readable length.
    pub fn excerpt(&self) -> String {
        let text = super::tokens::joined(&self.sql);
        match text.char_indices().nth(80) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    }

    /// Its first `n` words in upper case (fewer, if it is shorter).
    pub(crate) fn words(&self, n: usize) -> Vec<String> {
        spans(&self.sql).into_iter().take(n).map(|(a, b)| self.sql[a..b].to_ascii_uppercase()).collect()
    }
}

/// The statements of `script`, in order.
pub fn split(script: &str) -> Vec<Statement> {
    let spans = spans(script);
    let mut statements = Vec::new();
    let mut first = 0;
    let mut at = 0;
    while at < spans.len() {
        let text = |i: usize| spans.get(i).map_or("", |&(a, b)| &script[a..b]);
        let ends = text(at) == ";"
            && (!is_trigger(first, at, &text)
                || (at >= 2 && text(at - 1).eq_ignore_ascii_case("END") && text(at - 2) == ";"));
        if ends {
            push(script, &spans[first..at], &mut statements);
            first = at + 1;
        }
        at += 1;
    }
    push(script, &spans[first..], &mut statements);
    statements
}

fn is_trigger<'a>(first: usize, end: usize, text: &impl Fn(usize) -> &'a str) -> bool {
    let mut words = (first..end.min(first + 4))
        .map(text)
        .filter(|w| !["TEMP", "TEMPORARY"].iter().any(|t| w.eq_ignore_ascii_case(t)));
    words.next().is_some_and(|w| w.eq_ignore_ascii_case("CREATE"))
        && words.next().is_some_and(|w| w.eq_ignore_ascii_case("TRIGGER"))
}

fn push(script: &str, spans: &[(usize, usize)], statements: &mut Vec<Statement>) {
    if let (Some(first), Some(last)) = (spans.first(), spans.last()) {
        let line = 1 + script[..first.0].bytes().filter(|b| *b == b'\n').count();
        statements.push(Statement { sql: script[first.0..last.1].to_owned(), line, at: first.0 });
    }
}

/// The table that a CREATE TRIGGER is on.
pub(crate) fn trigger_table(statement: &Statement) -> Option<String> {
    let text = |i: usize, all: &[(usize, usize)]| all.get(i).map_or("", |&(a, b)| &statement.sql[a..b]).to_owned();
    let all = spans(&statement.sql);
    if !is_trigger(0, all.len(), &|i| all.get(i).map_or("", |&(a, b)| &statement.sql[a..b])) {
        return None;
    }
    let on = (0..all.len()).find(|i| text(*i, &all).eq_ignore_ascii_case("ON"))?;
    let quotes = ['"', '`', '[', ']', '\''];
    Some(text(on + 1, &all).trim_matches(quotes).to_owned())
}

/// Pragmas that leave the connection and its transaction as they are.
const HARMLESS_PRAGMAS: &[&str] = &[
    "APPLICATION_ID",
    "FOREIGN_KEY_CHECK",
    "FOREIGN_KEY_LIST",
    "INDEX_INFO",
    "INDEX_LIST",
    "INDEX_XINFO",
    "INTEGRITY_CHECK",
    "OPTIMIZE",
    "QUICK_CHECK",
    "TABLE_INFO",
    "TABLE_LIST",
    "TABLE_XINFO",
    "USER_VERSION",
];

/// Why `statement` may not run inside a step's transaction, if it may not.
pub fn refusal(statement: &Statement) -> Option<String> {
    let words = statement.words(4);
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    match word(0) {
        "ATTACH" | "DETACH" => {
            Some("it reaches another database, which the plan does not name as this step's target".to_owned())
        }
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => {
            Some("the step has its own transaction; what a script commits cannot be undone with it".to_owned())
        }
        "VACUUM" => Some("it cannot run inside a transaction".to_owned()),
        "PRAGMA" => {
            let name = if word(2) == "." { word(3) } else { word(1) };
            (!HARMLESS_PRAGMAS.contains(&name)).then(|| {
                if name == "FOREIGN_KEYS" {
                    "foreign keys are on for every change and off for every reversal; inside a transaction the pragma does nothing"
                        .to_owned()
                } else {
                    format!("`PRAGMA {}` changes the connection that other steps share, or breaks its transaction", name.to_ascii_lowercase())
                }
            })
        }
        _ => None,
    }
}

/// What to do instead of a statement that is refused, where that is not plain.
pub fn instead(statement: &Statement) -> Option<&'static str> {
    match statement.words(1).first().map(String::as_str) {
        Some("ATTACH" | "DETACH") => Some(
            "declare the other file as a target of its own (`[targets.NAME]`), and give what is done in it a step of its own \
             with that `target`",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_stay_whole_and_lines_are_counted() {
        let script = "-- x\nCREATE TABLE t(a);\n\nCREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN\n  UPDATE t SET a = CASE WHEN a THEN 1 ELSE ';' END;\n  DELETE FROM t;\nEND;\nINSERT INTO t VALUES(';')";
        let found = split(script);
        assert_eq!(found.iter().map(|s| s.line).collect::<Vec<_>>(), [2, 4, 8]);
        assert!(found[1].sql.ends_with("END"), "{}", found[1].sql);
        assert_eq!(found[2].sql, "INSERT INTO t VALUES(';')");
    }

    #[test]
    fn the_table_of_a_trigger_is_known_however_it_is_written() {
        for sql in [
            "CREATE TRIGGER x AFTER INSERT ON Ledger BEGIN DELETE FROM t; END",
            "create temp trigger if not exists main.x before update of a, b on \"Ledger\" begin select 1; end",
            "CREATE TRIGGER x /* ON t */ DELETE ON [Ledger] FOR EACH ROW BEGIN SELECT 1; END",
        ] {
            assert_eq!(trigger_table(&split(sql)[0]).as_deref(), Some("Ledger"), "{sql}");
        }
        assert_eq!(trigger_table(&split("CREATE INDEX i ON Ledger (a)")[0]), None);
    }

    #[test]
    fn statements_that_leave_the_transaction_are_refused_and_others_are_not() {
        let refused = |sql: &str| refusal(&split(sql)[0]).is_some();
        for sql in [
            "ATTACH 'x' AS y",
            "detach y",
            "BEGIN IMMEDIATE",
            "commit",
            "END",
            "ROLLBACK",
            "SAVEPOINT a",
            "RELEASE a",
            "VACUUM",
            "vacuum into 'x'",
            "PRAGMA foreign_keys = OFF",
            "pragma main.journal_mode=wal",
            "PRAGMA writable_schema=1",
        ] {
            assert!(refused(sql), "{sql}");
        }
        for sql in ["PRAGMA user_version = 3", "PRAGMA main.table_info(t)", "CREATE TABLE t(a)", "SELECT 'COMMIT'"] {
            assert!(!refused(sql), "{sql}");
        }
    }
}
