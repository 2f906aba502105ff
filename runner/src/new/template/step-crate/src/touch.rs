//! The step kind `acme-steps.touch`: a file holds a given text.
//!
//! Owns what that means, and the before-image that undoes it. Knows nothing of plans, journals or order.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cutover_core::plan::is_inside;
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, MigrationStep, Receipt, Standing, StepContext, StepError,
    StepKind, Verdict, async_trait, disk, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `with` table of a step. The comments on its fields are the documentation that users see.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TouchConfig {
    /// The file, relative to the root; its folder must be there.
    path: String,
    /// All that it will hold.
    text: String,
}

/// One step: its configuration, checked.
#[derive(Debug, Clone)]
struct Touch(TouchConfig);

/// What a receipt says. It lists only what this step made: the text that it replaced, none if it made the file.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    was: Option<String>,
}

register_step!(Touch);

impl StepKind for Touch {
    // A persistent name: plans and journals remember it. Alias it, never rename it.
    const KIND: &'static str = "acme-steps.touch";
    const SUMMARY: &'static str = "a file holds a given text";
    const EXAMPLE: &'static str =
        "id = \"say-hello\"\nuse = \"acme-steps.touch\"\nwith = { path = \"hello.txt\", text = \"hello\" }\n";
    type Config = TouchConfig;

    // Whatever can be checked without looking at the system is checked here, and shown at the place in the plan.
    fn build(config: TouchConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        if !is_inside(Path::new(&config.path)) {
            return Err(BuildError::at("path", format!("`{}` leaves the root", config.path))
                .with_help("name a file relative to the root, without `..`"));
        }
        Ok(Self(config))
    }
}

#[async_trait]
impl MigrationStep for Touch {
    // Pure: no look at the disk, the same answer each time. `plan` prints it.
    fn describe(&self) -> Vec<Change> {
        vec![Change::new(Action::Create, format!("file {}", self.0.path))]
    }

    // Read-only, like verify. The runner asks it before it applies, and after a crash.
    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        Ok(if self.holds(self.read(cx).await?.as_ref()) { Standing::Applied } else { Standing::Pending })
    }

    // Idempotent: a crash may replay it.
    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let now = self.read(cx).await?;
        if self.holds(now.as_ref()) {
            // After a crash it may be our own work that we find: then the intent says what was there before us.
            let ours = cx.info().intent.clone();
            return Ok(Applied::AlreadyApplied(ours.unwrap_or_else(Receipt::nothing)));
        }
        let receipt = Receipt::of(&Made { was: now })?.with_bytes(self.0.text.len() as u64);
        // The before-image is durable before the first byte is written. Whatever happens then can be undone.
        cx.intend(&receipt).await?;
        self.write(cx, Some(self.0.text.clone())).await?;
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let now = self.read(cx).await?;
        Ok(if self.holds(now.as_ref()) {
            Verdict::Holds
        } else {
            let found = if now.is_some() { "holds another text" } else { "is not there" };
            Verdict::Broken(vec![format!("file {} {found}", self.0.path)])
        })
    }

    // Idempotent too, and it tolerates that nothing happened.
    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let made = receipt.map(|receipt| receipt.read::<Option<Made>>()).transpose()?.flatten();
        let Some(made) = made else { return Ok(()) };
        let now = self.read(cx).await?;
        if now == made.was {
            return Ok(());
        }
        if !self.holds(now.as_ref()) {
            let message = format!("the file `{}` was changed by others since this step wrote it", self.0.path);
            return Err(StepError::conflict(message).with_help("set their version aside, then run the rollback again"));
        }
        self.write(cx, made.was).await
    }
}

impl Touch {
    /// The one place that decides what "applied" means.
    fn holds(&self, now: Option<&String>) -> bool {
        now == Some(&self.0.text)
    }

    /// What the file holds now.
    async fn read(&self, cx: &StepContext) -> Result<Option<String>, StepError> {
        let (step, root) = (self.clone(), cx.root().to_owned());
        // Whatever blocks goes into one closure, which owns what it needs.
        cx.blocking(move || {
            let path = step.full_path(&root)?;
            match fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(disk::io_error("cannot read", &path, e)),
            }
        })
        .await
    }

    /// Makes the file hold `text`, or takes it away. A crash leaves the old file or the new one.
    async fn write(&self, cx: &StepContext, text: Option<String>) -> Result<(), StepError> {
        let (step, root) = (self.clone(), cx.root().to_owned());
        cx.blocking(move || {
            let path = step.full_path(&root)?;
            match text {
                Some(text) => disk::write_atomic(&path, text.as_bytes(), mode(&path)),
                None => {
                    fs::remove_file(&path).map_err(|e| disk::io_error("cannot remove", &path, e))?;
                    disk::sync_parent(&path)
                }
            }
        })
        .await
    }

    /// The file inside the root; a link that leads out is refused.
    fn full_path(&self, root: &Path) -> Result<PathBuf, StepError> {
        disk::inside(root, &self.0.path, true)
    }
}

/// The mode of the file, if it is there; else readable and writable for its owner alone.
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).map_or(disk::PRIVATE_FILE, |meta| meta.permissions().mode() & 0o7777)
}
