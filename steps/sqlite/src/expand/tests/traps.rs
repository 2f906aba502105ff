//! The traps that break naive dual schemas, one test each.

use super::support::{BEFORE, Consensus, MAPPING, PLAIN, SCHEMA, World};

#[test]
fn a_new_row_during_the_backfill_never_takes_the_id_of_an_old_one() {
    let world = Consensus::over(BEFORE);
    world.run(
        "INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok) VALUES ('s9', 'spec-plan', 1763028001000, 1);
         INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) VALUES (1, 'new', '{}', 1763028001000)",
    );
    assert_eq!(world.list("SELECT id FROM agent_outputs"), "8");
    assert_eq!(world.list("SELECT id, agent_name FROM consensus_artifacts"), "1|claude\n7|gemini\n8|new");
}

#[test]
fn a_new_row_with_the_id_of_an_old_one_that_is_not_there_yet_meets_it() {
    let world = Consensus::over(BEFORE);
    world.run("INSERT INTO consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok) VALUES (50, 's9', 'spec-plan', 1763028001000, 1)");
    let insert = "INTO agent_outputs (id, run_id, agent_name, content, output_timestamp) VALUES (7, 50, 'new', '{}', 1763028001000)";
    let error = world.conn.execute_batch(&format!("INSERT {insert}")).unwrap_err();
    assert!(error.to_string().contains("UNIQUE constraint failed: agent_outputs.id"), "{error}");
    world.run(&format!("INSERT OR IGNORE {insert}"));
    assert_eq!(world.list("SELECT agent_name FROM agent_outputs WHERE id = 7"), "gemini");
    world.run(&format!("INSERT OR REPLACE {insert}"));
    assert_eq!(world.list("SELECT agent_name, spec_id FROM consensus_artifacts WHERE id = 7"), "new|s9");
}

#[test]
fn a_new_row_that_is_given_the_id_of_an_old_one_that_is_not_there_yet_takes_nothing_away() {
    let world = World::open(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT); INSERT INTO notes VALUES (1, 'one'), (2, 'two');
         CREATE TABLE remarks (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT);",
        "[[table]]\nname = 'notes'\nold = 'notes'\nnew = 'remarks'\nkey = [{ old = 'id', new = 'id' }]\n\
         [table.forth]\nbody = 'old.text'\n[table.back]\ntext = 'new.body'\n",
    );
    // Somebody resets the counter: the next id is the one above the highest in the new table, and nobody knows it before.
    world.run("DELETE FROM sqlite_sequence WHERE name = 'remarks'; INSERT INTO remarks (body) VALUES ('new')");
    assert_eq!(world.list("SELECT id, text FROM notes"), "1|one\n2|two");
    assert_eq!(
        world.list("SELECT side, key, reason, shown FROM _cutover_quarantine"),
        "new|1|its key belongs to another row there|1"
    );
}

#[test]
fn an_upsert_that_moves_a_row_to_another_id_takes_nothing_away() {
    let world = Consensus::open();
    world.run(
        "INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok) VALUES ('s2', 'spec-tasks', 1763028001123, 1);
         INSERT INTO agent_outputs (run_id, agent_name, content, model_version, output_timestamp) VALUES (1, 'gemini', '{}', 'v', 1763028001456)",
    );
    let moves = "INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok) VALUES ('s2', 'spec-tasks', 1763028001123, 1) \
        ON CONFLICT DO UPDATE SET id = 9";
    world.run("PRAGMA foreign_keys = ON");
    let refused = world.conn.execute_batch(moves).unwrap_err().to_string();
    assert!(refused.contains("FOREIGN KEY constraint failed"), "{refused}");
    world.run(&format!("PRAGMA foreign_keys = OFF; {moves}"));
    assert_eq!(world.list("SELECT id, run_id FROM agent_outputs"), "1|1");
    assert_eq!(world.list("SELECT id, spec_id FROM consensus_artifacts"), "1|s2");
    world.run("UPDATE agent_outputs SET run_id = 9");
    world.run(
        "INSERT INTO consensus_artifacts (id, spec_id, stage, agent_name, content_json, created_at) \
         VALUES (1, 's2', 'spec-tasks', 'x', 'x', '2025-11-13 10:00:00') ON CONFLICT DO UPDATE SET id = 5",
    );
    assert_eq!(world.list("SELECT id, run_id, model_version FROM agent_outputs"), "5|9|v");
    world.in_step();
}

