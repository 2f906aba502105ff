//! What the new tables do not give back byte for byte, kept aside when the old ones go.
//!
//! Owns the table `_cutover_raw_<pair>`: of each old row that its new row does not give back exactly, what the new schema
//! has no column for, the values that differ, and what the way back gave instead at that time (where it gives that still,
//! the old value is right; where it does not, somebody has written the new row since). Rows that have no new row are there
//! whole, and so are rows whose new row is in quarantine. Triggers on the new table forget what is kept of a row that is deleted, and follow a row that gets another key.

use cutover_core::StepError;
use rusqlite::{Connection, params_from_iter};

use super::schema::run;
use crate::declared::same_name;
use crate::identity::Identity;
use crate::mapping::names::{PREFIX, raw};
use crate::mapping::over::named;
use crate::mapping::{Mapping, Pair};
use crate::parity::columns::columns;
use crate::parity::sides::bytewise;
use crate::parity::{Part, Sides};
use crate::sql::{quote_ident, sqlite_error};
use crate::target::bookkeeping::has_table;

/// `whole` of a row of which values are kept.
pub(super) const VALUES: i64 = 0;
/// Of a row that is kept whole and has no new row: not mapped, or in quarantine itself.
pub(super) const ALONE: i64 = 1;
/// Of a row that is kept whole and whose new row is in quarantine: it comes back unless that one says otherwise by then.
pub(super) const BESIDE: i64 = 2;
/// Of such a row whose new row has another key now: values that the new schema has no place for are all that is left of it.
pub(super) const MOVED: i64 = 3;

/// The table of one pair, as SQL.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) table: String,
    /// The old columns that have no place in the new schema.
    pub(super) unmapped: Vec<String>,
    /// The conditions under which they hold what a new row gets.
    defaults: Vec<String>,
    /// The collation of each column of the key.
    key: Vec<String>,
    compared: usize,
}

impl Raw {
    /// For a pair whose old table is there.
    pub(super) fn of(conn: &Connection, pair: &Pair, sides: &Sides) -> Result<Self, StepError> {
        let shape = Identity::read(conn, &pair.old)?;
        let mapped = |name: &str| {
            sides.key.iter().any(|(old, _)| same_name(old, name))
                || sides.compared.iter().any(|c| same_name(&c.column, name))
        };
        let unmapped: Vec<String> = columns(conn, &pair.old)?
            .into_iter()
            .filter(|c| !c.generated && !mapped(&c.name))
            .map(|c| c.name)
            .collect();
        let default = |name: &String| {
            let condition = shape.as_ref().and_then(|s| s.is_default_of("old", name));
            condition.unwrap_or_else(|| format!("old.{} IS NULL", quote_ident(name)))
        };
        let defaults = unmapped.iter().map(default).collect();
        let (key, compared) = (sides.collations.clone(), sides.compared.len());
        Ok(Self { table: quote_ident(&raw(&pair.name)), unmapped, defaults, key, compared })
    }

    /// `k0, k1`: the key.
    pub(super) fn keys(&self) -> Vec<String> {
        (0..self.key.len()).map(|i| format!("k{i}")).collect()
    }

    /// ` AND prefixk0 = ?1`: the row of one key.
    pub(super) fn at(&self, prefix: &str) -> String {
        self.keys().iter().enumerate().map(|(i, k)| format!(" AND {prefix}{k} = ?{}", i + 1)).collect()
    }

    fn list(&self) -> String {
        self.listed(self.keys())
    }

    fn listed(&self, keys: Vec<String>) -> String {
        let values = (0..self.compared).map(|i| format!("v{i}"));
        let given = (0..self.compared).map(|i| format!("n{i}"));
        let unmapped = (0..self.unmapped.len()).map(|i| format!("u{i}"));
        let all: Vec<String> = keys.into_iter().chain(values).chain(given).chain(unmapped).collect();
        all.join(", ")
    }

    /// Makes the table anew.
    pub(super) fn make(&self, conn: &Connection) -> Result<(), StepError> {
        let columns = self.keys().into_iter().zip(&self.key).map(|(k, by)| format!("{k} COLLATE {}", quote_ident(by)));
        let (table, list, keys) = (&self.table, self.listed(columns.collect()), self.keys().join(", "));
        let make = format!(
            "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (whole INTEGER NOT NULL, {list}, PRIMARY KEY (whole, {keys}))"
        );
        run(conn, &make, "making room for what the new tables do not hold")
    }

    /// Keeps of that part what the new tables do not hold, instead of what was kept of it before.
    pub(super) fn keep(&self, conn: &Connection, sides: &Sides, part: &Part) -> Result<(), StepError> {
        self.keeping(sides, part).iter().try_for_each(|sql| {
            conn.prepare_cached(sql)
                .and_then(|mut s| s.execute(params_from_iter(&part.values)))
                .map(|_| ())
                .map_err(|e| sqlite_error(e, "keeping what the new tables do not hold"))
        })
    }

