//! What a step may look at while it is built. Owns the reading of plan files during a build, so that what was read is
//! known; opens no target and reads nothing outside the plan's folder.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{BuildError, TargetSpec};
use crate::closest;
use crate::plan::PlanFiles;

/// What a step may look at while it is built: its place in the plan, the plan's files, targets and variables.
pub struct BuildContext<'a> {
    /// The step's id.
    pub id: &'a str,
    /// The step's `target`, if it has one.
    pub target: Option<&'a str>,
    /// The plan's targets by name.
    pub targets: &'a BTreeMap<String, TargetSpec>,
    /// The plan's variables.
    pub vars: &'a BTreeMap<String, Value>,
    files: &'a dyn PlanFiles,
    read: RefCell<BTreeMap<String, Arc<[u8]>>>,
}

impl<'a> BuildContext<'a> {
    /// A context for one step. Compilers and testkits make these.
    pub fn new(
        id: &'a str,
        target: Option<&'a str>,
        targets: &'a BTreeMap<String, TargetSpec>,
        vars: &'a BTreeMap<String, Value>,
        files: &'a dyn PlanFiles,
    ) -> Self {
        Self { id, target, targets, vars, files, read: RefCell::default() }
    }

    /// The step's `target`, which must be there and of `kind`.
    pub fn target_of(&self, kind: &str) -> Result<String, BuildError> {
        let Some(name) = self.target else {
            return Err(BuildError::at("", format!("this step needs a `target` of kind `{kind}`"))
                .with_help("add `target = \"NAME\"` to the step, beside `use`"));
        };
        self.known_target(name, Some(kind), "")
    }

    /// A target named in `field` of the configuration, which must be there (and of `kind`, if given).
    pub fn known_target(&self, name: &str, kind: Option<&str>, field: &str) -> Result<String, BuildError> {
        let Some(spec) = self.targets.get(name) else {
            let error = BuildError::at(field, format!("the plan has no target `{name}`"));
            return Err(match closest(name, self.targets.keys().map(String::as_str)) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error,
            });
        };
        match kind {
            Some(kind) if spec.kind != kind => Err(BuildError::at(
                field,
                format!("target `{name}` is of kind `{}`; this step needs `{kind}`", spec.kind),
            )),
            _ => Ok(name.to_owned()),
        }
    }

    /// A file of the plan's folder, named in `field`. What is read here is digested and kept for rollback; read again, it
    /// is the same bytes.
    pub fn read_file(&self, field: &str, path: &str) -> Result<Arc<[u8]>, BuildError> {
        if let Some(bytes) = self.read.borrow().get(path) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = self.files.read(Path::new(path)).map_err(|e| {
            let error = BuildError::at(field, e.to_string());
            match e.help() {
                Some(help) => error.with_help(help),
                None => error,
            }
        })?;
        self.read.borrow_mut().insert(path.to_owned(), Arc::clone(&bytes));
        Ok(bytes)
    }

    /// A text file of the plan's folder; it must be UTF-8.
    pub fn read_text(&self, field: &str, path: &str) -> Result<String, BuildError> {
        let bytes = self.read_file(field, path)?;
        String::from_utf8(bytes.to_vec()).map_err(|e| {
            BuildError::at(field, format!("`{path}` is not UTF-8 (byte {})", e.utf8_error().valid_up_to()))
        })
    }

    /// The files read so far, by the path as written.
    pub fn files_read(&self) -> BTreeMap<String, Arc<[u8]>> {
        self.read.borrow().clone()
    }
}

impl fmt::Debug for BuildContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildContext").field("id", &self.id).field("target", &self.target).finish_non_exhaustive()
    }
}