#[test]
fn a_new_row_that_moves_to_the_id_of_an_old_one_that_is_not_there_yet_meets_it_too() {
    let world = Consensus::over(BEFORE);
    world.run(
        "INSERT INTO consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok) VALUES (50, 's9', 'spec-plan', 1763028001000, 1);
         INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) VALUES (50, 'new', '{}', 1763028001000)",
    );
    let error = world.conn.execute_batch("UPDATE agent_outputs SET id = 7").unwrap_err();
    assert!(error.to_string().contains("UNIQUE constraint failed: agent_outputs.id"), "{error}");
    assert_eq!(world.list("SELECT id, agent_name FROM consensus_artifacts"), "1|claude\n7|gemini\n8|new");
    world.run("UPDATE OR REPLACE agent_outputs SET id = 7 WHERE id = 8");
    assert_eq!(world.list("SELECT id, agent_name FROM consensus_artifacts"), "1|claude\n7|new");
}

#[test]
fn the_statements_own_conflict_clause_neither_loops_nor_diverges() {
    for recursive in ["ON", "OFF"] {
        for keys in ["ON", "OFF"] {
            for clause in ["", "OR ABORT", "OR FAIL", "OR IGNORE", "OR REPLACE", "OR ROLLBACK"] {
                let world = Consensus::open();
                world.run(&format!("PRAGMA recursive_triggers = {recursive}; PRAGMA foreign_keys = {keys}"));
                world.old("s1", "spec-plan", "claude", "2025-11-13 10:00:00");
                let row = "(1, 's2', 'spec-tasks', 'gemini', '[]', '2025-11-13 10:00:01')";
                let _ = world.conn.execute_batch(&format!(
                    "INSERT {clause} INTO consensus_artifacts (id, spec_id, stage, agent_name, content_json, created_at) VALUES {row}"
                ));
                world.in_step();
                let _ = world.conn.execute_batch(&format!("UPDATE {clause} agent_outputs SET agent_name = NULL"));
                world.in_step();
                world.run(&format!("UPDATE {clause} agent_outputs SET agent_name = 'x', id = 9"));
                assert_eq!(world.list("SELECT id, agent_name FROM consensus_artifacts"), "9|x", "{recursive} {clause}");
                world.in_step();
            }
        }
    }
}

const UNIQUE: &str = "CREATE TABLE o (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT UNIQUE COLLATE NOCASE, v TEXT);
    CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT UNIQUE COLLATE NOCASE, v TEXT);";
#[test]
fn replace_over_a_secondary_unique_key_leaves_no_ghost_on_either_side() {
    for recursive in ["ON", "OFF"] {
        for (here, there) in [("o", "n"), ("n", "o")] {
            let world = World::open(UNIQUE, PLAIN);
            world.run(&format!(
                "PRAGMA recursive_triggers = {recursive}; INSERT INTO {here} (u, v) VALUES ('a', '1'), ('b', '2')"
            ));
            world.run(&format!("INSERT OR REPLACE INTO {here} (u, v) VALUES ('A', '3')"));
            assert_eq!(world.list(&format!("SELECT * FROM {there}")), "2|b|2\n3|A|3", "{here} {recursive}");
            world.run(&format!("UPDATE OR REPLACE {here} SET u = 'B' WHERE id = 3"));
            assert_eq!(world.list(&format!("SELECT * FROM {there}")), "3|B|3", "{here} {recursive}");
            world.run(&format!("INSERT OR IGNORE INTO {here} (u, v) VALUES ('b', '4'); INSERT INTO {here} (u, v) VALUES ('b', '5') ON CONFLICT DO UPDATE SET v = excluded.v"));
            assert_eq!(world.list(&format!("SELECT * FROM {there}")), "3|B|5", "{here} {recursive}");
            world.in_step();
        }
    }
}

