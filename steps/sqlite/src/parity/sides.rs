//! The SQL of both sides of a pair: the same rows, in the same columns, as the old program reads them.
//!
//! Owns normalisation. A column that the mapping gives back as it was is compared as it stands in the old table. One that
//! is declared lossy is compared as it would come back: by the way there and back on the old side, by the way back on the
//! new one. Values get the affinity that storing them would give; texts are compared byte by byte.

use cutover_core::StepError;
use rusqlite::Connection;

use super::columns::{Stored, affine, affinity, columns};
use super::quarantine;
use crate::declared::same_name;
use crate::expand::Shape;
use crate::mapping::{KeyColumn, Pair, Parent};
use crate::sql::{quote_ident, tokens};

/// What is compared of one pair, as SQL.
#[derive(Debug, Clone)]
pub(crate) struct Sides {
    /// The key, as the old table names it and as the new one does.
    pub(crate) key: Vec<(String, String)>,
    /// The key is one id, which the new table has with a minus.
    pub(crate) negated: bool,
    /// The collation of each column of the key, where both tables have it in a unique index by the same; else byte by byte.
    pub(crate) collations: Vec<String>,
    /// The compared columns behind the key, in the order of the old table.
    pub(crate) compared: Vec<Compared>,
    old: String,
    new: String,
    /// Which old rows are mapped.
    when: String,
    /// Which new rows are.
    when_new: Option<String>,
    /// Which of them are not in quarantine.
    mapped: String,
    /// Which old rows stand for a new one that is in quarantine.
    pub(crate) follows: String,
    /// Which new rows are not in quarantine.
    shown: String,
    parent: Option<Join>,
}

/// One compared column of the old table.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    pub(crate) column: String,
    /// Why it does not come back as it was, where the mapping says so.
    pub(crate) lossy: Option<String>,
    /// Its value on the old side, normalised.
    pub(crate) old: String,
    /// Its value on the new side: the way back.
    pub(crate) new: String,
}

/// How the new side reaches its parent rows.
#[derive(Debug, Clone)]
struct Join {
    table: String,
    on: String,
    missing: String,
}

impl Sides {
    /// The sides of `pair` as the tables are now.
    pub(crate) fn of(conn: &Connection, pair: &Pair) -> Result<Self, StepError> {
        let (old_columns, new_columns) = (columns(conn, &pair.old)?, columns(conn, &pair.new)?);
        let key: Vec<(String, String)> = pair.key.iter().map(|k| (k.old.clone(), k.new.clone())).collect();
        let mut compared = Vec::new();
        for column in old_columns.iter().filter(|c| !key.iter().any(|(old, _)| same_name(old, &c.name))) {
            let Some(back) = pair.back.iter().find(|b| same_name(&b.name, &column.name)) else { continue };
            let old = match &back.lossy {
                None => format!("old.{}", quote_ident(&column.name)),
                Some(_) => affine(&there_and_back(pair, &back.sql, &new_columns), column.affinity),
            };
            let new = affine(&back.sql, column.affinity);
            compared.push(Compared { column: column.name.clone(), lossy: back.lossy.clone(), old, new });
        }
        let parent = pair.parent.as_ref().map(|parent| {
            let id = format!("parent.{}", quote_ident(&parent.id));
            Join {
                table: quote_ident(&parent.new),
                on: format!("{id} = new.{}", quote_ident(&parent.refers)),
                missing: format!("{id} IS NULL"),
            }
        });
        let when = format!("({})", pair.when.as_deref().unwrap_or("1"));
        let names = |side: &str, name: fn(&(String, String)) -> &String| -> Vec<String> {
            key.iter().map(|k| format!("{side}.{}", quote_ident(name(k)))).collect()
        };
        let mapped = format!("{when} AND NOT {}", quarantine::holds(conn, pair, &names("old", |k| &k.0))?);
        let follows = quarantine::follows(conn, pair, &names("old", |k| &k.0))?;
        let negated = pair.key.iter().any(|k| k.negated);
        let new_key: Vec<String> =
            pair.key.iter().zip(names("new", |k| &k.1)).map(|(key, name)| key.across(&name)).collect();
        let when_new = pair.when_new.as_ref().map(|when| format!("({when}) AND ")).unwrap_or_default();
        let shown = format!("{when_new}NOT {}", quarantine::holds(conn, pair, &new_key)?);
        Ok(Self {
            collations: collations(conn, pair)?,
            follows,
            shown,
            negated,
            key,
            compared,
            old: quote_ident(&pair.old),
            new: quote_ident(&pair.new),
            when,
            when_new: pair.when_new.as_ref().map(|when| format!("({when})")),
            mapped,
            parent,
        })
    }

