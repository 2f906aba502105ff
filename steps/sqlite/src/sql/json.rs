//! Rows as JSON, made by SQLite itself.

use super::{quote_ident, quote_text};

/// A function has at most 127 arguments, 100 in older builds: wide rows are put together of pieces.
const PIECE: usize = 40;

/// SQL that makes one JSON object of those columns of `row`. Blobs are SQL literals (`X'00ff'`).
pub(crate) fn row_json<'a>(columns: impl Iterator<Item = &'a str>, row: &str) -> String {
    let members = columns.map(|column| {
        let value = format!("{row}.{}", quote_ident(column));
        format!("{}, CASE typeof({value}) WHEN 'blob' THEN quote({value}) ELSE {value} END", quote_text(column))
    });
    let members: Vec<String> = members.collect();
    let pieces: Vec<String> = members.chunks(PIECE).map(|piece| format!("json_object({})", piece.join(", "))).collect();
    match &pieces[..] {
        [] => "'{}'".to_owned(),
        [one] => one.clone(),
        // Every member ends in a quote or a letter, never in the brace of an object.
        many => {
            let inner: Vec<String> = many.iter().map(|piece| format!("ltrim(rtrim({piece}, '}}'), '{{')")).collect();
            format!("'{{' || {} || '}}'", inner.join(" || ',' || "))
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_row_of_many_columns_is_one_object_with_its_nulls() {
        let conn = Connection::open_in_memory().unwrap();
        let names: Vec<String> = (0..130).map(|i| format!("c{i}")).collect();
        conn.execute_batch(&format!(
            "CREATE TABLE t ({}); INSERT INTO t (c0, c39, c40, c129) VALUES (x'00ff', '}}', '{{', 1.5)",
            names.join(", ")
        ))
        .unwrap();
        let sql = format!("SELECT {} FROM t AS r", row_json(names.iter().map(String::as_str), "r"));
        let text: String = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let all = value.as_object().unwrap();
        assert_eq!(
            (all.len(), &all["c0"], &all["c39"], &all["c40"]),
            (130, &"X'00FF'".into(), &"}".into(), &"{".into())
        );
        assert!(all["c41"].is_null() && all["c129"] == 1.5);
        assert_eq!(row_json(std::iter::empty(), "r"), "'{}'");
    }
}
