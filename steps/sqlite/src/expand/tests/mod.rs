//! The triggers at work, on databases of one connection: each trap of dual schemas has a test.

mod installed;
mod model;
mod quarantine;
mod random;
mod shared;
mod statements;
mod support;
mod traps;

use support::{Consensus, World};

#[test]
fn what_either_side_writes_is_shown_on_the_other() {
    let world = Consensus::open();
    world.old("s1", "spec-plan", "claude", "2025-11-13 10:00:00");
    assert_eq!(world.list("SELECT id, agent_name, output_timestamp FROM agent_outputs"), "1|claude|1763028000000");
    assert_eq!(
        world.list("SELECT spec_id, stage, run_timestamp, consensus_ok FROM consensus_runs"),
        "s1|spec-plan|1763028000000|1"
    );
    world.run(
        "INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok) VALUES ('s2', 'spec-tasks', 1763028001123, 1);
         INSERT INTO agent_outputs (run_id, agent_name, content, output_timestamp) VALUES (last_insert_rowid(), 'gemini', '{}', 1763028001456)",
    );
    assert_eq!(
        world.list(
            "SELECT id, spec_id, stage, agent_name, content_json, created_at FROM consensus_artifacts WHERE id > 1"
        ),
        "2|s2|spec-tasks|gemini|{}|2025-11-13 10:00:01"
    );
    world.run("UPDATE consensus_artifacts SET content_json = '[1]' WHERE id = 2");
    assert_eq!(world.list("SELECT content, output_timestamp FROM agent_outputs WHERE id = 2"), "[1]|1763028001456");
    world.run("DELETE FROM agent_outputs WHERE id = 1");
    assert_eq!(world.list("SELECT id FROM consensus_artifacts"), "2");
    world.in_step();
}

#[test]
fn identifiers_with_quotes_and_blanks_are_quoted_everywhere() {
    let world = World::open(
        "CREATE TABLE \"old \"\"t; DROP\" (\"k'1\" TEXT NOT NULL, \"k 2\" INTEGER NOT NULL, \"v\"\"v\" TEXT, PRIMARY KEY (\"k'1\", \"k 2\")) WITHOUT ROWID;
         CREATE TABLE [new 't'] (a TEXT NOT NULL, b INTEGER NOT NULL, \"select\" TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;",
        "[[table]]\nname = 'odd'\nold = 'old \"t; DROP'\nnew = \"new 't'\"\n\
         key = [{ old = \"k'1\", new = 'a' }, { old = 'k 2', new = 'b' }]\n\
         [table.forth]\nselect = 'old.\"v\"\"v\"'\n[table.back]\n'v\"v' = 'new.\"select\"'\n",
    );
    world.run("INSERT INTO \"old \"\"t; DROP\" VALUES ('x''y', 1, 'a'), ('é', 2, NULL)");
    assert_eq!(world.list("SELECT * FROM [new 't'] ORDER BY b"), "x'y|1|a\né|2|null");
    world.run("UPDATE [new 't'] SET \"select\" = 'z', a = 'moved' WHERE b = 2; DELETE FROM [new 't'] WHERE b = 1");
    assert_eq!(world.list("SELECT * FROM \"old \"\"t; DROP\""), "moved|2|z");
    world.in_step();
}
