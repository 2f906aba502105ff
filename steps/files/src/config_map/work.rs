//! What a step would write: the old file read, mapped, held against the schema, and put into words again.
//!
//! Owns that look, and every conflict that it can end in. Writes nothing.

use std::path::PathBuf;

use cutover_core::disk::{inside, io_error};
use cutover_core::{StepContext, StepError};
use serde_json::Value;

use super::ConfigMap;
use super::file::present;
use super::mapping::Mapped;

/// What apply will write.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) path: PathBuf,
    pub(super) before: Option<(Vec<u8>, u32)>,
    pub(super) after: Vec<u8>,
    pub(super) mode: u32,
    pub(super) mapped: Mapped,
    pub(super) folders: Vec<String>,
}

impl ConfigMap {
    /// What is to be written; none when it is there already. All that stands in the way is a conflict.
    pub(super) async fn look(&self, cx: &StepContext) -> Result<Option<Work>, StepError> {
        let folder = self.base.folder(cx)?;
        let (from, to) = (self.from.0.clone(), self.to.0.clone());
        let read = cx
            .blocking(move || {
                let source = inside(&folder, &from, true)?;
                let path = inside(&folder, &to, true)?;
                let old = present(&source)?.ok_or_else(|| {
                    StepError::unavailable(format!("the configuration `{from}` is not there"))
                        .with_help("put it there, or let the step apply only `when` a `dir` target has `file:…`")
                })?;
                let real = folder.canonicalize().map_err(|e| io_error("cannot open", &folder, e))?;
                let missing = path.ancestors().skip(1).take_while(|f| !f.exists());
                let mut folders: Vec<_> =
                    missing.map(|f| f.strip_prefix(&real).unwrap_or(f).display().to_string()).collect();
                folders.reverse();
                Ok((old, present(&path)?, path, folders))
            })
            .await?;
        let ((old, mode), before, path, folders) = read;
        let text = String::from_utf8(old)
            .map_err(|e| StepError::conflict(format!("`{}` is not UTF-8", self.from.0)).caused_by(e.utf8_error()))?;
        let document = self.from.1.read(&text).map_err(|e| unreadable(&self.from.0, &e))?;
        if self.from.0 != self.to.0
            && let Some((bytes, _)) = &before
        {
            let there = String::from_utf8_lossy(bytes);
            let lines = match self.to.1.read(&there) {
                Ok(new) => [self.mapping.missing(&new, &[]), self.schema_errors(&new)].concat(),
                Err(e) => vec![e],
            };
            return if lines.is_empty() { Ok(None) } else { Err(occupied(&self.to.0, &lines)) };
        }
        let mut mapped = self.mapping.map(&document).map_err(|problems| {
            let help =
                "name each key in `map`, `keep`, `drop` (with why), `set` or `defaults`, or take it out of the file";
            StepError::conflict(format!("`{}` cannot be mapped: {}", self.from.0, problems.join("; "))).with_help(help)
        })?;
        let errors = self.schema_errors(&mapped.document);
        if !errors.is_empty() {
            return Err(StepError::conflict(format!(
                "what would become of `{}` is against the schema: {}",
                self.to.0,
                errors.join("; ")
            ))
            .with_help(
                "nothing was written; add the values to `set` or `defaults`, or correct the file or the schema",
            ));
        }
        if self.from.0 == self.to.0 && mapped.document == document {
            return Ok(None);
        }
        if self.from.1.has_comments(&text) {
            mapped.notes.push(format!("comments of {} are not carried over", self.from.0));
        }
        let like = (self.from.1 == self.to.1).then_some(text.as_str());
        let after = self.to.1.write(&mapped.document, like).map_err(|e| {
            StepError::conflict(format!("`{}` cannot be written: {e}", self.to.0))
                .with_help("choose a format that can say it")
        })?;
        Ok(Some(Work { path, before, after: after.into_bytes(), mode, mapped, folders }))
    }

    /// Everything in which the document is against the schema. Values are not shown: they may be secrets.
    pub(super) fn schema_errors(&self, document: &Value) -> Vec<String> {
        let Some(schema) = &self.schema else { return Vec::new() };
        let place = |path: String| if path.is_empty() { "/".to_owned() } else { path };
        let line =
            |e: jsonschema::ValidationError<'_>| format!("{}: {}", place(e.instance_path().to_string()), e.masked());
        let mut lines: Vec<_> = schema.iter_errors(document).map(line).collect();
        lines.sort();
        lines
    }
}

fn unreadable(path: &str, why: &str) -> StepError {
    StepError::conflict(format!("`{path}` cannot be read: {why}")).with_help("correct the file; nothing was written")
}

fn occupied(path: &str, lines: &[String]) -> StepError {
    StepError::conflict(format!("`{path}` is there and is not what the old file would become: {}", lines.join("; ")))
        .with_help("move it elsewhere, or choose another `to`; it is never overwritten")
}
