//! The file by which somebody slows a backfill down, or halts it, while it runs.
//!
//! ```text
//! # read before every batch; what is not there is as the step says
//! pause = true
//! rows-per-second = 2000
//! batch = 500
//! hold-ms = 10
//! ```
//!
//! Owns the format. A file that is not there slows nothing down; of one that cannot be read whole (somebody is just
//! writing it) the last good state stays.

use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use cutover_core::{BuildError, StepContext, StepError, disk};

/// A pause is no longer than this before it is asked again whether to stop.
const SLICE: Duration = Duration::from_millis(50);

/// What the file asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Throttle {
    /// Nothing is written until this is taken back.
    pub(crate) pause: bool,
    /// Rows in a second at most.
    pub(crate) rate: Option<u64>,
    /// Rows of a batch at most.
    pub(crate) batch: Option<u64>,
    /// How long a batch should hold the database at most.
    pub(crate) hold: Option<Duration>,
}

impl Throttle {
    /// What the file asks for now; an error is a line for people.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e.to_string()),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut throttle = Self::default();
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| format!("`{line}` is no `name = value`"))?;
            let (name, value) = (name.trim(), value.trim());
            let number = || {
                let number: Option<u64> = value.replace('_', "").parse().ok().filter(|n| *n > 0);
                number.ok_or_else(|| format!("`{name}` is `{value}`, not a number of at least 1"))
            };
            match name {
                "pause" => {
                    throttle.pause = value.parse().map_err(|_| format!("`pause` is `{value}`, not true or false"))?;
                }
                "rows-per-second" => throttle.rate = Some(number()?),
                "batch" => throttle.batch = Some(number()?),
                "hold-ms" => throttle.hold = Some(Duration::from_millis(number()?)),
                _ => return Err(format!("`{name}` is none of pause, rows-per-second, batch, hold-ms")),
            }
        }
        Ok(throttle)
    }
}

/// Refuses a path that leaves the root.
pub(crate) fn check(path: &str) -> Result<(), BuildError> {
    let plain = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if plain && Path::new(path).file_name().is_some() {
        return Ok(());
    }
    Err(BuildError::at("throttle", format!("`{path}` is not a path inside the root"))
        .with_help("write it relative to the root and without `..`"))
}

/// What slows the step down between its batches.
#[derive(Debug)]
pub(crate) struct Brake {
    path: Option<PathBuf>,
    now: Throttle,
    /// What was told of a file that cannot be read.
    told: Option<String>,
}

impl Brake {
    /// The brake of a step with that file.
    pub(crate) fn new(cx: &StepContext, path: Option<&str>) -> Result<Self, StepError> {
        let path = path.map(|path| disk::inside(cx.root(), path, true)).transpose()?;
        Ok(Self { path, now: Throttle::default(), told: None })
    }

    /// What the file asks for; returns when it no longer asks for a pause, or the step has to stop.
    pub(crate) async fn look(&mut self, cx: &StepContext) -> Result<Throttle, StepError> {
        let Some(path) = self.path.clone() else { return Ok(Throttle::default()) };
        let mut paused = false;
        loop {
            let path = path.clone();
            match cx.blocking(move || Ok(Throttle::read(&path))).await? {
                Ok(throttle) => (self.now, self.told) = (throttle, None),
                Err(why) => {
                    if self.told.as_ref() != Some(&why) {
                        cx.note(&format!("the throttle file is not read: {why}"));
                        self.told = Some(why);
                    }
                }
            }
            if !self.now.pause || cx.stop_requested() {
                return Ok(self.now.clone());
            }
            if !paused {
                cx.note("paused by the throttle file");
                paused = true;
            }
            rest(cx, SLICE).await?;
        }
    }
}

/// Lets others have the database for so long, or until the step has to stop.
pub(crate) async fn rest(cx: &StepContext, pause: Duration) -> Result<(), StepError> {
    let began = Instant::now();
    while let Some(left) = pause.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        if cx.stop_requested() {
            return Ok(());
        }
        let slice = left.min(SLICE);
        cx.blocking(move || {
            std::thread::sleep(slice);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_read_and_a_broken_one_is_told() {
        let documented = include_str!("throttle.rs").lines().skip_while(|l| *l != "//! ```text").skip(1);
        let text: String =
            documented.take_while(|l| *l != "//! ```").map(|l| format!("{}\n", l.trim_start_matches("//! "))).collect();
        let whole = Throttle { pause: true, rate: Some(2000), batch: Some(500), hold: Some(Duration::from_millis(10)) };
        assert_eq!(Throttle::parse(&text), Ok(whole));
        assert_eq!(Throttle::parse(""), Ok(Throttle::default()));
        let told: Vec<String> = ["pause", "pause = 1", "batch = 0", "rows-per-second = 1.5", "speed = 9"]
            .map(|text| Throttle::parse(text).unwrap_err())
            .to_vec();
        insta::assert_snapshot!(told.join("\n"), @r"
        `pause` is no `name = value`
        `pause` is `1`, not true or false
        `batch` is `0`, not a number of at least 1
        `rows-per-second` is `1.5`, not a number of at least 1
        `speed` is none of pause, rows-per-second, batch, hold-ms
        ");
    }
}
