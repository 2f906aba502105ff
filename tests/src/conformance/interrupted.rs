//! The scenarios in which something comes between: nothing at all, a crash, a stop, or other people's writes.

use cutover_core::{Applied, Receipt};

use super::scenarios::Run;
use super::scene::Scene;
use super::{Answer, Report, Rule, Violation};
use crate::TestHost;

impl<'a> Run<'a> {
    pub(super) fn nothing_to_undo(&self, report: &mut Report) -> Result<(), Violation> {
        let rule = Rule::RollsBackNothing;
        let scene = self.scene()?;
        let files = scene.files();
        scene.undo(None, rule, "rollback")?;
        scene.as_before(rule, "after a rollback without an apply")?;
        scene.untouched_but_state(&files, rule, "a rollback without an apply")?;
        report.held(rule);
        Ok(())
    }

    /// The process dies between the intent and the first write; and after the last write, before anything else.
    pub(super) fn intent(&self, report: &mut Report) -> Result<(), Violation> {
        let scene = self.scene()?;
        scene.host().die_after_intent(true);
        let died = scene.bench().apply(&self.id);
        let Some(intent) = scene.host().intent(&self.id) else {
            for rule in [Rule::IntentComesFirst, Rule::IntentIsEnough] {
                report.skip(rule, "it journals no intent");
            }
            return Ok(());
        };
        let rule = Rule::IntentComesFirst;
        match died {
            Err(error) if error.chain().contains(TestHost::DIED) => {}
            other => return Err(scene.broken(rule, format!("the intent failed, and apply went on: {other:?}"))),
        }
        scene.as_before(rule, "the process died at its first intent")?;
        report.held(rule);

        let rule = Rule::IntentIsEnough;
        scene.host().die_after_intent(false);
        let scene = scene.reopen(rule)?;
        scene.undo(Some(&intent), rule, "rollback with the intent alone")?;
        scene.as_before(rule, "after the intent alone was rolled back")?;

        let scene = self.scene()?;
        scene.host().die_after_intent(true);
        drop(scene.bench().apply(&self.id));
        scene.host().die_after_intent(false);
        let scene = scene.reopen(rule)?;
        let (receipt, _) = scene.apply(rule)?;
        scene.verify(rule, "after a crash at the intent and apply again")?;
        scene.undo(Some(&receipt), rule, "rollback")?;
        scene.as_before(rule, "after a crash at the intent, apply again and rollback")?;

        let scene = self.scene()?;
        scene.apply(rule)?;
        let intent = scene.host().intent(&self.id).unwrap_or_else(Receipt::nothing);
        let scene = scene.reopen(rule)?;
        scene.undo(Some(&intent), rule, "rollback of all of apply with the last intent")?;
        scene.as_before(rule, "after all of apply was rolled back with its last intent")?;
        report.held(rule);
        Ok(())
    }

    /// The operator asks to stop from the first moment on.
    pub(super) fn stop(&self, report: &mut Report) -> Result<(), Violation> {
        let rule = Rule::StopsAndGoesOn;
        let stopped = |scene: Scene<'a>| -> Result<Option<Scene<'a>>, Violation> {
            scene.host().set_stop(true);
            let applied = scene.bench().apply(&self.id);
            scene.host().set_stop(false);
            match applied.map_err(|e| scene.failed(rule, "apply with a stop requested", &e))? {
                Applied::Stopped(_) => scene.reopen(rule).map(Some),
                _ => Ok(None),
            }
        };
        let Some(scene) = stopped(self.scene()?)? else {
            report.skip(rule, "it is short and does not stop");
            return Ok(());
        };
        let (receipt, _) = scene.apply(rule)?;
        scene.verify(rule, "after a stop and apply again")?;
        scene.undo(Some(&receipt), rule, "rollback")?;
        scene.as_before(rule, "after a stop, apply again and rollback")?;
        if let Some(scene) = stopped(self.scene()?)? {
            let intent = scene.host().intent(&self.id);
            scene.undo(intent.as_ref(), rule, "rollback of a stopped apply")?;
            scene.as_before(rule, "after a stop and rollback")?;
        }
        report.held(rule);
        Ok(())
    }

    pub(super) fn foreign(&self, report: &mut Report) -> Result<(), Violation> {
        let rule = Rule::KeepsForeign;
        let scene = self.scene()?;
        let (write, still_there) = match &self.check.foreign {
            Answer::Given((write, still_there)) => (write, still_there),
            Answer::DoesNotApply(why) => {
                report.skip(rule, why);
                return Ok(());
            }
            Answer::Missing if scene.only_looks() => {
                report.skip(rule, "it only checks");
                return Ok(());
            }
            Answer::Missing => {
                let detail = "write beside it with `.foreign(write, still_there)`, or say why nobody else can with `.no_foreign(\"why\")`";
                return Err(scene.broken(Rule::SetUp, detail));
            }
        };
        let (receipt, _) = scene.apply(rule)?;
        let scene = scene.meanwhile(rule, write)?;
        scene.undo(Some(&receipt), rule, "rollback after others wrote")?;
        let checked = std::cell::Cell::new(None);
        let scene = scene.meanwhile(rule, |root| {
            let check = std::panic::AssertUnwindSafe(|| still_there(root));
            checked.set(std::panic::catch_unwind(check).err());
        })?;
        if let Some(panic) = checked.take() {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            return Err(scene.broken(rule, format!("after the rollback, what others wrote is gone: {text}")));
        }
        report.held(rule);
        Ok(())
    }
}
