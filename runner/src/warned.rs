//! Warnings in the form in which mistakes are shown.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cutover_core::plan::{Beside, CompileErrors, Diagnostic, Plan, Warning};

use crate::style::count;

/// What is doubtful about a plan, in plan order.
#[derive(Debug)]
pub(crate) struct Warned(pub CompileErrors);

/// Warnings that are shown to a person; the rest is counted.
const MOST: usize = 100;

impl Warned {
    /// `warnings` about steps of `plan`, whose file is `file` with this text.
    pub(crate) fn of(plan: &Plan, file: &Path, text: &str, warnings: impl IntoIterator<Item = Warning>) -> Self {
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut files: BTreeMap<String, Arc<Beside>> = BTreeMap::new();
        let one = |Warning { step, in_plan, finding }| {
            let mut span = in_plan;
            let beside = finding.place.map(|(path, inside): (String, _)| {
                span = inside;
                let known = files.entry(path).or_insert_with_key(|path| {
                    let bytes = plan.step(&step).and_then(|step| step.files.get(path));
                    let source = bytes.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
                    Arc::new(Beside { file: folder.join(path).display().to_string(), source })
                });
                Arc::clone(known)
            });
            let message = format!("step `{step}`: {}", finding.message);
            let (label, help) = (finding.label, finding.help);
            Diagnostic { code: finding.code, message, span: Some(span), label, help, beside }
        };
        let diagnostics = warnings.into_iter().map(one).collect();
        Self(CompileErrors { file: file.display().to_string(), source: text.to_owned(), diagnostics })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.diagnostics.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// With source lines and carets, for people; nothing where there are none.
    pub(crate) fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for diagnostic in self.0.diagnostics.iter().take(MOST) {
            text.push_str(&crate::diagnostic::render_warning(&self.0, diagnostic, color));
            text.push_str("\n\n");
        }
        if let Some(more) = self.len().checked_sub(MOST).filter(|more| *more > 0) {
            text.push_str(&format!("{} not shown\n\n", count(more, "more warning")));
        }
        text
    }

    /// As a document lists them.
    pub(crate) fn as_json(&self) -> serde_json::Value {
        let one = |d: &Diagnostic| {
            let (line, column) = self.0.position(d, d.span.as_ref().map_or(0, |s| s.start));
            let file = self.0.place(d).0;
            serde_json::json!({
                "code": d.code, "message": d.message, "file": file, "line": line, "column": column, "help": d.help,
            })
        };
        self.0.diagnostics.iter().map(one).collect()
    }
}
