//! The rows of one batch: found by their keys, and put on the new side.

use rusqlite::{Connection, Statement, ToSql};

use super::guard;
use super::kept::Inserted;
use crate::expand::{ROW, Side, Weave};
use crate::target::{Ranges, Recorder};
use crate::value::Exact;

/// The rows of one batch, by their keys.
pub(super) struct Range {
    after: Vec<Exact>,
    pub(super) upto: Vec<Exact>,
    /// Rows of the table in it.
    pub(super) rows: u64,
    /// Those of them that are mapped at all.
    mapped: u64,
}

impl Range {
    /// The next `size` rows of the old table; none when none are left.
    pub(super) fn next(conn: &Connection, weave: &Weave, after: &[Exact], size: u64) -> rusqlite::Result<Option<Self>> {
        let keys: Vec<String> = weave.keys(Side::Old).iter().map(|k| format!("{ROW}.{k}")).collect();
        let from = format!(
            "FROM {} AS {ROW} WHERE {}",
            weave.table(Side::Old),
            Self::condition(&keys, !after.is_empty(), false)
        );
        let order = |end: &str| keys.iter().map(|k| format!("{k}{end}")).collect::<Vec<_>>().join(", ");
        let list = keys.join(", ");
        let key = |sql: &str| -> rusqlite::Result<Option<Vec<Exact>>> {
            let mut statement = conn.prepare_cached(sql)?;
            bind(&mut statement, "a", after)?;
            let mut rows = statement.raw_query();
            let Some(row) = rows.next()? else { return Ok(None) };
            (0..keys.len()).map(|at| Ok(Exact::of(row.get_ref(at)?))).collect()
        };
        let skip = size.saturating_sub(1);
        let found = key(&format!("SELECT {list} {from} ORDER BY {} LIMIT 1 OFFSET {skip}", order("")))?;
        let full = found.is_some();
        let found = match found {
            Some(found) => Some(found),
            None => key(&format!("SELECT {list} {from} ORDER BY {} LIMIT 1", order(" DESC")))?,
        };
        let Some(upto) = found else { return Ok(None) };
        let mut range = Self { after: after.to_vec(), upto, rows: size.max(1), mapped: 0 };
        if !full {
            let sql = format!("SELECT count(*) FROM {} AS {ROW} WHERE {}", weave.table(Side::Old), range.over(weave));
            range.rows = range.count(conn, &sql)?;
        }
        range.mapped = match weave.scope(Side::Old, ROW) {
            None => range.rows,
            Some(_) => range.count(conn, &format!("SELECT count(*) {}", weave.rows(Side::Old, &range.over(weave))))?,
        };
        Ok(Some(range))
    }

    /// Puts the rows that are not there yet on the new side. The rows inserted, their number, how many do not fit.
    pub(super) fn fill(
        &self,
        conn: &Connection,
        recorder: &Recorder,
        weave: &Weave,
    ) -> rusqlite::Result<(Inserted, u64, u64)> {
        let all = self.over(weave);
        let some = self.some_there(conn, weave, &all)?;
        let statements = Self::statements(weave, &all, some);
        let [parents @ .., insert, aside] = &statements[..] else { return Err(rusqlite::Error::InvalidQuery) };
        guard(conn, &weave.pair, Some("backfill"))?;
        let parent = weave.pair.parent.as_ref().map_or("", |p| p.new.as_str());
        let ((), made) =
            recorder.inserted(&[parent], || parents.iter().try_for_each(|sql| self.run(conn, sql).map(|_| ())))?;
        let (rows, filled) = recorder.inserted(&[&weave.new.name], || self.run(conn, insert))?;
        // Where every row got its image there is nothing to set aside: most batches need not look again.
        let mut set_aside = 0;
        if rows < self.mapped {
            set_aside = self.run(conn, aside)?;
        }
        guard(conn, &weave.pair, None)?;
        let first = |ranges: Vec<Ranges>| ranges.into_iter().next().unwrap_or_default().settled();
        Ok((Inserted { pair: weave.pair.name.clone(), rows: first(filled), parents: first(made) }, rows, set_aside))
    }

