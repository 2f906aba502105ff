//! A new table that is the parent of one pair and shows the rows of another: its ids are each side's own, and only some of
//! its rows are shown.

use super::support::{MAPPING, SCHEMA, SYNTHESES, SYNTHESES_MAPPING, World, shared};

const RUN: &str = "INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok, synthesis_json)";
const SYNTHESIS: &str = "INSERT INTO consensus_synthesis (spec_id, stage, output_markdown, created_at)";

/// A run of a new program with one output.
fn run_with_output(world: &World, synthesis: &str) {
    world.run(&format!(
        "{RUN} VALUES ('s1', 'spec-plan', 1763028001123, 1, {synthesis});
         INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) VALUES (last_insert_rowid(), 'gemini', '{{}}', 1763028001456)"
    ));
}

#[test]
fn both_sides_hand_out_ids_of_their_own_that_never_meet() {
    let world = shared();
    run_with_output(&world, "'{\"output_markdown\":\"new\"}'");
    world.run(&format!("{SYNTHESIS} VALUES ('s1', 'spec-plan', 'old', '2025-11-13 10:00:01')"));
    assert_eq!(
        world.list("SELECT id, output_markdown, created_at FROM consensus_synthesis ORDER BY id"),
        "-1|new|2025-11-13 10:00:01\n1|old|2025-11-13 10:00:01"
    );
    assert_eq!(
        world.list("SELECT id, run_timestamp, json_extract(synthesis_json, '$.output_markdown') FROM consensus_runs ORDER BY id"),
        "-1|1763028001002|old\n1|1763028001123|new"
    );
    world.run(&format!("{SYNTHESIS} VALUES ('s2', 'spec-plan', 'two', '2025-11-13 10:00:01')"));
    run_with_output_of(&world, "s3");
    assert_eq!(world.list("SELECT id FROM consensus_synthesis ORDER BY id"), "-2\n-1\n1\n2");
    world.run("DELETE FROM consensus_runs WHERE id < 0");
    assert_eq!(world.list("SELECT id FROM consensus_synthesis ORDER BY id"), "-2\n-1");
    world.in_step();
}

#[test]
fn new_ids_go_on_behind_those_that_old_rows_below_zero_take() {
    let schema = "INSERT INTO consensus_synthesis (id, spec_id, stage, output_markdown, created_at)
        VALUES (-7, 's1', 'spec-plan', 'below', '2025-11-13 10:00:01');";
    let world = World::open(&format!("{SCHEMA}{SYNTHESES}{schema}"), &format!("{MAPPING}{SYNTHESES_MAPPING}"));
    run_with_output_of(&world, "s3");
    assert_eq!(world.list("SELECT id FROM consensus_runs"), "8");
    assert_eq!(world.list("SELECT id, output_markdown FROM consensus_synthesis WHERE id = -7"), "-7|below");
}

fn run_with_output_of(world: &World, spec: &str) {
    world.run(&format!("{RUN} VALUES ('{spec}', 'spec-plan', 1763028009123, 1, '{{}}')"));
}

#[test]
fn a_run_is_a_synthesis_from_when_it_has_one_until_it_has_none() {
    let world = shared();
    run_with_output(&world, "NULL");
    assert_eq!(world.list("SELECT count(*) FROM consensus_synthesis"), "0");
    assert_eq!(world.list("SELECT agent_name FROM consensus_artifacts"), "gemini");
    world.run("UPDATE consensus_runs SET synthesis_json = '{\"output_markdown\":\"late\"}'");
    assert_eq!(world.list("SELECT id, output_markdown FROM consensus_synthesis"), "-1|late");
    world.in_step();
    world.run("UPDATE consensus_runs SET id = 7, run_timestamp = 1763028002000 WHERE id = 1; UPDATE agent_outputs SET run_id = 7");
    assert_eq!(world.list("SELECT id, created_at FROM consensus_synthesis"), "-7|2025-11-13 10:00:02");
    world.in_step();
    world.run("UPDATE consensus_runs SET synthesis_json = NULL");
    assert_eq!(world.list("SELECT count(*) FROM consensus_synthesis"), "0");
    assert_eq!(world.list("SELECT agent_name FROM consensus_artifacts"), "gemini");
    world.in_step();
}

#[test]
fn an_old_synthesis_that_goes_leaves_the_run_that_others_need() {
    for keys in ["ON", "OFF"] {
        let world = shared();
        world.run(&format!("PRAGMA foreign_keys = {keys}"));
        // Made by a new program: with an output, and without.
        run_with_output(&world, "'{}'");
        run_with_output_of(&world, "s3");
        // Made by an old one; a new program added an output to the second.
        world.run(&format!("{SYNTHESIS} VALUES ('s1', 'spec-plan', 'a', '2025-11-13 10:00:01'), ('s2', 'spec-plan', 'b', '2025-11-13 10:00:01')"));
        world.run("INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) VALUES (-2, 'claude', '{}', 1763028001456)");
        assert_eq!(world.list("SELECT count(*) FROM consensus_synthesis"), "4");
        world.run("DELETE FROM consensus_synthesis");
        assert_eq!(
            world.list("SELECT id, synthesis_json FROM consensus_runs ORDER BY id"),
            "-2|null\n1|null\n2|null",
            "{keys}"
        );
        assert_eq!(world.list("SELECT agent_name FROM consensus_artifacts ORDER BY id"), "gemini\nclaude");
        world.in_step();
    }
}

