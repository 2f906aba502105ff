//! The shapes of the demo: whole, there and back; and what is refused.

use cutover_demo::consensus::Schema;

use super::database::Consensus;

/// Apply, verify, apply again, rollback: every row is in the new schema, and then in the old one again as it was.
fn there_and_back(shape: &str) -> Consensus {
    let consensus = Consensus::of(shape);
    let before = consensus.old_content();
    let rows = consensus.rows(Schema::Old).unwrap();

    consensus.cutover("apply", &[]).expect_code(0);
    consensus.cutover("verify", &[]).expect_code(0);
    assert_eq!(consensus.rows(Schema::Old), None, "the old tables are gone");
    assert_eq!(consensus.rows(Schema::New).unwrap().len(), rows.len());
    assert!(consensus.rows(Schema::New).unwrap() == rows, "every row is there once");
    assert_eq!(consensus.ask("PRAGMA integrity_check; PRAGMA foreign_key_check"), "ok");
    let again = consensus.cutover("apply", &[]).expect_code(0).stdout;
    assert!(again.contains("nothing to do"), "{again}");

    consensus.cutover("rollback", &["--to", "start"]).expect_code(0);
    let after = consensus.old_content();
    let differs = before.iter().zip(&after).find(|(before, after)| before != after);
    assert!(before.len() == after.len() && differs.is_none(), "{} {} {differs:?}", before.len(), after.len());
    consensus
}

#[test]
fn shape_a_goes_there_and_back_with_every_byte_of_the_old_rows() {
    there_and_back("a");
}

#[test]
fn shape_b_gets_the_columns_that_executions_lack_and_loses_them_again() {
    there_and_back("b");
}

#[test]
fn what_an_interrupted_move_left_in_the_new_tables_alone_is_not_lost() {
    let consensus = Consensus::of("interrupted");
    let alone = "SELECT count(*) FROM agent_outputs WHERE content LIKE '%only%in the new schema%'";
    let begun = consensus.ask(alone);
    assert_ne!(begun, "0");
    let before = consensus.old_content();
    let outputs = "SELECT agent_name, content, count(*) FROM agent_outputs GROUP BY 1, 2 HAVING content LIKE '%only%' ORDER BY 1, 2";
    let written = consensus.ask(outputs);
    consensus.cutover("apply", &[]).expect_code(0);
    assert_eq!(consensus.ask(alone), begun);
    assert_eq!(consensus.ask(outputs), written, "each as often as it was said");
    assert_eq!(consensus.ask("SELECT count(*) FROM consensus_runs WHERE synthesis_json LIKE '%# cut%'"), "1");
    assert_eq!(consensus.ask("SELECT count(*) FROM agent_outputs GROUP BY id HAVING count(*) > 1"), "");
    consensus.cutover("rollback", &["--to", "start"]).expect_code(0);
    assert!(before == consensus.old_content(), "as it was");
}

#[test]
fn what_was_taken_out_of_an_interrupted_move_and_written_since_stays_where_it_was_written() {
    let consensus = Consensus::of("interrupted");
    let before = consensus.ask("SELECT count(*) FROM consensus_artifacts");
    consensus.cutover("apply", &["--to", "expand"]).expect_code(0);
    let taken = consensus.ask("SELECT count(*) FROM consensus_artifacts");
    assert_ne!(taken, before);
    consensus.ask("UPDATE consensus_artifacts SET content_json = 'mended by hand' WHERE id = (SELECT max(id) FROM consensus_artifacts)");
    consensus.cutover("rollback", &["--to", "start"]).expect_code(0);
    assert_eq!(consensus.ask("SELECT count(*) FROM consensus_artifacts WHERE content_json = 'mended by hand'"), "1");
    assert_eq!(consensus.ask("SELECT count(*) - 1 FROM consensus_artifacts"), before);
}

#[test]
fn a_database_of_a_newer_application_is_refused_before_a_write() {
    let consensus = Consensus::of("newer");
    let before = std::fs::read(consensus.database()).unwrap();
    let said = consensus.cutover("apply", &[]).expect_code(100);
    assert!(said.stderr.contains("user_version 3"), "{}", said.stderr);
    assert!(before == std::fs::read(consensus.database()).unwrap());
}

#[test]
fn new_tables_that_the_application_made_and_left_empty_are_taken_over_and_given_back() {
    there_and_back("versioned");
}
