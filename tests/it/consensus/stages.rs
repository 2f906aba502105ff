//! Each stage and the way back from it, with programs that write in between.

use cutover_demo::consensus::Schema;

use super::database::{Consensus, PHASES, artifact, synthesis};

#[test]
fn from_each_stage_the_way_back_keeps_what_was_written_at_it() {
    for phase in PHASES {
        let consensus = Consensus::at(phase);
        let new = consensus.new_program();
        new.store_artifact(&artifact("SPEC-1", "spec-plan", "claude", "{\"at\":\"the stage\"}")).unwrap();
        new.store_synthesis(&synthesis("SPEC-1", "spec-plan", "# at the stage")).unwrap();
        consensus.cutover("rollback", &["--to", "start"]).expect_code(0);
        assert_eq!(consensus.rows(Schema::New), None, "{phase}");
        let rows = consensus.rows(Schema::Old).unwrap();
        assert_eq!(rows.len(), 2, "{phase}: {rows:?}");
        let old = consensus.old_program();
        assert_eq!(old.query_latest_synthesis("SPEC-1", "spec-plan").unwrap().unwrap().markdown, "# at the stage");
        assert_eq!(new.query_artifacts("SPEC-1", "spec-plan").unwrap().len(), 1, "{phase}: it follows the way back");
    }
}

#[test]
fn where_the_old_tables_refuse_writes_an_old_program_is_told_so() {
    let consensus = Consensus::at("new-only");
    let error = consensus.old_program().store_artifact(&artifact("SPEC-1", "spec-plan", "claude", "{}")).unwrap_err();
    assert!(error.to_string().contains("consensus"), "{error}");
    assert_eq!(consensus.rows(Schema::Old).unwrap().len(), 0);
}

#[test]
fn the_status_says_the_stage_and_what_the_programs_counted() {
    let consensus = Consensus::at("prefer-new");
    let new = consensus.new_program();
    new.store_artifact(&artifact("SPEC-1", "spec-plan", "claude", "{}")).unwrap();
    new.query_artifacts("SPEC-1", "spec-plan").unwrap();
    new.query_artifacts("SPEC-1", "spec-tasks").unwrap();
    new.flush().unwrap();
    let said = consensus.cutover("status", &[]).expect_code(0).stdout;
    assert!(said.contains("mapping consensus is at stage prefer-new"), "{said}");
    assert!(["reads.new 1", "reads.fallback 1", "writes.new 1"].iter().all(|line| said.contains(line)), "{said}");
}

#[test]
fn a_synthesis_that_is_no_json_refuses_no_writer_and_is_not_lost() {
    let consensus = Consensus::at("prefer-new");
    consensus.ask(
        "INSERT INTO consensus_runs (spec_id, stage, run_timestamp, consensus_ok, synthesis_json) \
         VALUES ('SPEC-1', 'spec-plan', 1760000000123, 1, '{\"output_markdown\": \"# cut')",
    );
    let found = consensus.old_program().query_latest_synthesis("SPEC-1", "spec-plan").unwrap().unwrap();
    assert_eq!(found.markdown, "{\"output_markdown\": \"# cut");
    consensus.apply_to("contract");
    consensus.cutover("rollback", &["--to", "start"]).expect_code(0);
    assert_eq!(consensus.rows(Schema::Old).unwrap().len(), 1);
}
