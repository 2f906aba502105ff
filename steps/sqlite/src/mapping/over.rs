//! An expression of a mapping over whatever row it is asked of: in a query the row has a name of ours, in a trigger it is
//! the row before or after. `old` and `new` as names of tables would mean a trigger's own rows there.

use std::fmt::Write as _;

use crate::declared::unquoted;
use crate::sql::{quote_ident, spans};

/// The rows that an expression speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Old,
    New,
    Parent,
}

impl Row {
    const ALL: [(&'static str, Row); 3] = [("old", Row::Old), ("new", Row::New), ("parent", Row::Parent)];
}

/// `expression` with each column of a row replaced by what `column` says.
pub(crate) fn over(expression: &str, mut column: impl FnMut(Row, &str) -> String) -> String {
    let spans = spans(expression);
    let text = |at: usize| spans.get(at).map(|(start, end)| &expression[*start..*end]);
    let (mut out, mut at) = (String::new(), 0);
    let mut end = 0;
    while let Some(token) = text(at) {
        let row = (text(at + 1) == Some(".") && (at == 0 || text(at - 1) != Some(".")))
            .then(|| Row::ALL.iter().find(|(name, _)| unquoted(token).eq_ignore_ascii_case(name)))
            .flatten()
            .filter(|_| !token.starts_with('\''));
        // What stood between the tokens stays, but for comments: the next line may not be one.
        if spans[at].0 > end && !out.is_empty() {
            out.push(' ');
        }
        match (row, text(at + 2)) {
            (Some((_, row)), Some(name)) => {
                out.push_str(&column(*row, &unquoted(name)));
                end = spans[at + 2].1;
                at += 3;
            }
            _ => {
                out.push_str(token);
                end = spans[at].1;
                at += 1;
            }
        }
    }
    out
}

/// The same with each row under a name that stands for it: an alias, or `NEW` and `OLD` of a trigger.
pub(crate) fn named(expression: &str, mut name: impl FnMut(Row) -> &'static str) -> String {
    over(expression, |row, column| {
        let mut out = String::new();
        // Writing to a `String` cannot fail.
        let _ = write!(out, "{}.{}", name(row), quote_ident(column));
        out
    })
}

/// Whether it speaks of that row.
pub(crate) fn speaks_of(expression: &str, wanted: Row) -> bool {
    let mut found = false;
    over(expression, |row, _| {
        found |= row == wanted;
        String::new()
    });
    found
}

/// Whether it may compare values, which the affinity of a column has a say in.
pub(crate) fn compares(expression: &str) -> bool {
    const SIGNS: [&str; 17] = [
        "=", "==", "<", ">", "<=", ">=", "<>", "!=", "!", "IN", "BETWEEN", "LIKE", "GLOB", "MATCH", "REGEXP", "NULLIF",
        "SELECT",
    ];
    let words: Vec<String> = spans(expression).iter().map(|(a, b)| expression[*a..*b].to_ascii_uppercase()).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found == word);
    words.iter().enumerate().any(|(at, word)| match word.as_str() {
        "IS" => !is(at + 1 + usize::from(is(at + 1, "NOT")), "NULL"),
        "CASE" => !is(at + 1, "WHEN"),
        word => SIGNS.contains(&word),
    })
}

/// The column that the expression is and nothing more.
pub(crate) fn plain(expression: &str) -> Option<(Row, String)> {
    let mut found = None;
    let rest = over(expression, |row, column| {
        found = Some((row, column.to_owned()));
        String::new()
    });
    found.filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_renamed_and_nothing_else_is() {
        let name = |row| match row {
            Row::Old => "OLD",
            Row::New => "_cutover_row",
            Row::Parent => "_cutover_parent",
        };
        assert_eq!(named("old.a||old . \"b c\" -- old.x\n+ [OLD].d", name), "OLD.\"a\"||OLD.\"b c\" + OLD.\"d\"");
        assert_eq!(named("'old.a' || bold.x || main.old.y", name), "'old.a' || bold.x || main.old.y");
        assert_eq!(
            named("(SELECT max(p) FROM t WHERE t.k = new.k AND parent.z > 1)", name),
            "(SELECT max(p) FROM t WHERE t.k = _cutover_row.\"k\" AND _cutover_parent.\"z\" > 1)"
        );
        assert!(speaks_of("parent.x", Row::Parent) && !speaks_of("new.parent", Row::Parent));
        assert_eq!(plain(" old.[a b] "), Some((Row::Old, "a b".to_owned())));
        assert_eq!(plain("old.a + 1"), None);
        for compared in [
            "old.a = 1",
            "old.a<=2",
            "old.a IS old.b",
            "CASE old.a WHEN 1 THEN 2 END",
            "nullif(old.a, 1)",
            "old.a in (1)",
        ] {
            assert!(compares(compared), "{compared}");
        }
        for not in [
            "old.a",
            "old.a || '='",
            "old.a IS NOT NULL",
            "coalesce(CAST(old.a AS INTEGER), 1) * 2",
            "CASE WHEN old.a IS NULL THEN 1 END",
        ] {
            assert!(!compares(not), "{not}");
        }
    }
}
