//! What a mapping file may say, and what is said of one that says it wrong.

use std::fmt::Write as _;

use rusqlite::Connection;

use super::stage::{self, Stage};
use super::{KeyColumn, Mapping, read};

/// The mapping of the module's documentation.
fn documented() -> String {
    let lines = include_str!("mod.rs").lines().skip_while(|line| *line != "//! ```toml").skip(1);
    lines
        .take_while(|line| *line != "//! ```")
        .map(|line| format!("{}\n", line.trim_start_matches("//!").trim()))
        .collect()
}

fn parsed(text: &str) -> Mapping {
    read::mapping("mapping", "maps/mapping.toml", text).unwrap()
}

/// Every mistake by line and column.
fn mistakes(text: &str) -> String {
    let error = read::mapping("mapping", "maps/mapping.toml", text).unwrap_err();
    let mut out = String::new();
    for d in &error.in_file {
        let at = d.span.as_ref().map_or(0, |span| span.start);
        let line = text[..at].matches('\n').count() + 1;
        let column = at - text[..at].rfind('\n').map_or(0, |n| n + 1) + 1;
        let more = [d.label.as_deref(), d.help.as_deref()].map(|t| t.map(|t| format!(" | {t}")).unwrap_or_default());
        writeln!(out, "{line}:{column} {}{}", d.message, more.concat()).unwrap();
    }
    out
}

#[test]
fn the_documented_mapping_is_read_whole() {
    let mapping = parsed(&documented());
    assert_eq!(mapping.name, "consensus");
    let pair = mapping.pair("outputs").unwrap();
    assert_eq!((pair.old.as_str(), pair.new.as_str()), ("consensus_artifacts", "agent_outputs"));
    assert_eq!(pair.key, [KeyColumn { old: "id".to_owned(), new: "id".to_owned(), negated: false }]);
    assert_eq!(
        pair.forth.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
        ["agent_name", "content", "output_timestamp"]
    );
    assert_eq!(pair.back.iter().find_map(|c| c.lossy.as_deref()), Some("seconds"));
    assert_eq!((pair.check[0].from, pair.check[0].to), (946_684_800_000, 4_102_444_800_000));
    assert_eq!(pair.parent.as_ref().unwrap().refers, "run_id");
}

#[test]
fn a_mapping_without_a_name_has_the_name_of_its_file() {
    let text = documented().replace("name = \"consensus\"", "#");
    assert_eq!(parsed(&text).name, "mapping");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let text = "nane = 'x'\n[[table]]\nname = 'Out'\nold = '_cutover_x'\nkey = [{ old = 'id' }]\nwhen = 'old.a ='\n\
        [table.forth]\na = 'old.a; DROP TABLE t'\nb = 'frob(1)'\nid = 3\n[table.back]\nc = { sql = 'new.c', losy = 'x' }\n\
        d = ':v'\n[table.check]\nz = { from = '2000', to = '2100-01-01', unit = 'ms' }\n\
        a = { from = '5', to = '5' }\n[table.parent]\nnew = 'runs'\nrefers = ''\n";
    insta::assert_snapshot!(mistakes(text));
}

#[test]
fn columns_of_the_key_are_not_mapped_again() {
    let text = "[[table]]\nname = 'a'\nold = 'o'\nnew = 'n'\nkey = [{ old = 'id', new = 'nid' }]\n[table.forth]\nNID = 'old.id'\n\
        run = '1'\n[table.back]\nid = 'new.nid'\n[table.parent]\nnew = 'p'\nid = 'id'\nrefers = 'run'\nkey = { k = 'old.k' }\n\
        [[table]]\nname = 'b'\nold = 'O'\nnew = 'm'\nkey = [{ old = 'id', new = 'id' }]\n";
    insta::assert_snapshot!(mistakes(text));
}

#[test]
fn a_key_that_is_not_the_same_and_rows_that_are_shown_under_a_condition() {
    let text = "[[table]]\nname = 's'\nold = 'o'\nnew = 'n'\nkey = [{ old = 'id', new = 'nid', negated = true }]\n\
        when_new = 'new.x IS NOT NULL'\n[table.forth]\nx = 'old.x'\n[table.back]\nx = 'new.x'\n[table.gone]\nx = 'NULL'\n";
    let mapping = parsed(text);
    let pair = &mapping.pairs[0];
    assert_eq!((pair.key[0].across("a.b"), pair.when_new.as_deref()), ("-(a.b)".to_owned(), Some("new.x IS NOT NULL")));
    assert_eq!((pair.gone[0].name.as_str(), pair.gone[0].sql.as_str()), ("x", "NULL"));
    assert_eq!(mapping.shown_of("N").collect::<Vec<_>>(), ["new.x IS NOT NULL"]);
    let child = "[[table]]\nname = 'c'\nold = 'oc'\nnew = 'nc'\nkey = [{ old = 'id', new = 'id' }]\n\
        [table.parent]\nnew = 'N'\nid = 'nid'\nrefers = 'n'\nkey = { k = 'old.k' }\n";
    assert!(read::mapping("mapping", "m.toml", &format!("{text}{child}")).is_ok());
    let wrong = format!("{text}{child}").replace("'NULL'", "'new.y'").replace("'new.x IS", "'parent.x IS");
    let twice = wrong.replace(
        "new = 'nid', negated = true }",
        "new = 'nid', negated = 1 }, { old = 'a', new = 'b', negated = true }",
    );
    insta::assert_snapshot!(mistakes(&twice));
}

#[test]
fn what_is_no_toml_is_told_like_a_plan_that_is_none() {
    insta::assert_snapshot!(mistakes("[[table]]\nname = 'a\n"));
    insta::assert_snapshot!(mistakes("name = 'a'\n"));
}

#[test]
fn a_stage_is_one_row_and_none_is_the_first_stage() {
    let conn = Connection::open_in_memory().unwrap();
    let step = cutover_core::StepInfo { run: "r1".to_owned(), ..Default::default() };
    let now = jiff::Timestamp::UNIX_EPOCH;
    assert_eq!(stage::read(&conn, "m").unwrap(), Stage::OldOnly);
    stage::set(&conn, "m", Stage::DualWrite, &step, now).unwrap();
    stage::set(&conn, "m", Stage::PreferNew, &step, now).unwrap();
    assert_eq!(stage::read(&conn, "m").unwrap(), Stage::PreferNew);
    assert_eq!(stage::read(&conn, "other").unwrap(), Stage::OldOnly);
    let row: (i64, String) =
        conn.query_row("SELECT count(*), changed_at FROM _cutover_stage", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    assert_eq!(row, (1, "1970-01-01T00:00:00Z".to_owned()));
    stage::set(&conn, "m", Stage::OldOnly, &step, now).unwrap();
    stage::drop_empty(&conn).unwrap();
    assert_eq!(stage::read(&conn, "m").unwrap(), Stage::OldOnly);
    conn.execute_batch(&stage::create_sql()).unwrap();
    conn.execute_batch("INSERT INTO _cutover_stage VALUES ('m', 'sideways', '', '')").unwrap();
    assert!(stage::read(&conn, "m").unwrap_err().to_string().contains("sideways"));
}