#[test]
fn a_change_of_case_alone_is_a_change() {
    let world = World::open(UNIQUE, PLAIN);
    world.run("INSERT INTO o (u, v) VALUES ('a', '1'); UPDATE o SET u = 'A'");
    assert_eq!(world.list("SELECT u FROM n"), "A");
    world.run("UPDATE n SET u = 'a'");
    assert_eq!(world.list("SELECT u FROM o"), "a");
}

#[test]
fn a_parent_that_is_deleted_takes_its_children_along_with_foreign_keys_off_too() {
    for keys in ["ON", "OFF"] {
        let world = Consensus::open();
        world.run(&format!("PRAGMA foreign_keys = {keys}"));
        for agent in ["claude", "gemini", "gpt_pro"] {
            world.old("s1", "spec-plan", agent, "2025-11-13 10:00:00");
        }
        world.old("s2", "spec-plan", "claude", "2025-11-13 10:00:00");
        world.run("DELETE FROM consensus_runs WHERE spec_id = 's1'");
        assert_eq!(world.list("SELECT spec_id FROM consensus_artifacts"), "s2");
        world.run("INSERT OR REPLACE INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok) SELECT spec_id, stage, run_timestamp, 0 FROM consensus_runs");
        assert_eq!(world.list("SELECT spec_id FROM consensus_artifacts"), "", "{keys}");
        world.in_step();
    }
}

#[test]
fn an_edit_of_another_column_leaves_the_raw_text_as_it_was() {
    for raw in ["2025-11-13T10:00:00.5Z", "2025-11-13 12:00:00+02:00", "2025-11-13 10:00"] {
        let world = Consensus::open();
        world.old("s1", "spec-plan", "claude", raw);
        world.run(
            "UPDATE agent_outputs SET content = '[2]'; UPDATE consensus_runs SET spec_id = 's2', consensus_ok = 0",
        );
        assert_eq!(
            world.list("SELECT spec_id, content_json, created_at FROM consensus_artifacts"),
            format!("s2|[2]|{raw}")
        );
        world.in_step();
        world.run("UPDATE agent_outputs SET output_timestamp = 1763028061999");
        assert_eq!(world.list("SELECT created_at FROM consensus_artifacts"), "2025-11-13 10:01:01");
        world.run("UPDATE consensus_artifacts SET agent_name = 'x', response_text = 'kept'");
        assert_eq!(world.list("SELECT output_timestamp FROM agent_outputs"), "1763028061999");
        world.in_step();
    }
}

#[test]
fn what_only_the_new_row_has_outlives_an_edit_of_the_old_one() {
    let world = Consensus::open();
    world.old("s1", "spec-plan", "claude", "2025-11-13 10:00:00");
    world.run(
        "UPDATE agent_outputs SET model_version = 'v3'; UPDATE consensus_artifacts SET content_json = '[3]', id = 5",
    );
    assert_eq!(world.list("SELECT id, model_version, content FROM agent_outputs"), "5|v3|[3]");
    let world = World::open(&UNIQUE.replace("v TEXT);", "v TEXT, only TEXT);"), PLAIN);
    world.run("INSERT INTO o (u, v) VALUES ('a', '1'); UPDATE n SET only = 'new'; UPDATE o SET id = 3; UPDATE o SET only = 'old'; UPDATE n SET id = 4, v = '2'");
    assert_eq!(world.list("SELECT * FROM n UNION ALL SELECT * FROM o"), "4|a|2|new\n4|a|2|old");
}