    /// The query of the old side: key, then the compared columns. Conditions may be added with AND.
    pub(crate) fn old_query(&self) -> String {
        let columns = self.compared.iter().map(|c| bytewise(&c.old));
        format!("SELECT {} {}", listed(self.old_key(), columns), self.old_from())
    }

    /// The query of the new side, in the same columns.
    pub(crate) fn new_query(&self) -> String {
        let columns = self.compared.iter().map(|c| bytewise(&c.new));
        format!("SELECT {} {}", listed(self.new_key(), columns), self.new_from())
    }

    /// `FROM … WHERE …` of the old side.
    pub(crate) fn old_from(&self) -> String {
        format!("FROM {} AS old WHERE {}", self.old, self.mapped)
    }

    /// The rows of both tables that are visited to find those, as `FROM … WHERE …`.
    pub(crate) fn visited(&self) -> [String; 2] {
        let has_key = |side: &str, names: Vec<&String>| -> String {
            let each = names.iter().map(|name| format!("{side}.{} IS NOT NULL", quote_ident(name)));
            each.collect::<Vec<_>>().join(" AND ")
        };
        [
            format!("FROM {} AS old WHERE {}", self.old, has_key("old", self.key.iter().map(|k| &k.0).collect())),
            format!("FROM {} AS new WHERE {}", self.new, has_key("new", self.key.iter().map(|k| &k.1).collect())),
        ]
    }

    /// The same with the rows in quarantine.
    pub(crate) fn whole_old_from(&self) -> String {
        format!("FROM {} AS old WHERE {}", self.old, self.when)
    }

    /// `FROM … WHERE …` of the new side.
    pub(crate) fn new_from(&self) -> String {
        let (from, shown) = self.new_parts();
        format!("{from} WHERE {shown}")
    }

    /// The same in its two parts.
    pub(crate) fn new_parts(&self) -> (String, &str) {
        let parent =
            self.parent.as_ref().map_or_else(String::new, |p| format!("JOIN {} AS parent ON {}", p.table, p.on));
        (format!("FROM {} AS new {parent}", self.new), &self.shown)
    }

    /// `FROM … WHERE …` of the new rows that belong on the old side, whether they fit there or not.
    pub(crate) fn any_new_from(&self) -> String {
        format!("FROM {} AS new WHERE {}", self.new, self.when_new.as_deref().unwrap_or("1"))
    }

    /// `FROM … WHERE …` of the rows that are on both sides.
    pub(crate) fn both_from(&self) -> String {
        let parent =
            self.parent.as_ref().map_or_else(String::new, |p| format!("JOIN {} AS parent ON {}", p.table, p.on));
        format!(
            "FROM {} AS old JOIN {} AS new ON {} {parent} WHERE {} AND {}",
            self.old,
            self.new,
            self.same_key(),
            self.mapped,
            self.shown
        )
    }

    /// `FROM … WHERE …` of the old rows that are not compared: not mapped, or in quarantine.
    pub(crate) fn rest_from(&self) -> String {
        format!("FROM {} AS old WHERE NOT coalesce({}, 0)", self.old, self.mapped)
    }

