//! An update carried over: only what changed is written.

use crate::sql::quote_ident;

use super::weave::{BEFORE, PARENT, ROW, Side, THERE, Weave};

impl Weave {
    /// Carries an update of a row of side `from` over: only columns whose image changed are written.
    pub(crate) fn carry(&self, from: Side) -> Vec<String> {
        let other = from.other();
        let table = self.table(other);
        let mut columns = self.keys(other);
        columns.extend(self.columns(from).iter().map(|c| quote_ident(&c.name)));
        columns.extend(self.pair.parent.iter().filter(|_| from == Side::Old).map(|p| quote_ident(&p.refers)));
        let values = columns.iter().map(|c| format!("i.{c}")).collect::<Vec<_>>().join(", ");
        let image = self.image(from, &self.same_key((from, ROW), (from, "NEW")), true);
        let there = match from {
            Side::Old => format!("NOT ({})", self.strange((from, "OLD"))),
            Side::New => self.mirrored((from, "OLD")),
        };
        let before = self.same_key((other, &table), (from, "OLD"));
        let columns = if columns.len() == 1 { columns.concat() } else { format!("({})", columns.join(", ")) };
        vec![format!(
            "UPDATE {table} SET {columns} = (SELECT {values} FROM {image} AS i) WHERE {before} AND {there} AND {}",
            self.fits_now(from)
        )]
    }

    /// The condition that the row `NEW` of side `from` fits on the other side.
    pub(crate) fn fits_now(&self, from: Side) -> String {
        let image = self.image(from, &self.same_key((from, ROW), (from, "NEW")), true);
        let fits = format!("EXISTS (SELECT 1 FROM {image} AS i WHERE i.why IS NULL)");
        match self.referred((from, "OLD")).filter(|_| from == Side::Old && !self.pair.gone.is_empty()) {
            // What refers to the new row by its key stays with it: under another key there is another row.
            Some(referred) => format!("({fits} AND NOT (({}) AND ({referred})))", self.key_moved(from)),
            None => fits,
        }
    }

    /// The condition that an old row, before and after, belongs to different parents.
    pub(crate) fn parent_changed(&self) -> String {
        let keys = self.pair.parent.iter().flat_map(|p| &p.key);
        keys.map(|k| changed(&k.sql, PARENT, PARENT)).collect::<Vec<_>>().join(" OR ")
    }

    /// Like [`Self::rows`], with what the other side has, and with the parent that the row had before an update.
    pub(crate) fn rows_before(&self, from: Side, condition: &str) -> String {
        let rows = self.rows(from, condition);
        let other = from.other();
        let mut joins =
            format!(" LEFT JOIN {} AS {THERE} ON {}", self.table(other), self.same_key((other, THERE), (from, "OLD")));
        if let (Some(parent), Some(shape), Side::New) = (&self.pair.parent, &self.parent, from) {
            joins += &format!(
                " LEFT JOIN {} AS {BEFORE} ON {BEFORE}.{} = OLD.{}",
                shape.ident(),
                quote_ident(&parent.id),
                quote_ident(&parent.refers)
            );
        }
        rows.replacen(" WHERE ", &format!("{joins} WHERE "), 1)
    }
}

/// The condition that an expression gives another value for the row `OLD` and its parent `before` than for [`ROW`] and its
/// parent `parent`. Byte for byte: the collation of a column would hide a change of case.
pub(crate) fn changed(expression: &str, parent: &'static str, before: &'static str) -> String {
    let now = Weave::speak(expression, ROW, parent);
    let then = Weave::speak(expression, "OLD", before);
    differ(&then, &now)
}

/// The condition that two expressions have different values.
pub(crate) fn differ(a: &str, b: &str) -> String {
    format!("(({a}) IS NOT ({b}) COLLATE BINARY OR typeof({a}) <> typeof({b}))")
}
