//! What others did since a snapshot, set aside as SQL text before a restore takes it away.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use cutover_core::disk::{self, io_error};
use cutover_core::{SnapshotManifest, StepError};

use super::known::Known;
use super::loss::Comparison;
use super::objects::{NUMBERS, Objects};

/// What a restore loses.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Rows by table.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Schema objects: "index `i`".
    pub(crate) objects: Vec<String>,
    export: PathBuf,
}

impl Lost {
    /// Counts what is not `known` and writes it beside the copy that was set aside.
    pub(crate) fn export(
        comparison: &Comparison,
        known: &Known<'_>,
        aside: &Path,
        from: &SnapshotManifest,
    ) -> Result<Self, StepError> {
        let export = PathBuf::from(format!("{}.lost-rows.sql", aside.display()));
        let partial = PathBuf::from(format!("{}{}", export.display(), disk::PARTIAL_SUFFIX));
        let failed = |e| io_error("cannot write", &partial, e);
        let file = disk::create(&partial).map_err(failed)?;
        let mut out = BufWriter::new(file);
        let found = comparison.objects(known)?;
        let mut objects = Objects::new();
        let (mut tables, mut later) = (String::new(), String::new());
        for (object, sql) in &found {
            let (kind, name) = object.split_once(' ').unwrap_or((object.as_str(), ""));
            match kind {
                "table" => tables.push_str(&comparison.table_text(name, sql)?),
                _ if NUMBERS.contains(&kind) => tables.push_str(&format!("PRAGMA {kind} = {sql};\n")),
                _ => later.push_str(&format!("{sql};\n")),
            }
            let shown = if name.is_empty() { format!("`{kind}` = {sql}") } else { format!("{kind} `{name}`") };
            objects.insert(object.clone(), shown);
        }
        writeln!(out, "-- Rows of `{}` written since the snapshot of {}.", from.target, from.taken_at)
            .and_then(|()| out.write_all(tables.as_bytes()))
            .map_err(failed)?;
        let rows = comparison.export(known, &mut out)?;
        out.write_all(later.as_bytes()).map_err(failed)?;
        let lost = Self { rows, objects: objects.into_values().collect(), export };
        let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        if lost.is_empty() {
            disk::remove_file(&partial).map_err(failed)?;
        } else {
            disk::rename(&partial, &lost.export).map_err(failed)?;
            disk::sync_parent(&lost.export)?;
        }
        Ok(lost)
    }

    /// Forgets what was exported: it is looked for anew.
    pub(crate) fn discard(self) -> Result<(), StepError> {
        if self.is_empty() {
            return Ok(());
        }
        disk::remove_file(&self.export).map_err(|e| io_error("cannot remove", &self.export, e))
    }

    /// Whether nothing is lost.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.objects.is_empty()
    }

    /// Why the database at `path` is not restored.
    pub(crate) fn refusal(&self, path: &Path) -> StepError {
        let rows: Vec<String> = self.rows.iter().map(|(table, n)| format!("{n} of `{table}`")).collect();
        let rows = rows.join(", ");
        let what = match (self.objects.is_empty(), self.rows.is_empty()) {
            (true, _) => format!("rows that others wrote since the snapshot: {rows}"),
            (_, true) => format!("what others made or changed since the snapshot: {}", self.objects.join(", ")),
            _ => {
                format!("what others made or changed since the snapshot: {}, and rows: {rows}", self.objects.join(", "))
            }
        };
        StepError::conflict(format!("restoring `{}` would lose {what}", path.display())).with_help(format!(
            "they are exported to `{}`; run again with `--accept-loss` to restore all the same. Nothing was changed",
            self.export.display()
        ))
    }
}
