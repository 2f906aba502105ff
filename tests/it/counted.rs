//! A gate on what programs that link `cutover-dual` counted: the phase that docs/mapping.md shows, in the plan of `stages`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cutover_dual::{Counters, DualReader};
use rusqlite::{Connection, Result};

use crate::stages::{self, ends_well};
use crate::system::System;

/// The phase, word by word as it is shown.
fn shown() -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mapping.md");
    let document = fs::read_to_string(document).unwrap();
    let mut blocks = document.split("```toml\n").map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains("gate.metric")).unwrap().to_owned()
}

/// A program: it reads `found` outputs that there are and `missing` that there are not, compares each read, and ends. Its query of
/// the new schema is right or wrong.
fn run(system: &System, [found, missing]: [i64; 2], right: bool) {
    let conn = Connection::open(system.db()).unwrap();
    let counters = Arc::new(Counters::default());
    let reader = DualReader::new("consensus", counters.clone()).compare_every(1);
    let ids = |conn: &Connection, sql: &str, id: i64| -> Result<Vec<String>> {
        conn.prepare_cached(sql)?.query_map([id], |row| row.get(0))?.collect()
    };
    let new =
        if right { "SELECT agent FROM outputs WHERE id = ?1" } else { "SELECT content FROM outputs WHERE id = ?1" };
    for id in (0..found).map(|_| 1).chain((0..missing).map(|_| -1)) {
        let old = |conn: &Connection| ids(conn, "SELECT agent FROM artifacts WHERE id = ?1", id);
        reader.read_compared(&conn, |conn| ids(conn, new, id), old, |found| !found.is_empty()).unwrap();
    }
    counters.flush(&conn, "consensus").unwrap();
}

#[test]
fn a_gate_holds_the_writers_back_until_programs_have_read_the_new_schema_well() {
    let system = stages::system();
    let writers = "[[phase]]\nname = \"writers\"";
    system.write("plan.toml", &stages::plan().replace(writers, &format!("{}\n{writers}", shown())));
    ends_well(&system, "apply", &["--to", "readers"]);
    let refused = |reads, right, expected: &str| {
        run(&system, reads, right);
        let ran = system.cutover("apply", &["--to", "writers"]);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(ran.code == Some(100) && said.contains(expected), "{expected}: {:?}\n{said}", ran.code);
        assert_eq!(system.ask("SELECT stage FROM _cutover_stage"), "prefer-new", "{expected}");
    };
    refused([0, 0], true, "is 0, allowed is at least 1000");
    refused([900, 100], true, "is 10 %, allowed is at most 5 %");
    refused([2000, 0], false, "is 2000, allowed is at most 0");
    system.ask("DELETE FROM _cutover_counters");
    // Two programs, of which neither has read enough.
    run(&system, [500, 20], true);
    run(&system, [500, 0], true);
    ends_well(&system, "apply", &["--to", "writers"]);
    assert_eq!(system.ask("SELECT stage FROM _cutover_stage"), "new-only");
}
