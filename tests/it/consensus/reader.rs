//! The eight tests of the strategy, under their names: what the application reads, at every stage and by both programs.

use super::database::{Consensus, PHASES, artifact, synthesis};

/// The stages at which there are both schemas: what one program writes, the other reads.
const BOTH: [&str; 4] = ["expand", "backfill", "prefer-new", "new-only"];

#[test]
fn test_query_artifacts_not_found() {
    for phase in PHASES {
        let consensus = Consensus::at(phase);
        assert_eq!(consensus.new_program().query_artifacts("SPEC-NONE", "spec-plan").unwrap(), [], "{phase}");
    }
}

#[test]
fn test_query_synthesis_not_found() {
    for phase in PHASES {
        let consensus = Consensus::at(phase);
        assert_eq!(consensus.new_program().query_latest_synthesis("SPEC-NONE", "spec-plan").unwrap(), None, "{phase}");
    }
}

#[test]
fn test_dual_write_artifact_zero_data_loss() {
    for phase in BOTH {
        let consensus = Consensus::at(phase);
        let (old, new) = (consensus.old_program(), consensus.new_program());
        new.store_artifact(&artifact("SPEC-1", "spec-plan", "claude", "{\"a\":1}")).unwrap();
        for _ in 0..5 {
            let found = new.query_artifacts("SPEC-1", "spec-plan").unwrap();
            assert_eq!(found, old.query_artifacts("SPEC-1", "spec-plan").unwrap(), "{phase}");
            assert_eq!((found.len(), found[0].content.as_str()), (1, "{\"a\":1}"), "{phase}");
        }
    }
}

#[test]
fn test_dual_write_synthesis_zero_data_loss() {
    for phase in BOTH {
        let consensus = Consensus::at(phase);
        let (old, new) = (consensus.old_program(), consensus.new_program());
        new.store_synthesis(&synthesis("SPEC-1", "spec-plan", "# one")).unwrap();
        new.store_synthesis(&synthesis("SPEC-1", "spec-plan", "# two")).unwrap();
        for _ in 0..5 {
            let found = new.query_latest_synthesis("SPEC-1", "spec-plan").unwrap().unwrap();
            assert_eq!(Some(&found), old.query_latest_synthesis("SPEC-1", "spec-plan").unwrap().as_ref(), "{phase}");
            assert_eq!(
                (found.markdown.as_str(), found.artifacts, found.degraded),
                ("# two", Some(3), false),
                "{phase}"
            );
            assert_eq!((found.agreements.as_deref(), found.conflicts.as_deref()), (Some("[\"all\"]"), None), "{phase}");
        }
    }
}

#[test]
fn test_multiple_artifacts_dual_write() {
    for phase in PHASES {
        let consensus = Consensus::at(phase);
        let new = consensus.new_program();
        let agents = ["claude", "gemini", "gpt_pro", "gpt_codex", "claude"];
        for (n, agent) in agents.into_iter().enumerate() {
            new.store_artifact(&artifact("SPEC-1", "spec-tasks", agent, &format!("{{\"n\":{n}}}"))).unwrap();
        }
        let mut found: Vec<_> = new
            .query_artifacts("SPEC-1", "spec-tasks")
            .unwrap()
            .into_iter()
            .map(|artifact| (artifact.content, artifact.agent))
            .collect();
        found.sort();
        let wanted: Vec<_> =
            agents.into_iter().enumerate().map(|(n, a)| (format!("{{\"n\":{n}}}"), a.to_owned())).collect();
        assert_eq!(found, wanted, "{phase}");
    }
}

#[test]
fn test_read_path_migration_gradual_cutover() {
    let consensus = Consensus::empty();
    let (old, new) = (consensus.old_program(), consensus.new_program());
    let mut written = 0;
    for phase in PHASES {
        if phase != "contract" && phase != "new-only" {
            old.store_artifact(&artifact("SPEC-1", "spec-plan", "gemini", &format!("{{\"old\":\"{phase}\"}}")))
                .unwrap();
            written += 1;
        }
        new.store_artifact(&artifact("SPEC-1", "spec-plan", "claude", &format!("{{\"new\":\"{phase}\"}}"))).unwrap();
        written += 1;
        assert_eq!(new.query_artifacts("SPEC-1", "spec-plan").unwrap().len(), written, "before {phase}");
        consensus.apply_to(phase);
        assert_eq!(new.query_artifacts("SPEC-1", "spec-plan").unwrap().len(), written, "after {phase}");
    }
    let counts = new.counts();
    assert!(counts.reads_new > 0 && counts.reads_old > 0, "{counts:?}");
    assert_eq!((counts.reads_mismatched, counts.writes_failed), (0, 0), "{counts:?}");
}

#[test]
fn test_dual_schema_reader_consistency() {
    for phase in BOTH {
        let consensus = Consensus::at(phase);
        let (old, new) = (consensus.old_program(), consensus.new_program());
        for n in 0..20 {
            let content = format!("{{\"n\":{n}}}");
            let artifact = artifact("SPEC-1", "spec-audit", "claude", &content);
            if n % 2 == 0 || phase == "new-only" {
                new.store_artifact(&artifact).unwrap();
            } else {
                old.store_artifact(&artifact).unwrap();
            }
            let all = |mut found: Vec<_>| {
                found.sort_by_key(|artifact: &cutover_demo::consensus::Artifact| artifact.id);
                found
            };
            let seen = all(new.query_artifacts("SPEC-1", "spec-audit").unwrap());
            assert_eq!(seen, all(old.query_artifacts("SPEC-1", "spec-audit").unwrap()), "{phase}, {n}");
            assert_eq!(seen.len(), n + 1, "{phase}");
        }
    }
}

#[test]
fn test_stage_specific_queries() {
    for phase in PHASES {
        let consensus = Consensus::at(phase);
        let new = consensus.new_program();
        for stage in ["spec-plan", "spec-tasks", "spec-implement"] {
            new.store_artifact(&artifact("SPEC-1", stage, "claude", &format!("{{\"stage\":\"{stage}\"}}"))).unwrap();
        }
        for stage in ["spec-plan", "spec-tasks", "spec-implement"] {
            let found = new.query_artifacts("SPEC-1", stage).unwrap();
            assert_eq!(found.len(), 1, "{phase}, {stage}");
            assert!(found[0].content.contains(stage), "{phase}: {found:?}");
        }
    }
}
