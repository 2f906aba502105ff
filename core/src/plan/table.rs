//! A reader for one TOML table: takes known keys out by type, and at the end names what is left over.
//!
//! Every mistake goes to the diagnostics; the reader then says "not there", so that the walk goes on.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};

/// A text with its place.
pub type Text = Spanned<String>;

/// A value that may be short, a text, or long, a table.
#[derive(Debug)]
pub enum Entry<'i> {
    /// A text.
    Text(Text),
    /// A table, which is to be read and finished.
    Table(Table<'i>),
}

/// One table that is being read.
#[derive(Debug)]
pub struct Table<'i> {
    entries: DeTable<'i>,
    /// The table's header, or the whole of it when it is inline.
    pub header: Range<usize>,
    /// "a step", for messages.
    what: &'static str,
    known: Vec<&'static str>,
    /// Required keys that are not there, each with what to do about it.
    missing: Vec<(&'static str, String)>,
}

impl<'i> Table<'i> {
    /// A reader for `value`, which must be a table.
    pub(crate) fn new(value: Spanned<DeValue<'i>>, what: &'static str, diagnostics: &mut Diagnostics) -> Option<Self> {
        let header = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => Some(Self::of(entries, header, what)),
            other => {
                diagnostics.push(wrong_type(header, what, "a table", &other));
                None
            }
        }
    }

    /// A reader for a table that is already one.
    pub(crate) fn of(entries: DeTable<'i>, header: Range<usize>, what: &'static str) -> Self {
        Self { entries, header, what, known: Vec::new(), missing: Vec::new() }
    }

    /// The raw value of `key`.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.entries.remove(key)
    }

    /// A text.
    pub fn text(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Option<Text> {
        let value = self.take(key)?;
        text(value, &format!("`{key}`"), diagnostics)
    }

    /// A text that must be there.
    pub fn required(&mut self, key: &'static str, help: &str, diagnostics: &mut Diagnostics) -> Option<Text> {
        if !self.has(key) {
            self.known.push(key);
            self.missing.push((key, help.to_owned()));
            return None;
        }
        self.text(key, diagnostics)
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Option<bool> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Boolean(b) => Some(*b),
            other => {
                diagnostics.push(wrong_type(value.span(), &format!("`{key}`"), "`true` or `false`", other));
                None
            }
        }
    }

    /// A list of texts; with `or_one` a single text counts as a list of one.
    pub fn texts(&mut self, key: &'static str, or_one: bool, diagnostics: &mut Diagnostics) -> Vec<Text> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(items) => {
                let each = |item| text(item, &format!("each of `{key}`"), diagnostics);
                items.into_iter().filter_map(each).collect()
            }
            one @ DeValue::String(_) if or_one => {
                text(Spanned::new(span, one), &format!("`{key}`"), diagnostics).into_iter().collect()
            }
            other => {
                let wanted = if or_one { "a text or a list of texts" } else { "a list of texts" };
                diagnostics.push(wrong_type(span, &format!("`{key}`"), wanted, &other));
                Vec::new()
            }
        }
    }

    /// Whether `key` is there and not taken yet.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The tables of an array of tables, each of which is a `what` below its `header`.
    pub fn tables(
        &mut self,
        key: &'static str,
        (what, header): (&'static str, &str),
        diagnostics: &mut Diagnostics,
    ) -> Vec<Table<'i>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(items) => items.into_iter().filter_map(|item| Table::new(item, what, diagnostics)).collect(),
            other => {
                let diagnostic = wrong_type(span, &format!("`{key}`"), "a list of tables", &other);
                diagnostics.push(diagnostic.help(format!("write `{header}`, with two brackets, above each of them")));
                Vec::new()
            }
        }
    }

    /// The entries of a table whose keys are names that the plan gives.
    pub(crate) fn named(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Vec<(Text, Spanned<DeValue<'i>>)> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => entries
                .into_iter()
                .map(|(name, value)| (Spanned::new(name.span(), name.into_inner().into_owned()), value))
                .collect(),
            other => {
                diagnostics.push(wrong_type(span, &format!("`{key}`"), "a table", &other));
                Vec::new()
            }
        }
    }

    /// A table.
    pub fn table(&mut self, key: &'static str, what: &'static str, diagnostics: &mut Diagnostics) -> Option<Table<'i>> {
        let value = self.take(key)?;
        Table::new(value, what, diagnostics)
    }

    /// The entries of a table whose keys are names that the file gives, each a text or a table of its own, which is then
    /// a `what`.
    pub fn entries(
        &mut self,
        key: &'static str,
        what: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Vec<(Text, Entry<'i>)> {
        let mut found = Vec::new();
        for (name, value) in self.named(key, diagnostics) {
            let entry = match value.get_ref() {
                DeValue::Table(_) => Table::new(value, what, diagnostics).map(Entry::Table),
                DeValue::String(_) => text(value, &format!("`{}`", name.get_ref()), diagnostics).map(Entry::Text),
                other => {
                    let what = format!("`{}`", name.get_ref());
                    diagnostics.push(wrong_type(value.span(), &what, "a text or a table", other));
                    None
                }
            };
            found.extend(entry.map(|entry| (name, entry)));
        }
        found
    }

    /// The entries of a table of texts whose keys are names that the file gives.
    pub fn named_texts(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Vec<(Text, Text)> {
        let mut found = Vec::new();
        for (name, value) in self.named(key, diagnostics) {
            found.extend(text(value, &format!("`{}`", name.get_ref()), diagnostics).map(|text| (name, text)));
        }
        found
    }

    /// Names every key that nobody took, and every required one that is not there. A key that is likely a misspelt
    /// required one is one mistake, not two.
    pub fn finish(mut self, diagnostics: &mut Diagnostics) {
        for (key, _) in self.entries {
            let message = format!("{} has no key `{}`", self.what, key.get_ref());
            let diagnostic = Diagnostic::at(codes::UNKNOWN_KEY, key.span(), message).label("unknown key");
            diagnostics.push(diagnostic.suggest(key.get_ref(), "keys", self.known.iter().copied()));
            let meant = crate::closest(key.get_ref(), self.known.iter().copied());
            self.missing.retain(|(missing, _)| Some(*missing) != meant);
        }
        for (key, help) in self.missing {
            let message = format!("{} has no `{key}`", self.what);
            diagnostics.push(Diagnostic::at(codes::MISSING_KEY, self.header.clone(), message).help(help));
        }
    }
}

fn text(value: Spanned<DeValue<'_>>, what: &str, diagnostics: &mut Diagnostics) -> Option<Text> {
    let span = value.span();
    match value.into_inner() {
        DeValue::String(text) => {
            if text.contains("${vars.") || text.contains("${env.") {
                let message = format!("{what} cannot hold a `${{...}}`");
                let help = "variables and secrets are filled into `with` only";
                diagnostics.push(Diagnostic::at(codes::MISPLACED_PLACEHOLDER, span, message).help(help));
                return None;
            }
            Some(Spanned::new(span, text.into_owned()))
        }
        other => {
            diagnostics.push(wrong_type(span, what, "a text", &other));
            None
        }
    }
}

fn wrong_type(span: Range<usize>, what: &str, wanted: &str, found: &DeValue<'_>) -> Diagnostic {
    Diagnostic::at(codes::WRONG_TYPE, span, format!("{what} must be {wanted}"))
        .label(format!("this is {}", kind_of(found)))
}

/// The type of a value with its article.
pub(crate) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
