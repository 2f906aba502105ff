//! The mapping: which tables of an old and a new schema show the same rows, and how a row becomes the other.
//!
//! Owns the types that every step of a migration without downtime (`sqlite.expand`, `sqlite.backfill`, `sqlite.parity`,
//! `sqlite.cutover`, `sqlite.contract`) reads from one file beside the plan, and the names of what these steps keep in
//! the user's database. Knows no target and opens none.
//!
//! ```toml
//! name = "consensus"              # the mapping's own: the stage row has it. Without it, the file's name
//!
//! [[table]]
//! name = "outputs"                # ours: stages, counters and reports speak of it
//! old = "consensus_artifacts"
//! new = "agent_outputs"
//! key = [{ old = "id", new = "id" }]   # the identity of a row on both sides, copied as it is (or `negated = true`)
//! when = "old.content_json <> ''"      # optional: only such old rows are mapped
//! [table.forth]                   # new column = SQL over the row `old`
//! agent_name = "old.agent_name"
//! content = "old.content_json"
//! output_timestamp = "CAST(strftime('%s', old.created_at) AS INTEGER) * 1000"
//! [table.back]                    # old column = SQL over the row `new`, and the row `parent`
//! spec_id = "parent.spec_id"
//! agent_name = "new.agent_name"
//! content_json = "new.content"
//! created_at = { sql = "strftime('%Y-%m-%d %H:%M:%S', new.output_timestamp / 1000, 'unixepoch')", lossy = "seconds" }
//! [table.check]                   # a new value outside is quarantined
//! output_timestamp = { from = "2000-01-01", to = "2100-01-01", unit = "ms" }
//! [table.parent]                  # several old rows become children of one new row
//! new = "consensus_runs"
//! id = "id"
//! refers = "run_id"               # the child's column with the parent's id
//! key = { spec_id = "old.spec_id", run_timestamp = "CAST(strftime('%s', old.created_at) AS INTEGER) * 1000" }
//! set = { consensus_ok = "1" }    # what else a new parent gets
//! ```

pub(crate) mod expression;
pub(crate) mod names;
pub(crate) mod over;
mod range;
mod read;
mod read_pair;
pub(crate) mod stage;

use cutover_core::{BuildContext, BuildError};

pub(crate) use expression::{is_literal, is_null};

/// A mapping file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The mapping's name: its stage row has it.
    pub(crate) name: String,
    /// The pairs of tables, in the file's order; at least one.
    pub(crate) pairs: Vec<Pair>,
}

/// An old and a new table that show the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Ours, `[a-z0-9_]`.
    pub(crate) name: String,
    /// The old table.
    pub(crate) old: String,
    /// The new table.
    pub(crate) new: String,
    /// The identity of a row on both sides; at least one.
    pub(crate) key: Vec<KeyColumn>,
    /// SQL over `old`: only such rows are mapped.
    pub(crate) when: Option<String>,
    /// SQL over `new`: only such new rows are shown on the old side.
    pub(crate) when_new: Option<String>,
    /// What a new row becomes whose old row goes, where others need it: literals that [`Pair::when_new`] no longer holds of.
    pub(crate) gone: Vec<Column>,
    /// The columns of the new row, besides its key and [`Parent::refers`]. SQL over `old`.
    pub(crate) forth: Vec<Column>,
    /// The columns of the old row, besides its key. SQL over `new`, and `parent` where there is one.
    pub(crate) back: Vec<Column>,
    /// Ranges that new columns must lie in.
    pub(crate) check: Vec<Range>,
    /// The new row that several old rows share.
    pub(crate) parent: Option<Parent>,
}

/// A column of the identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Its name in the old table.
    pub(crate) old: String,
    /// Its name in the new table.
    pub(crate) new: String,
    /// Each side hands out numbers of its own, and has those of the other side with a minus. Else they are copied.
    pub(crate) negated: bool,
}

impl KeyColumn {
    /// The other side's value of `sql`, which is one side's: the same way forth and back.
    pub(crate) fn across(&self, sql: &str) -> String {
        if self.negated { format!("-({sql})") } else { sql.to_owned() }
    }
}

/// A column and the SQL that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// The column that is made.
    pub(crate) name: String,
    /// An SQL expression.
    pub(crate) sql: String,
    /// What is lost on the way, where something is: "seconds". Only ever said of [`Pair::back`].
    pub(crate) lossy: Option<String>,
}

/// A new column that must lie in a range of whole numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// The column of the new table, or of the parent's key.
    pub(crate) column: String,
    /// The lowest value that is in the range.
    pub(crate) from: i64,
    /// The lowest value above it.
    pub(crate) to: i64,
    /// The range as the file has it: "2000-01-01 to 2100-01-01 in ms".
    pub(crate) said: String,
}

/// A new row that several old rows share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    /// The table.
    pub(crate) new: String,
    /// Its own key: an integer that SQLite hands out.
    pub(crate) id: String,
    /// The column of the child with the parent's id.
    pub(crate) refers: String,
    /// The natural key: the same values are the same parent. SQL over `old`.
    pub(crate) key: Vec<Column>,
    /// What else a new parent gets. SQL over `old`.
    pub(crate) set: Vec<Column>,
}

impl Mapping {
    /// The mapping that `field` of a step's configuration names.
    pub(crate) fn load(field: &str, path: &str, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let text = cx.read_text(field, path)?;
        read::mapping(field, path, &text)
    }

    /// The mapping that a test writes down.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        read::mapping("mapping", "mapping.toml", text).unwrap()
    }

    /// Conditions over `new`, under each of which a row of the new table `table` is shown by a pair of its own.
    pub(crate) fn shown_of(&self, table: &str) -> impl Iterator<Item = &str> {
        let of = self.pairs.iter().filter(move |pair| pair.new.eq_ignore_ascii_case(table));
        of.map(|pair| pair.when_new.as_deref().unwrap_or("1"))
    }

    /// The pair of that name.
    pub(crate) fn pair(&self, name: &str) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.name == name)
    }
}

/// A mapping of this text.
#[cfg(test)]
pub(crate) fn read_text(path: &str, text: &str) -> Result<Mapping, BuildError> {
    read::mapping("mapping", path, text)
}

#[cfg(test)]
mod tests;
