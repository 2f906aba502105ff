//! Tables of any shape: columns that are added and rolled back leave no trace.

use crate::support::{plan, sql};
use cutover_core::{Applied, Verdict};
use cutover_tests::Fixture;
use proptest::prelude::*;
use tempfile::TempDir;

/// A column: a name that may need quotes, and what follows it.
fn column(prefix: &'static str) -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof!["[a-z]{1,4}", "[A-Z][a-z ]{0,3}x", "ö[a-z]{1,2}", "select|order|check"];
    let rest = prop_oneof![
        Just(""),
        Just(" TEXT"),
        Just(" INTEGER DEFAULT -1"),
        Just(" TEXT COLLATE NOCASE DEFAULT 'it''s, (odd)'"),
        Just(" VARCHAR(10) NOT NULL DEFAULT ''"),
        Just(" REAL CHECK (1 < 2)"),
        Just(" NUMERIC(4, 2) -- a note, with (signs)\n"),
        Just(" TIMESTAMP DEFAULT NULL"),
    ];
    (name, rest).prop_map(move |(name, rest)| (format!("{prefix}{name}"), rest.to_owned()))
}

fn definitions(columns: &[(String, String)]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let new = columns.iter().filter(|(name, _)| seen.insert(name.to_lowercase()));
    new.map(|(name, rest)| format!("\"{name}\"{rest}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn added_columns_roll_back_without_a_trace(
        old in prop::collection::vec(column("o"), 1..5),
        new in prop::collection::vec(column("n"), 1..4),
        already in 0..3usize,
        tail in prop_oneof![Just(""), Just(", CHECK (1 < 3)"), Just(", UNIQUE (\"id\")"), Just(", FOREIGN KEY (\"id\") REFERENCES p(x)")],
        options in prop_oneof![Just(""), Just(" WITHOUT ROWID"), Just(" /* end */ ")],
        table in prop_oneof!["[a-z]{2,5}", "t[ .'][a-z]", "group"],
        rows in 0..4u32,
    ) {
        let root = TempDir::new().expect("a temporary folder");
        let name = format!("\"{table}\"");
        let (old, new) = (definitions(&old), definitions(&new));
        sql(root.path(), &format!("CREATE TABLE {name} (\"id\" INTEGER PRIMARY KEY, {}{tail}){options}", old.join(", ")));
        for row in 0..rows {
            sql(root.path(), &format!("PRAGMA foreign_keys = OFF; INSERT INTO {name} (\"id\") VALUES ({row})"));
        }
        for definition in new.iter().take(already.min(new.len() - 1)) {
            let bare = definition.split(" --").next().unwrap_or_default();
            sql(root.path(), &format!("ALTER TABLE {name} ADD COLUMN {bare}"));
        }
        let with = format!(
            "{{ table = {}, add = [{}] }}",
            serde_json::json!(table),
            new.iter().map(|d| serde_json::json!(d).to_string()).collect::<Vec<_>>().join(", ")
        );
        let bench = Fixture::new(plan(&[("it", "columns", &with)])).open(root.path());
        let before = bench.fingerprints().expect("fingerprints");
        let Applied::Changed(receipt) = bench.apply("it").expect("applies") else { panic!("nothing changed") };
        prop_assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
        bench.rollback("it", Some(&receipt)).expect("rolls back");
        let after = bench.fingerprints().expect("fingerprints");
        prop_assert_eq!(before["brain"].changes(&after["brain"]), Vec::<String>::new());
    }
}
