//! The shapes that migrate: what is there afterwards, that a second run writes nothing, and the way back.

use std::process::Command;

use cutover_tests::{Tree, run, sqlite3};

use super::brain::{Brain, TIERS, differences};

/// Apply, verify, apply, rollback: what every brain must come through. `look` sees the migrated brain, and what was said.
fn there_and_back(brain: &Brain, look: impl FnOnce(&str)) {
    let before = brain.content();
    let orphans: Vec<usize> = TIERS.iter().map(|tier| brain.orphans(*tier)).collect();

    let said = brain.cutover("apply", &[]).expect_code(0).stdout;
    brain.cutover("verify", &[]).expect_code(0);
    assert_eq!(TIERS.iter().map(|tier| brain.orphans(*tier)).collect::<Vec<_>>(), orphans, "orphans");
    for tier in TIERS {
        assert_eq!(brain.ask(*tier, "PRAGMA integrity_check"), "ok", "tier {tier}");
        let rows = "SELECT count(*) - count(DISTINCT name) FROM migrations";
        assert_eq!(brain.ask(*tier, rows), "0", "one row a step in tier {tier}");
    }
    look(&said);

    let after = Tree::of(&brain.root());
    let again = brain.cutover("apply", &[]).expect_code(0).stdout;
    assert!(again.contains("nothing to do"), "{again}");
    after.assert_same(&Tree::of(&brain.root()), "after a second apply");

    brain.cutover("rollback", &["--to", "start"]).expect_code(0);
    assert_eq!(differences(&before, &brain.content()), [""; 0], "after the rollback");
}

#[test]
fn shape_a_migrates_and_comes_back() {
    let brain = Brain::of("a");
    there_and_back(&brain, |said| {
        assert!(said.contains("507 violations were there before, 0 introduced"), "{said}");
        assert_eq!(brain.ask(1, "SELECT count(*), count(DISTINCT session_id) FROM conversation_actions"), "385|8");
        let most = "SELECT max(n) FROM (SELECT count(*) AS n FROM conversation_actions GROUP BY session_id)";
        assert_eq!(brain.ask(1, most), "50", "the last fifty turns");
        let failed = brain.ask(1, "SELECT file_path, failed FROM creation_sessions ORDER BY 1");
        assert_eq!(failed, "docs/architecture/complete-guide.md|1\nsrc/report/generated_tables.py|1");
        let index = brain.ask(1, "SELECT sql FROM sqlite_master WHERE name = 'idx_conversations_active'");
        assert_eq!(index, "CREATE INDEX idx_conversations_active ON conversations(archived, start_time DESC)");
        assert_eq!(brain.ask(2, "SELECT count(*), sum(enabled) FROM plugins"), "13|10");
        let link = "SELECT source_type, source_ref, target_type, target_ref, relation, confidence \
                    FROM provenance_links WHERE id = 1";
        assert_eq!(brain.ask(2, link), "migration|MIGRATION_START|system|schema_v2|generated|1.0");
        let order = "SELECT (SELECT id FROM migrations WHERE name = 'MIGRATION_START') \
                     < (SELECT id FROM migrations WHERE name = 'provenance')";
        assert_eq!(brain.ask(2, order), "1", "the ledger names the start before the link does");
        assert_eq!(brain.ask(3, "SELECT overall_status FROM health_reports ORDER BY id DESC LIMIT 1"), "excellent");
        assert_eq!(brain.ask(3, "SELECT group_concat(tier) FROM retention_policy_snapshots"), "tier1,tier2,tier3");
    });
}

#[test]
fn the_ledger_holds_the_sha_256_of_each_script() {
    let brain = Brain::of("a").migrated();
    let asked = "SELECT name, checksum FROM migrations WHERE name LIKE '2025-11-07_%' ORDER BY id";
    let lines = TIERS.iter().map(|tier| brain.ask(*tier, asked)).collect::<Vec<_>>().join("\n");
    let mut scripts = 0;
    for (name, checksum) in lines.lines().filter_map(|line| line.split_once('|')) {
        let script = brain.plan().join("sql").join(format!("{name}.sql"));
        if script.exists() {
            let said = run(Command::new("sha256sum").arg(script)).expect_code(0).stdout;
            assert_eq!(said.split_whitespace().next(), Some(checksum), "{name}");
            scripts += 1;
        }
    }
    assert_eq!(scripts, 8, "every script of the plan is in a ledger:\n{lines}");
}

#[test]
fn shape_b_keeps_its_index_beside_the_new_one() {
    let brain = Brain::of("b");
    there_and_back(&brain, |_| {
        let indexes = "SELECT sql FROM sqlite_master WHERE name LIKE 'idx_conversations_active%' ORDER BY name";
        assert_eq!(
            brain.ask(1, indexes),
            "CREATE INDEX idx_conversations_active ON conversations(is_active)\n\
             CREATE INDEX idx_conversations_active_v2 ON conversations(archived, updated_at DESC)"
        );
        // Four active sessions of 60 messages, and one of 7 in the second store.
        assert_eq!(brain.ask(1, "SELECT count(*), count(DISTINCT session_id) FROM conversation_actions"), "207|5");
    });
}

