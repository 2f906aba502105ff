//! The plan compiler (three passes, all errors collected).

use std::collections::BTreeMap;

use super::{CompileErrors, Plan, PlanFiles};
use crate::Registry;

/// What a compilation starts from.
#[derive(Clone, Copy)]
pub struct CompileInput<'a> {
    /// The plan file's name as it is to be shown.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The files beside it.
    pub files: &'a dyn PlanFiles,
    /// The kinds that are linked in.
    pub registry: &'a Registry,
    /// `--var` overrides: TOML values; a text that is no TOML value is taken as a string.
    pub vars: &'a BTreeMap<String, String>,
    /// The environment, for `${env.NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// Compiles a plan.
pub fn compile(input: CompileInput<'_>) -> Result<Plan, CompileErrors> {
    Err(CompileErrors { file: input.file.to_owned(), source: input.text.to_owned(), diagnostics: Vec::new() })
}
