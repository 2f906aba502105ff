//! The step kind `sqlite.export`: the whole database as an SQL file that the sqlite3 program loads.
//!
//! Owns the file's frame: a first line that says whose it is, and a last line with a digest of all before it, by which
//! verify knows that the file is whole. A rollback deletes nothing: it keeps the file under another name.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use cutover_core::disk::{self, PARTIAL_SUFFIX, io_error};
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SqliteTarget;

/// Exports a database as SQL.
#[derive(Debug)]
pub(crate) struct Export {
    target: String,
    into: String,
}

/// The `with` table of `sqlite.export`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportConfig {
    /// The file to write, relative to the root. A file of another origin there is a conflict; an older export of this
    /// very step is replaced. A rollback keeps it as `NAME.rolled-back`.
    into: String,
}

/// What the step made.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    path: String,
    blake3: String,
}

register_step!(Export);

impl StepKind for Export {
    const KIND: &'static str = "sqlite.export";
    const SUMMARY: &'static str = "write the whole database as an SQL file that sqlite3 loads";
    const LAYERS: &'static [Layer] = Layer::ALL;
    const EXAMPLE: &'static str =
        "id = \"dump\"\nuse = \"sqlite.export\"\ntarget = \"app\"\nwith = { into = \"backups/app.sql\" }\n";
    const FAULTS: Faults =
        Faults { apply: &[fault::EXPORT_WRITTEN, fault::EXPORT_NAMED], rollback: &[fault::EXPORT_KEPT] };
    type Config = ExportConfig;

    fn build(config: ExportConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let path = Path::new(&config.into);
        let plain =
            path.components().all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir));
        if !plain || path.file_name().is_none() {
            return Err(BuildError::at("into", format!("`{}` is not a path inside the root", config.into))
                .with_help("write it relative to the root and without `..`"));
        }
        Ok(Self { target, into: config.into })
    }
}

/// What is at the export's path.
enum Present {
    Nothing,
    /// A whole export of this step, and the digest of its file.
    Ours(String),
    /// An export of this step that is not whole.
    Broken(String),
    /// Something else.
    Foreign,
}

impl Export {
    fn path(&self, cx: &StepContext) -> Result<PathBuf, StepError> {
        disk::inside(cx.root(), &self.into, false)
    }

    fn first_line(cx: &StepContext) -> String {
        format!("-- cutover export 1: {}/{}\n", cx.info().plan, cx.info().id)
    }

    async fn present(&self, cx: &StepContext) -> Result<Present, StepError> {
        let (path, first) = (self.path(cx)?, Self::first_line(cx));
        cx.blocking(move || look(&path, &first)).await
    }

    fn conflict(&self) -> StepError {
        StepError::conflict(format!("`{}` is there already and is no export of this step", self.into))
            .with_help("move that file away, or choose another `into`")
    }
}

#[async_trait]
impl MigrationStep for Export {
    fn describe(&self) -> Vec<Change> {
        vec![Change::new(Action::Create, format!("file {}", self.into)).with_detail(format!("{} as SQL", self.target))]
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::read(&self.target)]
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        Ok(match self.present(cx).await? {
            Present::Nothing => Standing::Pending,
            Present::Ours(_) => Standing::Applied,
            Present::Broken(why) => Standing::Partial(why),
            Present::Foreign => {
                let error = self.conflict();
                Standing::Conflict(format!("{error}; {}", error.help().unwrap_or_default()))
            }
        })
    }

    /// It changes no structure.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let before = match self.present(cx).await? {
            Present::Foreign => return Err(self.conflict()),
            Present::Ours(blake3) => Some(blake3),
            Present::Nothing | Present::Broken(_) => None,
        };
        let (path, first) = (self.path(cx)?, Self::first_line(cx));
        let partial = partial(&path);
        let written = partial.clone();
        if let Some(folder) = path.parent() {
            disk::private_dir(folder)?;
        }
        let (rows, bytes, blake3) = cx
            .target::<SqliteTarget>(&self.target)?
            .read_moment(cx, move |conn| {
                let failed = |e| io_error("cannot write", &written, e);
                let file = disk::create(&written);
                let mut out = Hashing::new(BufWriter::with_capacity(1 << 18, file.map_err(failed)?));
                out.write_all(first.as_bytes()).map_err(failed)?;
                let rows = crate::target::dump_database(conn, &mut out)?;
                let (bytes, blake3) = out.seal().map_err(failed)?;
                Ok((rows, bytes, blake3))
            })
            .await?;
        fault::point(fault::EXPORT_WRITTEN);
        let receipt =
            Receipt::of(&Made { path: self.into.clone(), blake3: blake3.clone() })?.with_rows(rows).with_bytes(bytes);
        if before.as_ref() == Some(&blake3) {
            disk::remove_file(&partial).map_err(|e| io_error("cannot remove", &partial, e))?;
            return Ok(Applied::AlreadyApplied(receipt));
        }
        disk::rename(&partial, &path).map_err(|e| io_error("cannot rename", &partial, e))?;
        disk::sync_parent(&path)?;
        fault::point(fault::EXPORT_NAMED);
        Ok(Applied::Changed(receipt))
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        Ok(match self.present(cx).await? {
            Present::Ours(_) => Verdict::Holds,
            Present::Nothing => Verdict::Broken(vec![format!("`{}` is missing", self.into)]),
            Present::Broken(why) => Verdict::Broken(vec![why]),
            Present::Foreign => Verdict::Broken(vec![format!("`{}` is no export of this step", self.into)]),
        })
    }

    async fn rollback(&self, cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        // What a crash left of an export that never got its name.
        let _ = disk::remove_file(&partial(&self.path(cx)?));
        match self.present(cx).await? {
            Present::Nothing | Present::Foreign => Ok(()),
            Present::Ours(_) | Present::Broken(_) => {
                let path = self.path(cx)?;
                let aside = free_aside(&path);
                disk::rename(&path, &aside).map_err(|e| io_error("cannot rename", &path, e))?;
                disk::sync_parent(&path)?;
                fault::point(fault::EXPORT_KEPT);
                let shown = aside.strip_prefix(cx.root()).unwrap_or(&aside);
                cx.note(&format!("the export is kept as `{}`", shown.display()));
                Ok(())
            }
        }
    }
}