    /// Rows of the new side that refer to no parent and are not in quarantine for it; none where the pair has none.
    pub(crate) fn orphans(&self) -> Option<String> {
        let p = self.parent.as_ref()?;
        let (new, on, missing, shown) = (&self.new, &p.on, &p.missing, &self.shown);
        Some(format!("FROM {new} AS new LEFT JOIN {} AS parent ON {on} WHERE {missing} AND {shown}", p.table))
    }

    /// Queries that give a row when the two sides are not the same in a range, which is given for each side.
    pub(crate) fn unlike(&self, old_range: &str, new_range: &str) -> [String; 2] {
        let same_key = self.same_key();
        let mut unlike = vec![format!("new.{} IS NULL", quote_ident(&self.key[0].1))];
        let mut parent = String::new();
        if let Some(p) = &self.parent {
            parent = format!("LEFT JOIN {} AS parent ON {}", p.table, p.on);
            unlike.push(p.missing.clone());
        }
        unlike.extend(self.compared.iter().map(|c| {
            let differs = format!("{} IS NOT {}", bytewise(&c.old), bytewise(&c.new));
            // What comes back byte for byte need not be sent there and back.
            let raw = c.lossy.as_ref().map(|_| bytewise(&format!("old.{}", quote_ident(&c.column))));
            raw.map_or(differs.clone(), |raw| format!("({raw} IS NOT {} AND {differs})", bytewise(&c.new)))
        }));
        [
            format!(
                "SELECT 1 FROM {} AS old LEFT JOIN {} AS new ON {same_key}{} {parent} WHERE {}{old_range} AND ({}) LIMIT 1",
                self.old,
                self.new,
                self.when_new.as_ref().map(|when| format!(" AND {when}")).unwrap_or_default(),
                self.mapped,
                unlike.join(" OR ")
            ),
            format!(
                "SELECT 1 {}{new_range} AND NOT EXISTS (SELECT 1 {} AND {}) LIMIT 1",
                self.new_from(),
                self.old_from(),
                if self.negated { self.same_key_of_old() } else { same_key }
            ),
        ]
    }

    fn same_key(&self) -> String {
        let minus = if self.negated { "-" } else { "" };
        let same =
            |(old, new): &(String, String)| format!("new.{} = {minus}old.{}", quote_ident(new), quote_ident(old));
        self.key.iter().map(same).collect::<Vec<_>>().join(" AND ")
    }

    /// The same, as an index of the old table can find it.
    fn same_key_of_old(&self) -> String {
        let same = |(old, new): &(String, String)| format!("old.{} = -new.{}", quote_ident(old), quote_ident(new));
        self.key.iter().map(same).collect::<Vec<_>>().join(" AND ")
    }

    /// The key of an old row, compared byte by byte.
    pub(crate) fn old_key(&self) -> Vec<String> {
        self.key.iter().map(|(old, _)| format!("old.{} COLLATE BINARY", quote_ident(old))).collect()
    }

    /// The key of a new row, as the old side has it.
    pub(crate) fn new_key(&self) -> Vec<String> {
        let minus = if self.negated { "-" } else { "" };
        self.key.iter().map(|(_, new)| format!("{minus}new.{} COLLATE BINARY", quote_ident(new))).collect()
    }

    /// The keys of both sides, as ranges run over them.
    pub(crate) fn ordered(&self) -> [Ordered; 2] {
        let each = || self.key.iter().zip(&self.collations);
        let old = each().map(|((old, _), by)| format!("old.{} COLLATE {}", quote_ident(old), quote_ident(by)));
        let new = each().map(|((_, new), by)| format!("new.{} COLLATE {}", quote_ident(new), quote_ident(by)));
        [Ordered { stored: old.collect(), reversed: false }, Ordered { stored: new.collect(), reversed: self.negated }]
    }
}