#[test]
fn an_old_writer_sees_its_own_rows_and_ids() {
    let world = Consensus::over(BEFORE);
    let conn = &world.conn;
    world.old("s1", "spec-plan", "a", "2025-11-13 10:00:00");
    assert_eq!((conn.last_insert_rowid(), conn.changes()), (8, 1));
    let updated = conn.execute("UPDATE consensus_artifacts SET content_json = '[]'", []).unwrap();
    assert_eq!((updated, conn.last_insert_rowid()), (3, 8));
    assert_eq!(conn.execute("DELETE FROM consensus_artifacts WHERE id < 8", []).unwrap(), 2);
    let insert =
        "INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json) VALUES ('s', 't', 'u', '{}')
        ON CONFLICT(id) DO UPDATE SET content_json = 'x' RETURNING id, created_at IS NOT NULL";
    assert_eq!(world.list(insert), "9|1");
    assert_eq!(conn.execute("INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) SELECT run_id, 'n', '{}', 1763028001000 FROM agent_outputs WHERE id = 9", []).unwrap(), 1);
    assert_eq!(conn.last_insert_rowid(), 10);
    world.in_step();
}

#[test]
fn old_rows_of_one_batch_share_a_parent_which_goes_with_the_last_of_them() {
    let world = Consensus::open();
    for agent in ["claude", "gemini"] {
        world.old("s1", "spec-plan", agent, "2025-11-13 10:00:00");
    }
    assert_eq!(world.list("SELECT count(*) FROM consensus_runs"), "1");
    world.run("UPDATE consensus_artifacts SET spec_id = 's2' WHERE id = 1");
    assert_eq!(
        world.list(
            "SELECT spec_id, (SELECT count(*) FROM agent_outputs WHERE run_id = r.id) FROM consensus_runs r ORDER BY 1"
        ),
        "s1|1\ns2|1"
    );
    world.run("DELETE FROM consensus_artifacts WHERE id = 2");
    assert_eq!(world.list("SELECT spec_id FROM consensus_runs"), "s2");
    world.run("UPDATE consensus_artifacts SET created_at = '2025-11-13 10:00:09'");
    assert_eq!(world.list("SELECT spec_id, run_timestamp FROM consensus_runs"), "s2|1763028009000");
    // What a new program wrote into a run is not ours to take away.
    world.run("UPDATE consensus_runs SET synthesis_json = '{}'; DELETE FROM consensus_artifacts");
    assert_eq!(world.list("SELECT count(*) FROM consensus_runs"), "1");
    world.in_step();
}

#[test]
fn children_without_a_parent_wait_for_it() {
    let world = Consensus::open();
    world.run("INSERT INTO agent_outputs (id, run_id, agent_name, content, output_timestamp) VALUES (3, 70, 'n', '{}', 1763028001000)");
    assert_eq!(world.list("SELECT side, reason FROM _cutover_quarantine"), "new|`spec_id` is NULL");
    world.run("INSERT INTO consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok) VALUES (70, 's9', 'spec-plan', 1, 1)");
    assert_eq!(world.list("SELECT id, spec_id FROM consensus_artifacts"), "3|s9");
    // With its key the parent leaves them; under the new one they are found again.
    world.run("UPDATE consensus_runs SET id = 71");
    assert_eq!(world.list("SELECT reason, shown FROM _cutover_quarantine"), "its parent is gone|1");
    assert_eq!(world.list("SELECT count(*) FROM consensus_artifacts"), "1");
    world.run("UPDATE agent_outputs SET run_id = 71, agent_name = 'm'");
    assert_eq!(world.list("SELECT spec_id, agent_name FROM consensus_artifacts"), "s9|m");
    assert_eq!(world.list("SELECT count(*) FROM _cutover_quarantine"), "0");
    world.in_step();
}

