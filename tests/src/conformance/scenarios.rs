//! The scenarios that every step goes through, and what must be true of it then.

use cutover_core::{Effects, Receipt, Reversal, Standing, Verdict};

use super::scene::Scene;
use super::{Answer, Conformance, Report, Rule, Violation, group};
use crate::{Fixture, Tree};

/// Runs every scenario that applies to the step.
pub(super) fn run(check: &Conformance) -> Result<Report, Violation> {
    let fixture = check.fixture();
    let plan = fixture.compile();
    let last = plan.steps().last().map(|(_, step)| step.id.clone()).unwrap_or_default();
    let run = Run { check, fixture: &fixture, id: check.step.clone().unwrap_or(last) };
    let mut report = Report::default();

    run.describe(&mut report)?;
    run.there_and_back(&mut report)?;
    run.sabotage(&mut report)?;
    match run.scene()?.reversal() {
        Reversal::Inverse => {
            run.nothing_to_undo(&mut report)?;
            run.intent(&mut report)?;
            run.stop(&mut report)?;
            run.foreign(&mut report)?;
        }
        Reversal::Restore(_) => {
            for rule in [Rule::RollsBackNothing, Rule::IntentIsEnough, Rule::KeepsForeign] {
                report.skip(rule, "it is undone by restoring its target");
            }
            run.stop(&mut report)?;
        }
        Reversal::Irreversible => {}
    }
    group::run(&run, &mut report)?;
    Ok(report)
}

/// The check at work.
pub(super) struct Run<'a> {
    pub(super) check: &'a Conformance,
    pub(super) fixture: &'a Fixture,
    pub(super) id: String,
}

