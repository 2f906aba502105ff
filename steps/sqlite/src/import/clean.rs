//! A script as a step can run it: what would break the step's transaction is taken out where that is safe, and refused
//! where it is not.

use cutover_core::StepError;

use super::{Script, TakenOut};
use crate::sql::{self, Statement};

/// The script, and whether it holds no statement.
pub(super) fn cleaned(file: &str, text: &str) -> Result<(Script, bool), StepError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut script = Script::default();
    let mut done = 0;
    let mut left = 0;
    for statement in sql::split(text) {
        let Some(refused) = sql::refusal(&statement) else {
            left += 1;
            continue;
        };
        let Some(why) = needless(&statement) else {
            let message = format!("`{file}`: `{}` cannot be in a step: {refused}", statement.excerpt());
            let own =
                "take the statement out of the file, or the migration out of the folder and write its step by hand";
            let help = sql::instead(&statement).map_or(own.to_owned(), |instead| format!("{own}: {instead}"));
            return Err(StepError::failed(message).with_help(help));
        };
        let end = statement.at + statement.sql.len();
        script.text.push_str(&text[done..statement.at]);
        script.text.push_str(&format!("/* {} */", statement.sql.replace("*/", "* /")));
        done = end;
        let line = statement.line;
        script.taken_out.push(TakenOut { line, statement: statement.excerpt(), why });
    }
    script.text.push_str(&text[done..]);
    if !script.text.ends_with('\n') {
        script.text.push('\n');
    }
    if left == 0 {
        script.text.push_str("SELECT 1; -- it holds no statement\n");
    }
    Ok((script, left == 0))
}

/// What it comes to that a statement is not there, where a step does without it.
fn needless(statement: &Statement) -> Option<&'static str> {
    let words = statement.words(4);
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let pragma = if word(2) == "." { word(3) } else { word(1) };
    match word(0) {
        "BEGIN" | "COMMIT" | "END" => Some("a step is one transaction"),
        "VACUUM" if word(1) != "INTO" && word(2) != "INTO" => Some("it only gives room back"),
        "PRAGMA" => match pragma {
            "FOREIGN_KEYS" => Some("foreign keys are on while a script runs, and off while a down script does"),
            "WRITABLE_SCHEMA" => None,
            _ => Some("it is a setting of a connection or of the file, not of the structure"),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_and_settings_are_taken_out_and_lines_stay_where_they_are() {
        let text = "PRAGMA foreign_keys=off;\nBEGIN TRANSACTION; CREATE TABLE t(a);\nCOMMIT";
        let (script, empty) = cleaned("x.sql", text).unwrap();
        assert_eq!(
            script.text,
            "/* PRAGMA foreign_keys=off */;\n/* BEGIN TRANSACTION */; CREATE TABLE t(a);\n/* COMMIT */\n"
        );
        assert!(!empty);
        let out: Vec<_> = script.taken_out.iter().map(|t| (t.line, t.statement.as_str())).collect();
        assert_eq!(out, [(1, "PRAGMA foreign_keys=off"), (2, "BEGIN TRANSACTION"), (3, "COMMIT")]);
        let left = sql::split(&script.text);
        assert_eq!(left.iter().map(|s| s.sql.as_str()).collect::<Vec<_>>(), ["CREATE TABLE t(a)"]);
    }

    #[test]
    fn what_a_step_cannot_do_without_is_refused() {
        for sql in ["ATTACH 'x' AS y", "ROLLBACK", "SAVEPOINT a", "PRAGMA writable_schema = 1", "VACUUM INTO 'x'"] {
            let refused = cleaned("x.sql", sql).unwrap_err();
            assert!(refused.to_string().contains("`x.sql`: `") && refused.help().is_some(), "{refused}");
        }
        let refused = cleaned("x.sql", "ATTACH 'x' AS y").unwrap_err();
        assert!(refused.help().is_some_and(|help| help.contains("a target of its own")), "{:?}", refused.help());
    }

    #[test]
    fn a_script_of_comments_does_nothing_and_says_so() {
        let (script, empty) = cleaned("x.sql", "-- later\n").unwrap();
        assert!(empty);
        assert_eq!(script.text, "-- later\nSELECT 1; -- it holds no statement\n");
    }
}