#[test]
fn keys_move_on_either_side_also_over_others() {
    for recursive in ["ON", "OFF"] {
        let world = World::open(UNIQUE, PLAIN);
        world.run(&format!(
            "PRAGMA recursive_triggers = {recursive}; INSERT INTO o (u, v) VALUES ('a', '1'), ('b', '2'), ('c', '3')"
        ));
        world.run("UPDATE o SET id = id - 1; UPDATE n SET id = id + 10");
        assert_eq!(world.list("SELECT id, u FROM o"), "10|a\n11|b\n12|c");
        world.run("UPDATE OR REPLACE n SET id = 12 WHERE id = 10; UPDATE OR REPLACE o SET id = 12 WHERE id = 11");
        assert_eq!(world.list("SELECT id, u FROM n"), "12|b");
        assert_eq!(world.list("SELECT id, u FROM o"), "12|b");
        world.in_step();
    }
}

#[test]
fn a_failed_statement_leaves_the_guard_free() {
    let world = Consensus::open();
    world.old("s1", "spec-plan", "a", "2025-11-13 10:00:00");
    for clause in ["", "OR FAIL", "OR ROLLBACK", "OR IGNORE"] {
        let _ = world.conn.execute_batch(&format!(
            "INSERT {clause} INTO consensus_artifacts (id, spec_id, stage, agent_name, content_json) VALUES (20, 's', 't', 'a', '{{}}'), (1, 's', 't', 'a', '{{}}'), (21, 's', 't', 'a', '{{}}')"
        ));
        world.in_step();
        world.run("SAVEPOINT a; DELETE FROM consensus_artifacts; ROLLBACK TO a; RELEASE a");
        world.in_step();
        world.run("DELETE FROM consensus_artifacts WHERE id > 1");
    }
}

#[test]
fn only_rows_that_meet_the_condition_are_mapped() {
    let mapping = PLAIN.replace("[table.forth]", "when = \"old.v <> 'no'\"\n[table.forth]");
    let world = World::open(UNIQUE, &mapping);
    world.run("INSERT INTO o (u, v) VALUES ('a', 'no'); INSERT INTO o (u, v) VALUES ('b', 'yes'); INSERT INTO o (u) VALUES ('c')");
    assert_eq!(world.list("SELECT id FROM n"), "2");
    world.run("UPDATE o SET v = 'yes' WHERE id = 1; UPDATE o SET v = 'no' WHERE id = 2");
    assert_eq!(world.list("SELECT id FROM n"), "1");
    world.run("INSERT INTO n (id, u) VALUES (2, 'x'); DELETE FROM n WHERE id = 2; INSERT INTO n (u) VALUES ('y')");
    assert_eq!(world.list("SELECT id, u FROM o"), "1|a\n2|b\n3|c\n4|y");
}

#[test]
fn a_rename_of_a_column_keeps_the_triggers_right() {
    let world = World::open(UNIQUE, PLAIN);
    world.run("ALTER TABLE n RENAME COLUMN v TO w; INSERT INTO o (u, v) VALUES ('a', '1')");
    assert_eq!(world.list("SELECT w FROM n"), "1");
}

#[test]
fn a_rename_of_a_table_keeps_the_triggers_right() {
    for legacy in ["OFF", "ON"] {
        let world = Consensus::open();
        world.old("s1", "spec-plan", "claude", "2025-11-13 10:00:00");
        world.run(&format!("PRAGMA legacy_alter_table = {legacy}"));
        for table in ["consensus_artifacts", "agent_outputs", "consensus_runs"] {
            world.run(&format!("ALTER TABLE {table} RENAME TO {table}_2"));
            let stale = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%";
            let stale = world.list(&format!("{stale}\"{table}\"%'"));
            // The old way of renaming leaves what triggers say as it was, but for the table that they are on.
            assert_eq!(stale == "0", legacy == "OFF", "{table}");
            world.run(&format!("ALTER TABLE {table}_2 RENAME TO {table}"));
        }
        world.old("s1", "spec-plan", "gemini", "2025-11-13 10:00:00");
        assert_eq!(world.list("SELECT agent_name FROM agent_outputs"), "claude\ngemini", "{legacy}");
        world.in_step();
    }
}