impl<'a> Run<'a> {
    pub(super) fn scene(&self) -> Result<Scene<'a>, Violation> {
        Scene::new(self.check, self.fixture, &self.id)
    }

    fn describe(&self, report: &mut Report) -> Result<(), Violation> {
        let rule = Rule::DescribeIsPure;
        let scene = self.scene()?;
        let before = scene.files();
        let step = &scene.bench().step(&self.id).step;
        let first = step.describe();
        if first.is_empty() {
            return Err(scene.broken(rule, "describe says nothing: a reader of the plan would not see this step"));
        }
        let unopened = self.fixture.compile();
        let anew = unopened.step(&self.id).map(|s| s.step.describe());
        if step.describe() != first || anew.as_ref() != Some(&first) {
            return Err(scene.broken(rule, "describe gives two answers to the same question"));
        }
        scene.untouched(&before, rule, "describe")?;
        report.held(rule);
        Ok(())
    }

    /// Inspect, apply, verify, again, crash, again, roll back, again, apply again.
    fn there_and_back(&self, report: &mut Report) -> Result<(), Violation> {
        let scene = self.scene()?;
        let (scene, standing) = self.before_apply(scene, report)?;
        let files = scene.files();
        let (receipt, changed) = scene.apply(Rule::Applies)?;
        if !changed && !scene.only_looks() {
            return Err(scene.broken(Rule::Applies, "the first apply says that all was there already"));
        }
        report.held(Rule::Applies);
        survives_json(&scene, &receipt)?;
        report.held(Rule::ReceiptIsJson);
        self.shows(&scene, &files, report)?;

        stands_applied(&scene, "after apply")?;
        report.held(Rule::InspectIsTrue);
        report.held(Rule::InspectReads);
        verify_reads(&scene, Rule::Verifies, "after apply")?;
        report.held(Rule::Verifies);
        report.held(Rule::VerifyReads);
        once_more(&scene, Rule::AppliesOnce)?;
        report.held(Rule::AppliesOnce);

        let rule = Rule::SurvivesCrash;
        let scene = scene.reopen(rule)?;
        let files = scene.files();
        stands_applied(&scene, "in a new process after apply")?;
        verify_reads(&scene, rule, "in a new process after apply")?;
        let scene = scene.reopen(rule)?;
        scene.untouched(&files, Rule::VerifyReads, "a process that only inspects and verifies")?;
        let replayed = once_more(&scene, rule)?;
        report.held(rule);
        self.back(scene, &standing, &replayed, report)
    }

    /// Inspect tells the truth of what is not there yet, and touches nothing.
    fn before_apply(&self, scene: Scene<'a>, report: &mut Report) -> Result<(Scene<'a>, Standing), Violation> {
        let files = scene.files();
        let standing = scene.inspect(Rule::InspectIsTrue)?;
        scene.untouched(&files, Rule::InspectReads, "inspect")?;
        match &standing {
            Standing::Pending | Standing::Unknown | Standing::Partial(_) => {}
            Standing::Applied if scene.only_looks() => {}
            Standing::Applied => return Err(scene.broken(Rule::InspectIsTrue, "before apply, inspect says: applied")),
            Standing::Conflict(why) => {
                return Err(scene.broken(Rule::InspectIsTrue, format!("before apply, inspect says: conflict: {why}")));
            }
        }
        let scene = scene.reopen(Rule::InspectReads)?;
        scene.untouched(&files, Rule::InspectReads, "a process that only inspects")?;
        if scene.reversal() == Reversal::Irreversible && self.check.irreversible.is_none() {
            return Err(scene.broken(Rule::SetUp, "it is irreversible; say why with `.irreversible(\"why\")`"));
        }
        if let (Some(why), false) = (&self.check.irreversible, scene.reversal() == Reversal::Irreversible) {
            return Err(
                scene.broken(Rule::SetUp, format!("the check says it is irreversible ({why}); the step does not"))
            );
        }
        if let Some(why) = &self.check.irreversible {
            report.skip(Rule::RollsBack, why);
        }
        Ok((scene, standing))
    }

    /// What apply does can be seen; otherwise "as before" would prove nothing.
    fn shows(&self, scene: &Scene<'_>, files: &Tree, report: &mut Report) -> Result<(), Violation> {
        let rule = Rule::ApplyShows;
        let looks = scene.only_looks();
        if looks {
            scene.as_before(Rule::Applies, "it says that it only checks, but after apply")?;
        }
        let external = scene.bench().step(&self.id).step.effects() == Effects::External;
        let why = match &self.check.invisible {
            Some(why) => why.as_str(),
            None if looks => "it only checks",
            None if external => "its effects are external",
            None if scene.same(&scene.before, rule, "").is_ok() => {
                let detail = match scene.untouched(files, rule, "").is_ok() {
                    true => "apply says it changed something, but no byte under the root did",
                    false => "apply changes nothing that a fingerprint or a file outside the targets shows",
                };
                return Err(
                    scene.broken(rule, format!("{detail}; if that is right, say why with `.invisible(\"why\")`"))
                );
            }
            None => {
                report.held(rule);
                return Ok(());
            }
        };
        report.skip(rule, why);
        Ok(())
    }

    fn back(
        &self,
        scene: Scene<'a>,
        standing: &Standing,
        replayed: &Receipt,
        report: &mut Report,
    ) -> Result<(), Violation> {
        if scene.reversal() == Reversal::Irreversible {
            return Ok(());
        }
        scene.undo(Some(replayed), Rule::RollsBack, "rollback")?;
        scene.as_before(Rule::RollsBack, "after apply, a crash, apply again and rollback")?;
        let now = scene.inspect(Rule::InspectIsTrue)?;
        // What nobody can see is beyond telling, too, once it is undone.
        let beyond_telling = self.check.invisible.is_some() && now == Standing::Unknown;
        if now != *standing && !beyond_telling {
            let detail = format!("before apply it says {standing:?}, after the rollback it says {now:?}");
            return Err(scene.broken(Rule::InspectIsTrue, detail));
        }
        report.held(Rule::RollsBack);
        scene.undo(Some(replayed), Rule::RollsBackOnce, "the second rollback")?;
        scene.as_before(Rule::RollsBackOnce, "after a second rollback")?;
        report.held(Rule::RollsBackOnce);

        let rule = Rule::AppliesAgain;
        let scene = scene.reopen(rule)?;
        let (receipt, changed) = scene.apply(rule)?;
        if !changed && !scene.only_looks() {
            return Err(scene.broken(rule, "after the rollback, apply says that all was there already"));
        }
        scene.verify(rule, "after apply, rollback and apply")?;
        scene.undo(Some(&receipt), rule, "the rollback of the second apply")?;
        scene.as_before(rule, "after apply, rollback, apply and rollback")?;
        report.held(rule);
        Ok(())
    }

    fn sabotage(&self, report: &mut Report) -> Result<(), Violation> {
        let rule = Rule::SabotageShows;
        let scene = self.scene()?;
        let sabotage = match &self.check.sabotage {
            Answer::Given(sabotage) => sabotage,
            Answer::DoesNotApply(why) => {
                report.skip(rule, why);
                return Ok(());
            }
            Answer::Missing => {
                let detail =
                    "break what it makes with `.sabotage(|root| …)`, or say why not with `.no_sabotage(\"why\")`";
                return Err(scene.broken(Rule::SetUp, detail));
            }
        };
        scene.apply(rule)?;
        let scene = scene.reopen(rule)?;
        let files = scene.files();
        let scene = scene.meanwhile(rule, sabotage)?;
        if files == scene.files() {
            return Err(scene.broken(Rule::SetUp, "the sabotage changed no byte under the root"));
        }
        match scene.bench().verify(&self.id) {
            Ok(Verdict::Broken(lines)) if lines.is_empty() => {
                Err(scene.broken(rule, "verify says that something is broken, but not what"))
            }
            Ok(Verdict::Broken(_)) | Err(_) => {
                report.held(rule);
                Ok(())
            }
            Ok(verdict) => Err(scene.broken(rule, format!("what it made was broken, and verify says: {verdict:?}"))),
        }
    }
}

