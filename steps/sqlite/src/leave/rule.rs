//! Which rows of a table go: by age, or all but the newest, of the table or of each group.
//!
//! Owns a rule's fields, its words in a plan's output, and its query.

use std::time::Duration;

use cutover_core::{Action, BuildError, Change, duration};
use schemars::JsonSchema;
use serde::Deserialize;

use super::family::Shape;
use super::time;
use crate::drop::ours;
use crate::mapping::expression;
use crate::sql::quote_ident;

/// A rule as a plan has it: exactly one of `older-than` and `keep`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuleConfig {
    /// The table whose rows go.
    table: String,
    /// The column that tells old rows from new ones. With `older-than` a time: text that begins with a date (`T` or
    /// space, fractions, `Z`, offset; UTC without one), or seconds, milliseconds, microseconds or nanoseconds since
    /// 1970, told by their size. A row whose time cannot be read stays, and is counted. With `keep` anything that grows.
    by: String,
    /// Rows of so long ago go: "180d", "36h".
    #[serde(default)]
    older_than: Option<String>,
    /// That many of the newest rows stay, and the others go.
    #[serde(default)]
    keep: Option<u64>,
    /// With `keep`: so many stay for each value of these columns.
    #[serde(default)]
    per: Vec<String>,
    /// A condition in SQL; rows for which it does not hold stay and are not counted. The plan's variables are bound as
    /// `:name`.
    #[serde(default, rename = "where")]
    only: Option<String>,
    /// Tables whose rows refer to the rows that go, and go with them. Where rows of another table refer to one that is to
    /// go, the step is refused.
    #[serde(default)]
    cascade: Vec<String>,
    /// Triggers that may run when rows go, and again when a rollback puts them back: they must undo each other, as those
    /// of a full-text index do. A table with other triggers on DELETE or INSERT is refused.
    #[serde(default)]
    triggers: Vec<String>,
}

/// A rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(super) table: String,
    pub(super) by: String,
    pub(super) limit: Limit,
    only: Option<String>,
    pub(super) cascade: Vec<String>,
    pub(super) triggers: Vec<String>,
}

/// What makes a row one too many.
#[derive(Debug, Clone)]
pub(super) enum Limit {
    /// With `as_of` counted from then, else from when the step began.
    Age {
        than: Duration,
        text: String,
        as_of: Option<i64>,
    },
    Count {
        keep: u64,
        per: Vec<String>,
    },
}

impl RuleConfig {
    /// Rules, of which there must be one; ages are counted from `as_of`.
    pub(crate) fn all(rules: Vec<Self>, as_of: Option<&str>) -> Result<Vec<Rule>, BuildError> {
        let as_of = as_of.filter(|text| *text != "now");
        let fixed = as_of.map(|text| {
            time::moment(text).ok_or_else(|| {
                BuildError::at("as-of", format!("`{text}` is no time"))
                    .with_help("write a date, \"2026-01-31\", or a time, \"2026-01-31T12:00:00Z\", or leave it out")
            })
        });
        let as_of = as_of.zip(fixed.transpose()?);
        if rules.is_empty() {
            return Err(BuildError::at("tables", "no table is named")
                .with_help("add `{ table = \"t\", by = \"created_at\", older-than = \"30d\" }`"));
        }
        rules.into_iter().map(|rule| rule.build(as_of)).collect()
    }

    fn build(self, as_of: Option<(&str, i64)>) -> Result<Rule, BuildError> {
        for table in std::iter::once(&self.table).chain(&self.cascade) {
            if let Some(remedy) = ours(table) {
                return Err(BuildError::at("tables", format!("`{table}` is not a table of the system"))
                    .with_help(remedy.to_owned()));
            }
        }
        let limit = match (self.older_than, self.keep) {
            (Some(text), None) => {
                let than = duration::parse(&text).ok_or_else(|| {
                    BuildError::at("tables", format!("`{text}` is no duration"))
                        .with_help("write a whole number and a unit: \"180d\" or \"36h\"")
                })?;
                if !self.per.is_empty() {
                    return Err(BuildError::at("tables", "`per` beside `older-than`")
                        .with_help("`per` says for what `keep` counts: take it out, or write a rule of its own"));
                }
                match as_of {
                    Some((from, at)) => Limit::Age { than, text: format!("{text} on {from}"), as_of: Some(at) },
                    None => Limit::Age { than, text, as_of: None },
                }
            }
            (None, Some(keep)) => Limit::Count { keep, per: self.per },
            (older, _) => {
                let text =
                    if older.is_some() { "`older-than` and `keep` in one rule" } else { "a rule without a limit" };
                return Err(BuildError::at("tables", text)
                    .with_help("give either `older-than` or `keep`; a table may have several rules"));
            }
        };
        if let Some(why) = self.only.as_deref().and_then(expression::unreadable) {
            return Err(BuildError::at("tables", format!("`where` is no condition: {why}"))
                .with_help("write what could stand behind WHERE, without the word"));
        }
        let Self { table, by, only, cascade, triggers, .. } = self;
        Ok(Rule { table, by, limit, only, cascade, triggers })
    }
}

