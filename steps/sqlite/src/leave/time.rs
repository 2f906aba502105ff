//! Times as databases hold them, as seconds since 1970.
//!
//! Owns the SQL that reads one. What cannot be a time of our days comes to NULL: such a row is never old.

/// The seconds of a date or a time as a plan has it; UTC without an offset.
pub(super) fn moment(text: &str) -> Option<i64> {
    let with_offset = text.parse::<jiff::Timestamp>().ok();
    let without = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    with_offset.or_else(|| Some(without()?.timestamp())).map(jiff::Timestamp::as_second)
}

/// An SQL expression for the seconds of the time in `column` (quoted): text that begins with a date (with a `T` or a
/// space, fractions, `Z`, an offset; UTC without one), or a number of seconds, milliseconds, microseconds or nanoseconds,
/// told by its size. Numbers before 1973 are counters rather than times, and so is 0.
pub(super) fn seconds(column: &str) -> String {
    let text =
        format!("CASE WHEN {column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' THEN unixepoch({column}) END");
    let number = format!(
        "CASE WHEN {column} BETWEEN 100000000 AND 99999999999 THEN CAST({column} AS INTEGER) \
         WHEN {column} BETWEEN 100000000000 AND 99999999999999 THEN CAST({column} / 1000 AS INTEGER) \
         WHEN {column} BETWEEN 100000000000000 AND 99999999999999999 THEN CAST({column} / 1000000 AS INTEGER) \
         WHEN {column} >= 100000000000000000 THEN CAST({column} / 1000000000 AS INTEGER) END"
    );
    format!("CASE typeof({column}) WHEN 'text' THEN {text} WHEN 'integer' THEN {number} WHEN 'real' THEN {number} END")
}

/// An SQL expression by which values of `column` are in order: times in text by when they are, all else as it is.
pub(super) fn order(column: &str) -> String {
    format!(
        "CASE WHEN typeof({column}) = 'text' AND {column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' \
         THEN julianday({column}) ELSE {column} END"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn a_moment_of_a_plan_is_a_date_or_a_time() {
        for text in ["2025-11-13", "2025-11-13T00:00:00Z", "2025-11-13 00:00:00", "2025-11-13T02:00:00+02:00"] {
            assert_eq!(moment(text), Some(1_762_992_000), "{text}");
        }
        assert_eq!([moment(""), moment("yesterday"), moment("2025-13-01")], [None; 3]);
    }

    #[test]
    fn every_form_of_a_time_is_read_and_nothing_else_is_taken_for_one() {
        let conn = Connection::open_in_memory().unwrap();
        let read = |value: &str| -> Option<i64> {
            conn.query_row(&format!("SELECT {} FROM (SELECT {value} AS t)", seconds("t")), [], |row| row.get(0))
                .unwrap()
        };
        let forms = [
            "'2025-11-13 08:20:00'",
            "'2025-11-13T08:20:00'",
            "'2025-11-13T08:20:00.999Z'",
            "'2025-11-13T10:20:00+02:00'",
            "1763022000",
            "1763022000.75",
            "1763022000123",
            "1763022000123456",
            "1763022000123456789",
        ];
        for form in forms {
            assert_eq!(read(form), Some(1_763_022_000), "{form}");
        }
        assert_eq!(read("'2025-11-13'"), Some(1_762_992_000));
        let none = [
            "NULL",
            "''",
            "'garbage'",
            "'now'",
            "'12:00'",
            "'1763022000'",
            "'2460000.5'",
            "'0000-00-00 00:00:00'",
            "0",
            "7",
            "-1763022000",
            "-9223372036854775808",
            "x'323032352d31312d3133'",
            "'2025-13-45'",
            "1e999 - 1e999",
        ];
        for value in none {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