fn survives_json(scene: &Scene<'_>, receipt: &Receipt) -> Result<(), Violation> {
    let rule = Rule::ReceiptIsJson;
    let text =
        serde_json::to_string(receipt).map_err(|e| scene.broken(rule, format!("the receipt is no JSON: {e}")))?;
    let back: Receipt =
        serde_json::from_str(&text).map_err(|e| scene.broken(rule, format!("the receipt does not come back: {e}")))?;
    if back == *receipt { Ok(()) } else { Err(scene.broken(rule, format!("{receipt:?} came back as {back:?}"))) }
}

fn stands_applied(scene: &Scene<'_>, when: &str) -> Result<(), Violation> {
    let files = scene.files();
    let standing = scene.inspect(Rule::InspectIsTrue)?;
    scene.untouched(&files, Rule::InspectReads, &format!("inspect {when}"))?;
    match standing {
        Standing::Applied | Standing::Unknown => Ok(()),
        other => Err(scene.broken(Rule::InspectIsTrue, format!("{when}, inspect says: {other:?}"))),
    }
}

fn verify_reads(scene: &Scene<'_>, rule: Rule, when: &str) -> Result<(), Violation> {
    let files = scene.files();
    scene.verify(rule, when)?;
    scene.untouched(&files, Rule::VerifyReads, "verify")
}

/// Applies what is applied: nothing may change, and if apply says so, not a byte is written.
fn once_more(scene: &Scene<'_>, rule: Rule) -> Result<Receipt, Violation> {
    let (marks, files) = (scene.marks(rule)?, scene.files());
    let (receipt, changed) = scene.apply(rule)?;
    scene.same(&marks, rule, "the second apply changed the system")?;
    if !changed {
        scene.untouched_but_state(&files, rule, "the second apply says that all was there already, but it")?;
    }
    scene.verify(rule, "after the second apply")?;
    Ok(receipt)
}