impl Rule {
    /// The columns of whose values each has rows of its own to keep.
    pub(super) fn per(&self) -> &[String] {
        match &self.limit {
            Limit::Age { .. } => &[],
            Limit::Count { per, .. } => per,
        }
    }

    /// The lines of a plan about it.
    pub(super) fn describe(&self, to: &str) -> Vec<Change> {
        let with = if self.cascade.is_empty() {
            String::new()
        } else {
            format!(", with the rows of {} that refer to them", self.cascade.join(", "))
        };
        let only = self.only.as_deref().map(|only| format!(" where {}", only.trim())).unwrap_or_default();
        let detail = format!("{}{only}{with}; {to}", self.words());
        vec![Change::new(Action::Remove, format!("rows of table {}", self.table)).with_detail(detail)]
    }

    /// Which rows go, in words.
    pub(super) fn words(&self) -> String {
        match &self.limit {
            Limit::Age { text, .. } => format!("older than {text} by {}", self.by),
            Limit::Count { keep, per } if per.is_empty() => format!("all but the {keep} newest by {}", self.by),
            Limit::Count { keep, per } => {
                format!("all but the {keep} newest by {} of each {}", self.by, per.join(", "))
            }
        }
    }

    /// Whether the clock decides which rows go.
    pub(super) fn asks_the_clock(&self) -> bool {
        matches!(self.limit, Limit::Age { as_of: None, .. })
    }

    /// A query for at most `most` rows that go: what is read of each, then its key. The time now is `at`.
    pub(super) fn query(&self, shape: &Shape, at: i64, most: usize) -> String {
        let (by, table) = (quote_ident(&self.by), quote_ident(&shape.name));
        let only = self.only.as_deref().map(|only| format!(" AND (\n{only}\n)")).unwrap_or_default();
        let all = || shape.list.iter().chain(&shape.key);
        match &self.limit {
            Limit::Age { than, as_of, .. } => {
                let before = as_of.unwrap_or(at).saturating_sub(i64::try_from(than.as_secs()).unwrap_or(i64::MAX));
                let list: Vec<&str> = all().map(String::as_str).collect();
                let (list, time) = (list.join(", "), time::seconds(&by));
                format!("SELECT {list} FROM {table} WHERE {time} < {before}{only} LIMIT {most}")
            }
            Limit::Count { keep, per } => {
                let list: Vec<String> = all().enumerate().map(|(i, name)| format!("{name} AS _c{i}")).collect();
                let per: Vec<String> = per.iter().map(|name| quote_ident(name)).collect();
                let part = if per.is_empty() { String::new() } else { format!("PARTITION BY {} ", per.join(", ")) };
                let last: Vec<String> = shape.key.iter().map(|name| format!("{name} DESC")).collect();
                format!(
                    "SELECT * FROM (SELECT {}, row_number() OVER ({part}ORDER BY {} DESC, {}) AS _n FROM {table} \
                     WHERE {by} IS NOT NULL{only}) WHERE _n > {keep} LIMIT {most}",
                    list.join(", "),
                    time::order(&by),
                    last.join(", ")
                )
            }
        }
    }

    /// A query for the number of rows that stay because their time cannot be read; none where no time is asked for.
    pub(super) fn unreadable(&self) -> Option<String> {
        let Limit::Age { .. } = self.limit else { return None };
        let (by, table) = (quote_ident(&self.by), quote_ident(&self.table));
        let only = self.only.as_deref().map(|only| format!(" AND (\n{only}\n)")).unwrap_or_default();
        Some(format!("SELECT count(*) FROM {table} WHERE {} IS NULL{only}", time::seconds(&by)))
    }
}