    /// The statements that do it.
    pub(super) fn keeping(&self, sides: &Sides, part: &Part) -> [String; 3] {
        let (table, list) = (&self.table, self.list());
        let old = |name: &str| format!("old.{}", quote_ident(name));
        let raws: Vec<String> = sides.compared.iter().map(|c| old(&c.column)).collect();
        let given: Vec<String> = sides.compared.iter().map(|c| c.new.clone()).collect();
        let exact: Vec<String> = raws
            .iter()
            .zip(&given)
            .map(|(raw, given)| format!("({0} IS {1} AND typeof({0}) = typeof({1}))", bytewise(raw), bytewise(given)))
            .collect();
        // What comes back as it was need not be kept: two NULLs stand for what the new row gives, whatever that is by then.
        let unlike = |values: &[String]| -> Vec<String> {
            exact.iter().zip(values).map(|(exact, value)| format!("CASE WHEN NOT {exact} THEN {value} END")).collect()
        };
        let none = vec!["NULL".to_owned(); self.compared];
        let unmapped: Vec<String> = self.unmapped.iter().map(|u| old(u)).collect();
        let key: Vec<String> = sides.key.iter().map(|(name, _)| old(name)).collect();
        let select = |raws: &[String], given: &[String]| [&key[..], raws, given, &unmapped].concat().join(", ");
        let same: Vec<String> = exact.iter().chain(&self.defaults).cloned().collect();
        let same = if same.is_empty() { "1".to_owned() } else { same.join(" AND ") };
        [
            format!("DELETE FROM {table} WHERE whole IN ({VALUES}, {ALONE}, {BESIDE}, {MOVED}){}", part.key),
            format!(
                "INSERT INTO {table} (whole, {list}) SELECT {VALUES}, {} {}{} AND NOT ({same})",
                select(&unlike(&raws), &unlike(&given)),
                sides.both_from(),
                part.old
            ),
            format!(
                "INSERT INTO {table} (whole, {list}) SELECT CASE WHEN {} THEN {BESIDE} ELSE {ALONE} END, {} {}{}",
                sides.follows,
                select(&raws, &none),
                sides.rest_from(),
                part.old
            ),
        ]
    }

    /// Makes the triggers that keep the table true while programs write the new one.
    pub(super) fn follow(&self, conn: &Connection, pair: &Pair) -> Result<(), StepError> {
        let new = quote_ident(&pair.new);
        let of = |row: &str| -> Vec<String> {
            pair.key.iter().map(|k| k.across(&format!("{row}.{}", quote_ident(&k.new)))).collect()
        };
        let at = |row: &str| -> String {
            let same: Vec<String> = self.keys().iter().zip(of(row)).map(|(k, key)| format!("{k} = {key}")).collect();
            same.join(" AND ")
        };
        let forget = |row: &str| {
            format!("DELETE FROM {} WHERE whole IN ({VALUES}, {BESIDE}, {MOVED}) AND {}", self.table, at(row))
        };
        let moved: Vec<String> =
            of("OLD").iter().zip(of("NEW")).map(|(old, new)| format!("{old} IS NOT {new}")).collect();
        let to: Vec<String> = self.keys().iter().zip(of("NEW")).map(|(k, key)| format!("{k} = {key}")).collect();
        // A row that is not shown any more is as good as deleted.
        let hidden = pair.when_new.as_ref().map(|when| {
            let now = named(when, |_| "NEW");
            let body = format!("AFTER UPDATE ON {new} WHEN NOT coalesce(({now}), 0) BEGIN {}; END", forget("NEW"));
            ("hidden", body)
        });
        let triggers = [
            ("insert", format!("AFTER INSERT ON {new} BEGIN {}; END", forget("NEW"))),
            ("delete", format!("AFTER DELETE ON {new} BEGIN {}; END", forget("OLD"))),
            (
                "update",
                format!(
                    "AFTER UPDATE ON {new} WHEN {} BEGIN {}; UPDATE {} SET {}, whole = CASE whole WHEN {BESIDE} THEN {MOVED} ELSE whole END \
                     WHERE whole IN ({VALUES}, {BESIDE}, {MOVED}) AND {}; END",
                    moved.join(" OR "),
                    forget("NEW"),
                    self.table,
                    to.join(", "),
                    at("OLD")
                ),
            ),
        ];
        triggers.iter().chain(&hidden).try_for_each(|(verb, body)| {
            run(conn, &format!("CREATE TRIGGER {} {body}", quote_ident(&follower(pair, verb))), "making a trigger")
        })
    }
}

/// Whether something is kept of a pair.
pub(super) fn is_kept(conn: &Connection, mapping: &Mapping) -> Result<bool, StepError> {
    mapping.pairs.iter().try_fold(false, |kept, pair| Ok(kept || has_table(conn, &raw(&pair.name))?))
}

/// Takes what is kept of a pair away, and the triggers that follow it.
pub(crate) fn drop(conn: &Connection, pair: &Pair) -> Result<(), StepError> {
    for verb in ["insert", "delete", "update", "hidden"] {
        run(conn, &format!("DROP TRIGGER IF EXISTS {}", quote_ident(&follower(pair, verb))), "dropping a trigger")?;
    }
    let table = quote_ident(&raw(&pair.name));
    run(conn, &format!("DROP TABLE IF EXISTS {table}"), "dropping what was kept of the old tables")
}

fn follower(pair: &Pair, verb: &str) -> String {
    format!("{PREFIX}raw_{}_{verb}", pair.name)
}
