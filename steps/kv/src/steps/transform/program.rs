//! A jq program, and what it makes of a record's value.
//!
//! Owns that a program has nothing but the record to go by: the clock, the environment, the local time zone and what would
//! end the process are not there, so that the same record always comes to the same.

use jaq_core::load::lex::Expect as Lexed;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars, data::JustLut};
use jaq_json::Val;

use super::value;
use crate::record::Record;

/// What jq has elsewhere and a program has not here.
const WITHHELD: [&str; 12] = [
    "now",
    "env",
    "halt",
    "halt_error",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "localtime",
    "strflocaltime",
    "input",
    "inputs",
];

/// The variables of every program.
const VARIABLES: [&str; 2] = ["$key", "$version"];

/// A program, ready to run.
pub(super) struct Program {
    filter: Filter<JustLut<Val>>,
}

/// What came of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its value, as bytes.
    Value(Vec<u8>),
    /// Nothing: the program says the same that is there.
    Same,
    /// No value: why, and the words of whoever says so.
    None(Why, String),
}

/// Why a record cannot be transformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    NotJson,
    Merge,
    Failed,
    NoOutput,
    SeveralOutputs,
    OutputNotJson,
}

impl Why {
    /// As quarantine lists it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NotJson => "value-not-json",
            Self::Merge => "merge-operand",
            Self::Failed => "program-error",
            Self::NoOutput => "no-output",
            Self::SeveralOutputs => "several-outputs",
            Self::OutputNotJson => "output-not-json",
        }
    }
}

impl Program {
    /// Compiles `text`; the error says where, in words.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let known = |name: &str| !WITHHELD.contains(&name);
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).filter(|def| known(def.name));
        let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs()).filter(|(name, ..)| known(name));
        let arena = Arena::default();
        let modules = Loader::new(defs)
            .load(&arena, File { code: text, path: () })
            .map_err(|errors| unread(text, errors.into_iter().map(|(_, error)| error)))?;
        let compiler = Compiler::default().with_funs(funs).with_global_vars(VARIABLES);
        let filter = compiler.compile(modules).map_err(|errors| {
            let unknown = errors.into_iter().flat_map(|(_, errors)| errors);
            let lines: Vec<String> = unknown.map(|(name, what)| undefined(text, name, what.as_str())).collect();
            lines.join("; ")
        })?;
        Ok(Self { filter })
    }

    /// Runs it on the value of a record.
    pub(super) fn run(&self, record: &Record) -> Outcome {
        if record.meta.is_merge() {
            let text = "the function that merges it is in the program that wrote it";
            return Outcome::None(Why::Merge, text.to_owned());
        }
        let input = match value::read(&record.value) {
            Ok(input) => input,
            Err(text) => return Outcome::None(Why::NotJson, text),
        };
        let before = value::write(&input);
        let version = Val::Num(jaq_json::Num::from_integral(record.version));
        let variables = Vars::new([Val::utf8_str(record.key.clone()), version]);
        let context = Ctx::<JustLut<Val>>::new(&self.filter.lut, variables);
        let mut outputs = self.filter.id.run((context, input));
        let output = match outputs.next() {
            None => return Outcome::None(Why::NoOutput, "the program has no output".to_owned()),
            Some(Err(exception)) => {
                let text = exception.get_err().map_or_else(|_| "the program broke off".to_owned(), |e| e.to_string());
                return Outcome::None(Why::Failed, text);
            }
            Some(Ok(output)) => output,
        };
        if outputs.next().is_some() {
            return Outcome::None(Why::SeveralOutputs, "the program has more than one output".to_owned());
        }
        match value::write(&output) {
            Ok(after) if before.as_ref() == Ok(&after) => Outcome::Same,
            Ok(after) => Outcome::Value(after),
            Err(text) => Outcome::None(Why::OutputNotJson, text),
        }
    }
}

/// What is wrong with a program's text.
fn unread<'s>(text: &str, errors: impl Iterator<Item = load::Error<&'s str>>) -> String {
    let line = |rest: &str| format!("line {}", 1 + text[..load::span(text, rest).start].matches('\n').count());
    let one = |error: load::Error<&str>| -> Vec<String> {
        match error {
            load::Error::Io(errors) => {
                errors.into_iter().map(|(path, _)| format!("the module `{path}`: programs import nothing")).collect()
            }
            load::Error::Lex(errors) => errors
                .into_iter()
                .map(|(expected, at): (Lexed<&str>, &str)| format!("{}: expected {}", line(at), expected.as_str()))
                .collect(),
            load::Error::Parse(errors) => errors
                .into_iter()
                .map(|(expected, at)| format!("{}: expected {}", line(at), expected.as_str()))
                .collect(),
        }
    };
    let lines: Vec<String> = errors.flat_map(one).collect();
    lines.join("; ")
}

fn undefined(text: &str, name: &str, what: &str) -> String {
    // A definition of the library that needs what is withheld has another text.
    let within = text.as_bytes().as_ptr_range().contains(&name.as_ptr());
    let line = if within {
        format!("line {}: ", 1 + text[..load::span(text, name).start].matches('\n').count())
    } else {
        String::new()
    };
    let why = if WITHHELD.contains(&name) { ": a program has only the record to go by" } else { "" };
    format!("{line}there is no {what} `{name}`{why}")
}