#[test]
fn triggers_of_the_application_run_and_what_they_write_is_shown() {
    let world = World::open(
        &format!("{UNIQUE} CREATE TABLE log (t); CREATE TRIGGER stamp AFTER INSERT ON o BEGIN UPDATE o SET v = 'stamped' WHERE id = NEW.id; END;
            CREATE TRIGGER told AFTER INSERT ON n BEGIN INSERT INTO log VALUES (NEW.u); END;"),
        PLAIN,
    );
    world.run("INSERT INTO o (u, v) VALUES ('a', '1')");
    assert_eq!(world.list("SELECT v FROM n"), "stamped");
    assert_eq!(world.list("SELECT t FROM log"), "a");
    world.in_step();
}

#[test]
fn nothing_needs_trust_in_the_schema() {
    let world = World::open(SCHEMA, MAPPING);
    world.run("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
    world.run("INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json, created_at) VALUES ('s', 't', 'a', x'00ff', 'x')");
    assert_eq!(world.list("SELECT json_extract(row, '$.content_json') FROM _cutover_quarantine"), "X'00FF'");
}

#[test]
fn columns_may_have_the_names_that_stand_for_something_in_our_own_views() {
    let world = World::open(
        "CREATE TABLE groups (id INTEGER PRIMARY KEY, absent TEXT UNIQUE, behind TEXT);
         CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, why TEXT CHECK (why <> 'bad'), taken TEXT, moved TEXT, regroups TEXT,
           key TEXT);
         CREATE TABLE remarks (id INTEGER PRIMARY KEY AUTOINCREMENT, pair INTEGER REFERENCES groups (id), why TEXT, taken TEXT, moved TEXT,
           regroups TEXT, absent TEXT CHECK (absent <> 'no'), behind TEXT DEFAULT 'b');",
        "[[table]]\nname = 'notes'\nold = 'notes'\nnew = 'remarks'\nkey = [{ old = 'id', new = 'id' }]\n\
         [table.parent]\nnew = 'groups'\nid = 'id'\nrefers = 'pair'\nkey = { absent = 'old.key' }\nset = { behind = \"'g'\" }\n\
         [table.forth]\nwhy = 'old.why'\ntaken = 'old.taken'\nmoved = 'old.moved'\nregroups = 'old.regroups'\nabsent = 'old.why'\n\
         [table.back]\nwhy = 'new.why'\ntaken = 'new.taken'\nmoved = 'new.moved'\nregroups = 'new.regroups'\nkey = 'parent.absent'\n",
    );
    world.run("INSERT INTO notes VALUES (1, 'w', '1', '1', '1', 'one'), (2, 'w', '1', '1', '1', 'one')");
    world.run("UPDATE notes SET moved = '3', key = 'two' WHERE id = 2; UPDATE remarks SET taken = '2' WHERE id = 1");
    assert_eq!(world.list("SELECT * FROM notes"), "1|w|2|1|1|one\n2|w|1|3|1|two");
    assert_eq!(
        world.list("SELECT r.*, g.absent FROM remarks AS r JOIN groups AS g ON g.id = r.pair ORDER BY r.id"),
        "1|1|w|2|1|1|w|b|one\n2|2|w|1|3|1|w|b|two"
    );
    world.run("UPDATE groups SET absent = 'three' WHERE id = 2; UPDATE remarks SET why = 'bad' WHERE id = 2; UPDATE notes SET why = 'no' WHERE id = 1");
    assert_eq!(world.list("SELECT id, key FROM notes"), "1|one\n2|three");
    assert_eq!(
        world.list("SELECT key, reason FROM _cutover_quarantine"),
        "2|CHECK (why <> 'bad') does not hold\n1|CHECK (absent <> 'no') does not hold"
    );
}
