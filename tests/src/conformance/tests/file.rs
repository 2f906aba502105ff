//! A toy step without transactions: it writes a file, intent first. Each `flaw` is a mistake that a real kind could make.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Verdict, async_trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileConfig {
    path: String,
    lines: Vec<String>,
    #[serde(default)]
    flaw: String,
}

#[derive(Debug)]
pub(super) struct WriteFile {
    config: FileConfig,
    asked: AtomicUsize,
    applied: AtomicBool,
}

impl WriteFile {
    fn flawed(&self, flaw: &str) -> bool {
        self.config.flaw == flaw
    }

    fn path(&self, cx: &StepContext) -> PathBuf {
        cx.root().join(&self.config.path)
    }

    fn now(&self, cx: &StepContext) -> Option<String> {
        fs::read_to_string(self.path(cx)).ok()
    }

    /// The file's text when `lines` of it are written.
    fn text(&self, lines: usize) -> String {
        self.config.lines[..lines].iter().map(|line| format!("{line}\n")).collect()
    }

    fn whole(&self) -> String {
        self.text(self.config.lines.len())
    }

    fn litter(cx: &StepContext, who: &str) {
        fs::write(cx.root().join(format!("{who}.log")), who).unwrap();
    }
}

impl StepKind for WriteFile {
    const KIND: &'static str = "toy.file";
    const SUMMARY: &'static str = "Writes a file";
    const EXAMPLE: &'static str = "id = \"a\"\nuse = \"toy.file\"\nwith = { path = \"a\", lines = [\"b\"] }";
    type Config = FileConfig;

    fn build(config: FileConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        Ok(Self { config, asked: AtomicUsize::new(0), applied: AtomicBool::new(false) })
    }
}

#[async_trait]
impl MigrationStep for WriteFile {
    fn describe(&self) -> Vec<Change> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let change = Change::new(Action::Create, format!("file {}", self.config.path));
        vec![if self.flawed("describe-varies") { change.with_detail(format!("asked {asked} times")) } else { change }]
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        if self.flawed("inspect-writes") {
            Self::litter(cx, "inspect");
        }
        let applied = self.now(cx).as_ref() == Some(&self.whole()) || self.flawed("inspect-lies");
        Ok(if applied { Standing::Applied } else { Standing::Pending })
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let (path, now) = (self.path(cx), self.now(cx));
        if self.flawed("applies-once-only") {
            if cx.scratch_dir().exists() {
                return Ok(Applied::AlreadyApplied(cx.info().intent.clone().unwrap_or_default()));
            }
            fs::create_dir_all(cx.scratch_dir()).unwrap();
        }
        let intent = cx.info().intent.clone();
        if now.as_ref() == Some(&self.whole()) && !self.flawed("appends") {
            if self.flawed("second-apply-writes") {
                Self::litter(cx, &format!("apply-{}", cx.info().epoch));
            }
            let lost = self.flawed("replay-loses-receipt");
            let receipt = intent.filter(|_| !lost).unwrap_or_else(Receipt::nothing);
            return Ok(Applied::AlreadyApplied(if self.flawed("undoes-the-whole-only") {
                receipt.with_note("whole")
            } else {
                receipt
            }));
        }
        let forgets = self.flawed("resume-forgets-before");
        let receipt = match intent.filter(|_| !forgets) {
            Some(intent) => intent,
            None => Receipt::of(&now)?,
        };
        if self.flawed("late-intent") {
            fs::write(&path, self.text(1)).unwrap();
        }
        if self.flawed("intent-without-before") {
            cx.intend(&Receipt::nothing()).await?;
        } else {
            cx.intend(&receipt).await?;
        }
        if self.flawed("appends") {
            fs::write(&path, now.unwrap_or_default() + &self.whole()).unwrap();
            return Ok(Applied::Changed(receipt));
        }
        for lines in 1..=self.config.lines.len() {
            if !self.flawed("does-nothing") {
                fs::write(&path, self.text(lines)).unwrap();
            }
            if cx.stop_requested() && lines < self.config.lines.len() {
                return Ok(Applied::Stopped(Checkpoint { at: format!("{lines} lines") }));
            }
        }
        self.applied.store(true, Ordering::Relaxed);
        Ok(Applied::Changed(if self.flawed("undoes-the-whole-only") { receipt.with_note("whole") } else { receipt }))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        if self.flawed("verify-writes") {
            Self::litter(cx, "verify");
        }
        let holds = self.now(cx).as_ref() == Some(&self.whole()) || self.config.flaw.ends_with("-blindly");
        let holds = holds || self.flawed("does-nothing") || self.flawed("appends");
        let holds = holds && (self.applied.load(Ordering::Relaxed) || !self.flawed("remembers-in-memory"));
        Ok(if holds { Verdict::Holds } else { Verdict::Broken(vec![format!("{} differs", self.config.path)]) })
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let path = self.path(cx);
        let receipt = match receipt {
            None if self.flawed("rolls-back-unasked") => Receipt::of(&None::<String>)?,
            None => return Ok(()),
            Some(receipt) if self.flawed("undoes-the-whole-only") && receipt.notes.is_empty() => return Ok(()),
            Some(receipt) => receipt.clone(),
        };
        let was = receipt.read::<Option<String>>()?.filter(|_| !self.flawed("rollback-removes"));
        if self.flawed("rolls-back-once-only") && self.now(cx) == was {
            return Err(StepError::failed("nothing is there to be rolled back"));
        }
        if self.flawed("rolls-back-too-much") {
            fs::remove_file(cx.root().join("notes/other.txt")).ok();
        }
        if self.flawed("leaves-litter") {
            Self::litter(cx, "rollback");
        }
        match was {
            Some(was) => fs::write(path, was).unwrap(),
            None => drop(fs::remove_file(path)),
        }
        Ok(())
    }
}
