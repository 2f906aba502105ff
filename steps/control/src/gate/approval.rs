//! The step kind `gate.approval`: lets a run pass when a person said so.
//!
//! Who answers uses `cutover approve`; the answer is in the journal, and holds for the plan that they looked at.

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, StepContext, StepError, StepKind,
    Verdict, async_trait, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks a person.
#[derive(Debug, Clone)]
pub struct GateApproval(ApprovalConfig);

/// Configuration of `gate.approval`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalConfig {
    /// What is asked, for people: "the health report was looked at, and 2.0 may be switched on".
    pub ask: String,
}

/// Who said so.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    by: String,
    note: String,
    at: String,
    plan_digest: String,
}

register_step!(GateApproval);

impl StepKind for GateApproval {
    const KIND: &'static str = "gate.approval";
    const SUMMARY: &'static str = "let the run pass when a person approved it: `cutover approve`";
    const EXAMPLE: &'static str =
        "id = \"go\"\nuse = \"gate.approval\"\nwith = { ask = \"the report was looked at\" }\n";
    const FAULTS: Faults = Faults { apply: &[fault::APPROVAL_READ], rollback: &[] };
    type Config = ApprovalConfig;

    fn build(config: ApprovalConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        if config.ask.trim().is_empty() {
            return Err(BuildError::at("ask", "nothing is asked").with_help("say what the person has to look at"));
        }
        Ok(Self(config))
    }
}

#[async_trait]
impl MigrationStep for GateApproval {
    fn describe(&self) -> Vec<Change> {
        vec![Change::new(Action::Check, "approval by a person").with_detail(self.0.ask.clone())]
    }

    /// A copy has no users, and nobody is asked about it: a gate counts as passed.
    fn rehearsable(&self) -> bool {
        false
    }

    fn asks(&self) -> Option<String> {
        Some(self.0.ask.clone())
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let ask = &self.0.ask;
        let answer = cx.approval().await?;
        fault::point(fault::APPROVAL_READ);
        let Some((answer, holds)) = answer else {
            return Ok(Applied::Waiting(format!("asks for an approval: {ask}")));
        };
        let (by, at, note) = (answer.by.clone(), answer.at, answer.note.clone());
        if !holds {
            let void = "the plan has changed since";
            return Ok(Applied::Waiting(format!("asks for an approval: {ask} (that of {by} of {at} is void: {void})")));
        }
        if !answer.approved {
            return Err(StepError::failed(format!("rejected by {by} at {at}: {note}"))
                .with_help("settle what they ask for; an approval takes the place of a rejection"));
        }
        let told = format!("approved by {by} at {at}: {note}");
        let body = Body { by, note, at: at.to_string(), plan_digest: answer.plan_digest };
        Ok(Applied::Changed(Receipt::of(&body)?.with_note(told)))
    }

    /// What a person said stays said.
    async fn verify(&self, _cx: &StepContext) -> Result<Verdict, StepError> {
        Ok(Verdict::Holds)
    }

    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cutover_tests::Fixture;

    use super::*;

    const PLAN: &str = "name = \"p\"\n[[phase]]\nname = \"all\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"go\"\n\
        use = \"gate.approval\"\nwith = { ask = \"the report was looked at\" }\n";

    #[test]
    fn it_waits_for_an_answer_about_this_very_plan() {
        let root = tempfile::tempdir().unwrap();
        let bench = Fixture::new(PLAN).open(root.path());
        bench.host().nobody_approves();
        let asked = "asks for an approval: the report was looked at";
        assert_eq!(bench.apply("go").unwrap(), Applied::Waiting(asked.to_owned()));

        bench.host().approve("go", true, "ada", "all green", "of another plan");
        let Applied::Waiting(why) = bench.apply("go").unwrap() else { panic!("it waits") };
        assert!(why.contains("that of ada of 2026-01-01T00:00:00Z is void: the plan has changed since"), "{why}");

        let digest = bench.plan().digest.clone();
        bench.host().approve("go", false, "bo", "p95 is up", &digest);
        assert_eq!(bench.apply("go").unwrap_err().to_string(), "rejected by bo at 2026-01-01T00:00:00Z: p95 is up");

        bench.host().approve("go", true, "ada", "all green", &digest);
        let Applied::Changed(receipt) = bench.apply("go").unwrap() else { panic!("it passes") };
        assert_eq!(receipt.notes, ["approved by ada at 2026-01-01T00:00:00Z: all green"]);
    }
}