/// Where an export is written before it gets its name.
fn partial(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}{PARTIAL_SUFFIX}", path.display()))
}

/// The first free name of `app.sql.rolled-back`, `app.sql.rolled-back.2` and so on.
fn free_aside(path: &Path) -> PathBuf {
    let first = format!("{}.rolled-back", path.display());
    let names = std::iter::once(first.clone()).chain((2..u32::MAX).map(|n| format!("{first}.{n}")));
    names.map(PathBuf::from).find(|p| p.symlink_metadata().is_err()).unwrap_or_else(|| PathBuf::from(first))
}

/// The last line's beginning; the digest of all before it follows.
const SEAL: &str = "-- end; BLAKE3 of all above: ";
/// Length of the last line: digest and line end included.
const SEAL_LENGTH: usize = SEAL.len() + 64 + 1;

fn look(path: &Path, first: &str) -> Result<Present, StepError> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Present::Nothing),
        Err(e) => return Err(io_error("cannot read", path, e)),
    };
    let failed = |e| io_error("cannot read", path, e);
    let body = file.metadata().map_err(failed)?.len().saturating_sub(SEAL_LENGTH as u64);
    let mut start = vec![0; first.len()];
    if io::Read::read_exact(&mut file, &mut start).is_err() || start != first.as_bytes() {
        return Ok(Present::Foreign);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&start);
    let mut rest = io::Read::take(&mut file, body.saturating_sub(start.len() as u64));
    io::copy(&mut rest, &mut hasher).map_err(failed)?;
    let mut seal = Vec::new();
    io::Read::read_to_end(&mut file, &mut seal).map_err(failed)?;
    if seal != seal_line(&hasher.finalize()).as_bytes() {
        return Ok(Present::Broken(format!("`{}` is not whole, or was changed since", path.display())));
    }
    hasher.update(&seal);
    Ok(Present::Ours(hasher.finalize().to_hex().to_string()))
}

fn seal_line(digest: &blake3::Hash) -> String {
    format!("{SEAL}{}\n", digest.to_hex())
}

/// A file that is hashed while it is written.
struct Hashing {
    file: BufWriter<fs::File>,
    hasher: blake3::Hasher,
    pending: Vec<u8>,
    bytes: u64,
}

impl Hashing {
    fn new(file: BufWriter<fs::File>) -> Self {
        Self { file, hasher: blake3::Hasher::new(), pending: Vec::with_capacity(1 << 17), bytes: 0 }
    }

    /// Writes the last line and makes the file durable. Returns its size and digest.
    fn seal(mut self) -> io::Result<(u64, String)> {
        self.flush()?;
        let line = seal_line(&self.hasher.finalize());
        self.write_all(line.as_bytes())?;
        self.flush()?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok((self.bytes, self.hasher.finalize().to_hex().to_string()))
    }
}

impl Write for Hashing {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.file.write_all(part)?;
        self.pending.extend_from_slice(part);
        self.bytes += part.len() as u64;
        if self.pending.len() >= 1 << 16 {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.pending);
        self.pending.clear();
        self.file.flush()
    }
}
