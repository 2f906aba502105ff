//! What the other side would not take is set aside with the reason, and refuses nobody.

use super::support::{BEFORE, Consensus, PLAIN, World};

#[test]
fn a_row_that_moves_to_where_a_new_row_is_in_quarantine_is_not_refused() {
    let world = World::open(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT CHECK (text <> 'no'));
         CREATE TABLE remarks (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT);",
        "[[table]]\nname = 'notes'\nold = 'notes'\nnew = 'remarks'\nkey = [{ old = 'id', new = 'id' }]\n\
         [table.forth]\nbody = 'old.text'\n[table.back]\ntext = 'new.body'\n",
    );
    world.run(
        "INSERT INTO notes VALUES (1, 'one'); UPDATE remarks SET body = 'no'; INSERT INTO remarks VALUES (2, 'no')",
    );
    world.run("UPDATE notes SET id = 2");
    assert_eq!(world.list("SELECT id, text FROM notes"), "2|one");
    assert_eq!(world.list("SELECT id, body FROM remarks"), "2|no");
    assert_eq!(
        world.list("SELECT side, key, reason FROM _cutover_quarantine"),
        "new|2|CHECK (text <> 'no') does not hold\nold|2|its key belongs to another row there"
    );
}

#[test]
fn an_id_of_an_old_row_in_quarantine_is_never_overwritten() {
    let world = Consensus::over(BEFORE);
    world.old("s1", "spec-plan", "claude", "garbage");
    assert_eq!(
        world.list("SELECT pair, side, key, reason, shown FROM _cutover_quarantine"),
        "outputs|old|8|`output_timestamp` is NULL|0"
    );
    assert_eq!(
        world.list("SELECT row FROM _cutover_quarantine"),
        r#"{"id":8,"spec_id":"s1","stage":"spec-plan","agent_name":"claude","content_json":"{}","response_text":null,"run_id":null,"created_at":"garbage"}"#
    );
    world.run("INSERT INTO consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok) VALUES (50, 's9', 'spec-plan', 1763028001000, 1);
        INSERT INTO agent_outputs (id, run_id, agent_name, content, output_timestamp) VALUES (8, 50, 'new', '{}', 1763028001000)");
    assert_eq!(world.list("SELECT agent_name, created_at FROM consensus_artifacts WHERE id = 8"), "claude|garbage");
    assert_eq!(
        world.list("SELECT side, reason FROM _cutover_quarantine WHERE side = 'new'"),
        "new|its key belongs to another row there"
    );
    // Each goes alone, and leaves the other.
    world.run("DELETE FROM agent_outputs WHERE id = 8");
    assert_eq!(world.list("SELECT count(*) FROM consensus_artifacts WHERE id = 8"), "1");
    world.run("UPDATE consensus_artifacts SET created_at = '2025-11-13 10:00:00' WHERE id = 8");
    assert_eq!(world.list("SELECT agent_name FROM agent_outputs WHERE id = 8"), "claude");
    assert_eq!(world.list("SELECT count(*) FROM _cutover_quarantine"), "0");
}

#[test]
fn the_next_new_id_is_above_an_old_row_in_quarantine() {
    let world = Consensus::open();
    world.old("s1", "spec-plan", "claude", "0000-00-00 00:00:00");
    world.run("INSERT INTO consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok) VALUES (50, 's9', 'spec-plan', 1763028001000, 1);
        INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) VALUES (50, 'new', '{}', 1763028001000)");
    assert_eq!(world.list("SELECT id FROM agent_outputs"), "2");
    world.in_step();
}

#[test]
fn times_that_do_not_convert_are_quarantined_and_refuse_no_writer() {
    let world = Consensus::open();
    for raw in ["garbage", "", "1763031600", "0000-00-00 00:00:00", "1999-12-31 23:59:59", "2100-01-01 00:00:00"] {
        world.old("s1", "spec-plan", raw, raw);
    }
    assert_eq!(world.list("SELECT count(*) FROM agent_outputs"), "0");
    assert_eq!(
        world.list("SELECT key, reason FROM _cutover_quarantine ORDER BY key"),
        "1|`output_timestamp` is NULL\n2|`output_timestamp` is NULL\n3|`output_timestamp` is NULL\n\
         4|`output_timestamp` is NULL\n5|`output_timestamp` is outside of 2000-01-01 to 2100-01-01 in ms\n\
         6|`output_timestamp` is outside of 2000-01-01 to 2100-01-01 in ms"
    );
    world.run("UPDATE consensus_artifacts SET created_at = '2025-11-13 10:00:00' WHERE id < 3; DELETE FROM consensus_artifacts WHERE id = 3");
    assert_eq!(world.list("SELECT key FROM _cutover_quarantine ORDER BY key"), "4\n5\n6");
    world.run("UPDATE consensus_artifacts SET created_at = 'x' WHERE id = 1");
    assert_eq!(world.list("SELECT id FROM agent_outputs"), "2");
    world.in_step();
}

#[test]
fn what_the_new_table_would_refuse_is_quarantined() {
    let world = World::open(
        "CREATE TABLE o (id INTEGER PRIMARY KEY AUTOINCREMENT, u, v);
         CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT CHECK (length(u) < 5), v INTEGER UNIQUE, w TEXT NOT NULL DEFAULT 'x' CHECK (w <> '')) STRICT;",
        PLAIN,
    );
    for clause in ["", "OR FAIL", "OR IGNORE", "OR REPLACE"] {
        world.run(&format!(
            "DELETE FROM o; INSERT {clause} INTO o (u, v) VALUES ('long text', 1), ('ok', 2), ('ok', 2), ('ok', 'text'), (x'00', 3)"
        ));
        assert_eq!(world.list("SELECT count(*), min(v) FROM n"), "1|2", "{clause}");
        assert_eq!(
            world.list("SELECT reason FROM _cutover_quarantine ORDER BY CAST(key AS INTEGER)"),
            "CHECK (length(u) < 5) does not hold\nanother row has its (v)\n`v` is no INTEGER\n`u` is no TEXT",
            "{clause}"
        );
        world.in_step();
    }
}

#[test]
fn what_the_quarantine_says_of_a_new_row_goes_with_an_old_row_that_replace_took_away() {
    let world = World::open(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, text TEXT CHECK (text <> 'no'));
         CREATE TABLE remarks (id INTEGER PRIMARY KEY AUTOINCREMENT, slug TEXT, body TEXT);",
        "[[table]]\nname = 'notes'\nold = 'notes'\nnew = 'remarks'\nkey = [{ old = 'id', new = 'id' }]\n\
         [table.forth]\nslug = 'old.slug'\nbody = 'old.text'\n[table.back]\nslug = 'new.slug'\ntext = 'new.body'\n",
    );
    world.run("INSERT INTO notes VALUES (1, 'a', 'one'); UPDATE remarks SET body = 'no'");
    assert_eq!(world.list("SELECT side, key, shown FROM _cutover_quarantine"), "new|1|1");
    world.run("INSERT OR REPLACE INTO notes VALUES (2, 'a', 'two')");
    assert_eq!(world.list("SELECT * FROM remarks"), "2|a|two");
    assert_eq!(world.list("SELECT side, key FROM _cutover_quarantine"), "");
}