/// By which collations both tables can walk the key along an index.
fn collations(conn: &Connection, pair: &Pair) -> Result<Vec<String>, StepError> {
    let of = |table: &str, names: Vec<&str>| -> Result<Option<Vec<String>>, StepError> {
        let Some(shape) = Shape::read(conn, table)? else { return Ok(None) };
        let unique = shape.uniques.iter().find(|unique| unique.is_of(&names.iter().copied()));
        let columns = unique.and_then(|unique| unique.columns.as_ref());
        let by = |name: &&str| columns.and_then(|c| c.iter().find(|(column, _)| same_name(column, name)));
        Ok(names.iter().map(|name| Some(by(name)?.1.clone())).collect())
    };
    let old = of(&pair.old, pair.key.iter().map(|k| k.old.as_str()).collect())?;
    let new = of(&pair.new, pair.key.iter().map(|k| k.new.as_str()).collect())?;
    let same = |(a, b): (String, String)| if same_name(&a, &b) { a } else { "BINARY".to_owned() };
    Ok(match old.zip(new) {
        Some((old, new)) => old.into_iter().zip(new).map(same).collect(),
        None => vec!["BINARY".to_owned(); pair.key.len()],
    })
}

/// The key of a side in the order of the old table's keys.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    /// Its columns, as an index has them.
    pub(crate) stored: Vec<String>,
    /// They are the old ones with a minus, and run the other way.
    pub(crate) reversed: bool,
}

fn listed(key: Vec<String>, columns: impl Iterator<Item = String>) -> String {
    key.into_iter().chain(columns).collect::<Vec<_>>().join(", ")
}

/// The way back over the way there: what an old row comes to when nothing but the mapping touches it.
pub(crate) fn there_and_back(pair: &Pair, back: &str, new_columns: &[Stored]) -> String {
    let parent = pair.parent.as_ref().map(parent_of_old);
    let mut columns = Vec::new();
    let mut reaches_parent = false;
    for forth in pair.forth.iter().filter(|forth| names(back, &forth.name)) {
        reaches_parent = reaches_parent || names(&forth.sql, "parent");
        let value = affine(&forth.sql, affinity(new_columns, &forth.name));
        columns.push(format!("{value} AS {}", quote_ident(&forth.name)));
    }
    if let Some(p) = pair.parent.as_ref().filter(|p| names(back, &p.refers)) {
        reaches_parent = true;
        columns.push(format!("parent.{} AS {}", quote_ident(&p.id), quote_ident(&p.refers)));
    }
    let key = |k: &KeyColumn| k.across(&format!("old.{}", quote_ident(&k.old)));
    columns.extend(pair.key.iter().map(|k| format!("{} AS {}", key(k), quote_ident(&k.new))));
    let from = |yes: bool, before: &str| match &parent {
        Some(parent) if yes => format!("{before} {parent} AS parent"),
        _ => String::new(),
    };
    format!(
        "(SELECT {back} FROM (SELECT {}{}) AS new{})",
        columns.join(", "),
        from(reaches_parent, " FROM"),
        from(names(back, "parent"), ",")
    )
}

/// The parent row that an old row belongs to, by its natural key.
fn parent_of_old(parent: &Parent) -> String {
    let same: Vec<String> = parent.key.iter().map(|k| format!("p.{} IS ({})", quote_ident(&k.name), k.sql)).collect();
    format!("(SELECT * FROM {} AS p WHERE {})", quote_ident(&parent.new), same.join(" AND "))
}

/// Whether `sql` has `name` as a word.
pub(crate) fn names(sql: &str, name: &str) -> bool {
    tokens(sql).iter().any(|token| same_name(token.trim_matches(['"', '`', '[', ']']), name))
}

/// An expression whose value is compared as it is: no affinity of a column, no collation.
pub(crate) fn bytewise(sql: &str) -> String {
    format!("+({sql}) COLLATE BINARY")
}