#[test]
fn tiers_of_zero_bytes_get_tables_and_seed_rows() {
    let brain = Brain::of("zero");
    there_and_back(&brain, |_| {
        assert_eq!(brain.ask(1, "SELECT count(*) FROM sqlite_master WHERE name = 'conversations'"), "0");
        assert_eq!(brain.ask(1, "SELECT count(*) FROM conversation_actions"), "0");
        assert_eq!(brain.ask(2, "SELECT count(*) FROM plugins"), "13");
    });
}

#[test]
fn what_a_half_migrated_brain_had_is_neither_changed_nor_taken_away() {
    let brain = Brain::of("half");
    there_and_back(&brain, |said| {
        assert!(said.contains("column conversations.task_status was there before: kept"), "{said}");
        assert!(said.contains("table creation_sessions was there before: kept"), "{said}");
    });
    assert_eq!(brain.ask(1, "SELECT count(*) FROM conversations WHERE task_status = 'in_progress'"), "2");
    assert_eq!(brain.ask(1, "SELECT file_path FROM creation_sessions"), "docs/written-by-hand.md");
}

#[test]
fn thousands_of_orphans_are_neither_condemned_nor_removed() {
    let brain = Brain::of("orphans");
    assert_eq!(brain.orphans(1), 6_990);
    there_and_back(&brain, |_| assert_eq!(brain.orphans(1), 6_990));
}

#[test]
fn rows_that_only_the_log_has_are_migrated_backed_up_and_kept() {
    let brain = Brain::of("a").with_unchecked_log();
    let row = "SELECT count(*) FROM entities WHERE entity_value = 'only in the log'";
    there_and_back(&brain, |_| {
        let backup = brain.root().join("backups/pre-migration/tier1/conversations.db");
        assert_eq!(sqlite3(backup, row).trim(), "1");
    });
    assert_eq!(brain.ask(1, row), "1");
}

#[test]
fn a_search_index_that_was_stale_before_is_reported_and_not_condemned() {
    let brain = Brain::of("a").with_stale_search();
    let said = brain.cutover("apply", &[]).expect_code(0).stdout;
    assert!(said.contains("full-text table pattern_fts: as before"), "{said}");
}

/// A year later all of it is older than the policy keeps it.
#[test]
fn what_the_policy_lets_go_comes_back_with_the_rollback() {
    let brain = Brain::of("a");
    there_and_back(&brain, |_| {});
    let before = brain.content();
    let said = brain.cutover("apply", &["--var", "as_of=now"]).expect_code(0).stdout;
    assert!(said.contains("385 rows of conversation_actions went into"), "{said}");
    assert_eq!(brain.ask(1, "SELECT count(*) FROM conversation_actions"), "0");
    brain.cutover("verify", &["--var", "as_of=now"]).expect_code(0);
    brain.cutover("rollback", &["--to", "verify", "--var", "as_of=now"]).expect_code(0);
    assert_eq!(brain.ask(1, "SELECT count(*) FROM conversation_actions"), "385");
    brain.cutover("rollback", &["--to", "start", "--var", "as_of=now"]).expect_code(0);
    assert_eq!(differences(&before, &brain.content()), [""; 0], "after the rollback");
}

#[test]
fn every_phase_comes_back_to_where_it_began() {
    let brain = Brain::of("half");
    let phases = ["assess", "snapshot", "schema", "backfill", "verify", "cutover", "monitor", "cleanup", "checklist"];
    let mut before = Vec::new();
    for phase in phases {
        before.push(brain.content());
        brain.cutover("apply", &["--to", phase]).expect_code(0);
    }
    for (phase, before) in phases.iter().zip(&before).rev() {
        brain.cutover("rollback", &[]).expect_code(0);
        assert_eq!(differences(before, &brain.content()), [""; 0], "after the rollback of {phase}");
    }
}

#[test]
fn the_way_back_goes_features_data_caches_baseline_and_keeps_what_the_application_wrote() {
    let brain = Brain::of("a").migrated();
    brain.write(1, "INSERT INTO messages VALUES ('late', 'conv-0060', 'user', 'under 2.0', '2025-11-08T09:00:00')");
    let said = brain.cutover("rollback", &["--to", "start"]).expect_code(0).stdout;
    let at = |step: &str| said.find(&format!("↶ {step} ")).unwrap_or_else(|| panic!("{step} is not undone:\n{said}"));
    let order = [
        "telemetry",
        "hook-logging",
        "configuration",
        "self-review",
        "plugins",
        "2025-11-07_005_conversation_alter",
        "caches",
        "baseline-verification",
    ];
    assert!(order.is_sorted_by_key(|step| at(step)), "{said}");
    for gone in ["cortex-brain/cache", "cortex-brain/NOTICE.txt"] {
        assert!(!brain.root().join(gone).exists(), "{gone} is still there");
    }
    assert_eq!(brain.ask(1, "SELECT content FROM messages WHERE message_id = 'late'"), "under 2.0");
    assert_eq!(brain.ask(1, "SELECT count(*) FROM pragma_table_info('conversations') WHERE name = 'archived'"), "0");
}