#[test]
fn the_last_artifact_of_a_run_leaves_its_synthesis() {
    let world = shared();
    world.run("INSERT INTO consensus_artifacts (spec_id, stage, agent_name, content_json, created_at) VALUES ('s1', 'spec-plan', 'a', '{}', '2025-11-13 10:00:00')");
    world.run("UPDATE consensus_runs SET synthesis_json = '{}'; DELETE FROM consensus_artifacts");
    assert_eq!(world.list("SELECT id FROM consensus_synthesis"), "-1");
    world.in_step();
    world.run("DELETE FROM consensus_synthesis");
    assert_eq!(world.list("SELECT id, synthesis_json FROM consensus_runs"), "1|null");
    world.in_step();
}

#[test]
fn a_run_that_a_synthesis_made_is_moved_with_its_outputs_and_goes_without_them() {
    for keys in ["ON", "OFF"] {
        let world = shared();
        world.run(&format!(
            "PRAGMA foreign_keys = {keys}; {SYNTHESIS} VALUES ('s1', 'spec-plan', 'a', '2025-11-13 10:00:01')"
        ));
        world.run("INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) VALUES (-1, 'claude', '{}', 1763028001456)");
        world.run("UPDATE consensus_synthesis SET spec_id = 's2', output_markdown = 'b'");
        assert_eq!(world.list("SELECT spec_id FROM consensus_artifacts"), "s2");
        // Under another id there is another run: the output stays with its own.
        world.run("UPDATE consensus_synthesis SET id = 5");
        assert_eq!(
            world.list("SELECT id, json_extract(synthesis_json, '$.output_markdown') FROM consensus_runs ORDER BY id"),
            "-5|b\n-1|null"
        );
        assert_eq!(world.list("SELECT spec_id, agent_name FROM consensus_artifacts"), "s2|claude");
        world.in_step();
        world.run("UPDATE consensus_synthesis SET id = 6; DELETE FROM consensus_artifacts");
        assert_eq!(world.list("SELECT id FROM consensus_runs"), "-6", "{keys}");
        world.in_step();
    }
}

#[test]
fn what_a_new_program_deletes_goes_from_all_old_tables() {
    for keys in ["ON", "OFF"] {
        let world = shared();
        world.run(&format!("PRAGMA foreign_keys = {keys}"));
        run_with_output(&world, "'{}'");
        world.run("DELETE FROM consensus_runs");
        assert_eq!(world.list("SELECT count(*) FROM consensus_synthesis"), "0");
        assert_eq!(world.list("SELECT count(*) FROM consensus_artifacts"), "0");
        run_with_output(&world, "'{}'");
        world.run(&format!("INSERT OR REPLACE INTO {} VALUES ('s1', 'spec-plan', 1763028001123, 1, NULL)", &RUN[12..]));
        assert_eq!(world.list("SELECT count(*) FROM consensus_synthesis"), "0", "{keys}");
        assert_eq!(world.list("SELECT count(*) FROM consensus_artifacts"), "0", "{keys}");
        world.in_step();
    }
}

#[test]
fn a_synthesis_whose_place_is_taken_is_quarantined_by_its_own_id() {
    let world = shared();
    world.run(&format!("{RUN} VALUES ('s1', 'spec-plan', 1763028001002, 1, NULL); {SYNTHESIS} VALUES ('s1', 'spec-plan', 'a', '2025-11-13 10:00:01')"));
    assert_eq!(
        world.list("SELECT pair, side, key, reason FROM _cutover_quarantine"),
        "syntheses|old|1|another row has its (spec_id, stage, run_timestamp)"
    );
    world.run(&format!("{RUN} VALUES ('s1', 'spec-plan', 1, 1, '{{}}')"));
    assert_eq!(
        world.list("SELECT id, created_at FROM consensus_synthesis ORDER BY id"),
        "-2|1970-01-01 00:00:00\n1|2025-11-13 10:00:01"
    );
    // Neither takes the other's key.
    world.run(&format!("DELETE FROM consensus_runs WHERE id = 1; {SYNTHESIS} SELECT spec_id, stage, 'c', created_at FROM consensus_synthesis WHERE id = 1"));
    world.run("INSERT INTO consensus_synthesis (id, spec_id, stage, output_markdown, created_at) VALUES (-9223372036854775808, 's9', 't', 'm', '2025-11-13 10:00:01')");
    assert_eq!(
        world.list("SELECT key, reason FROM _cutover_quarantine WHERE key < '-'||0 OR key LIKE '-9%'"),
        "-9223372036854775808|its key `id` has no negative"
    );
    world.in_step();
}

#[test]
fn old_syntheses_are_brought_over_behind_those_of_new_programs() {
    let rows = "INSERT INTO consensus_synthesis (spec_id, stage, output_markdown, created_at) VALUES ('s1', 't', 'a', '2025-11-13 10:00:01'), ('s1', 't', 'b', '2025-11-13 10:00:01');";
    let world = World::open(
        &format!("{}{}{rows}", super::support::SCHEMA, super::support::SYNTHESES),
        &format!("{}{}", super::support::MAPPING, super::support::SYNTHESES_MAPPING),
    );
    // A child that waits for the run of an old synthesis.
    world.run("INSERT INTO agent_outputs (id, run_id, agent_name, content, output_timestamp) VALUES (3, -2, 'n', '{}', 1763028001000)");
    run_with_output(&world, "'{}'");
    for weave in &world.weaves {
        let condition = weave.absent(crate::expand::ROW);
        for sql in weave.guarded("backfill", weave.put_all(&condition, true)) {
            world.run(&sql);
        }
    }
    assert_eq!(world.list("SELECT id, spec_id, stage FROM consensus_artifacts ORDER BY id"), "3|s1|t\n4|s1|spec-plan");
    assert_eq!(world.list("SELECT id FROM consensus_synthesis ORDER BY id"), "-1\n1\n2");
    assert_eq!(
        world.list("SELECT id, run_timestamp FROM consensus_runs ORDER BY id"),
        "-2|1763028001003\n-1|1763028001002\n1|1763028001123"
    );
    world.in_step();
}