    /// The statements that put the rows that meet `all` on the new side, where `some` of them are there already.
    fn statements(weave: &Weave, all: &str, some: bool) -> Vec<String> {
        let absent = if some { format!(" AND {}", weave.absent(ROW)) } else { String::new() };
        let mut statements = weave.put_all(&format!("{all}{absent}"), some);
        // Two rows of one batch may be in each other's way; the second is set aside then.
        if let [.., insert, _] = &mut statements[..] {
            *insert = insert.replacen("INSERT INTO", "INSERT OR IGNORE INTO", 1);
        }
        statements
    }

    /// Compiles the statements of the next batch.
    pub(super) fn compile(conn: &Connection, weave: &Weave, after: &[Exact]) -> rusqlite::Result<()> {
        let keys: Vec<String> = weave.keys(Side::Old).iter().map(|k| format!("{ROW}.{k}")).collect();
        let all = Self::condition(&keys, !after.is_empty(), true);
        let variants = [false, true].map(|some| Self::statements(weave, &all, some));
        variants.iter().flatten().try_for_each(|sql| conn.prepare_cached(sql).map(drop))
    }

    /// Whether somebody has shown any of the rows already, or put it into the quarantine. Mostly not.
    fn some_there(&self, conn: &Connection, weave: &Weave, all: &str) -> rusqlite::Result<bool> {
        if weave.same_rowids() && self.count(conn, &format!("SELECT {}", weave.any_quarantined(Side::Old)))? == 0 {
            let keys: Vec<String> = weave.keys(Side::New).iter().map(|k| format!("t.{k}")).collect();
            let between = Self::condition(&keys, !self.after.is_empty(), true);
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {} AS t WHERE {between})", weave.table(Side::New));
            return Ok(self.count(conn, &sql)? > 0);
        }
        let there = format!("{all} AND NOT ({})", weave.absent(ROW));
        Ok(self.count(conn, &format!("SELECT count(*) {}", weave.rows(Side::Old, &there)))? > 0)
    }

    /// The condition on [`ROW`].
    fn over(&self, weave: &Weave) -> String {
        let keys: Vec<String> = weave.keys(Side::Old).iter().map(|k| format!("{ROW}.{k}")).collect();
        Self::condition(&keys, !self.after.is_empty(), true)
    }

    fn condition(keys: &[String], after: bool, upto: bool) -> String {
        let row = |values: Vec<String>| match &values[..] {
            [one] => one.clone(),
            many => format!("({})", many.join(", ")),
        };
        let bound = |name: &str| row((0..keys.len()).map(|at| format!(":{name}{at}")).collect());
        let mut all = Vec::new();
        if after {
            all.push(format!("{} > {}", row(keys.to_vec()), bound("a")));
        }
        if upto {
            all.push(format!("{} <= {}", row(keys.to_vec()), bound("u")));
        }
        // A row without a key is nobody's image; it has no place in the order either.
        if all.is_empty() {
            all.extend(keys.iter().map(|k| format!("{k} IS NOT NULL")));
        }
        all.join(" AND ")
    }

    fn run(&self, conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
        let mut statement = conn.prepare_cached(sql)?;
        bind(&mut statement, "a", &self.after)?;
        bind(&mut statement, "u", &self.upto)?;
        statement.raw_execute().map(|n| n as u64)
    }

    fn count(&self, conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
        let mut statement = conn.prepare_cached(sql)?;
        bind(&mut statement, "a", &self.after)?;
        bind(&mut statement, "u", &self.upto)?;
        let mut rows = statement.raw_query();
        let count: i64 = rows.next()?.map_or(Ok(0), |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn bind(statement: &mut Statement<'_>, name: &str, values: &[impl ToSql]) -> rusqlite::Result<()> {
    for (at, value) in values.iter().enumerate() {
        if let Some(index) = statement.parameter_index(&format!(":{name}{at}"))? {
            statement.raw_bind_parameter(index, value)?;
        }
    }
    Ok(())
}
