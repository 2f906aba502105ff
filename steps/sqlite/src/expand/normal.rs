//! Both sides of a pair in one form, to be compared: the old schema's, as the way forth and back makes it.
//!
//! A row is in step when what the new one gives back is what the old one comes to by going forth and back. So a timestamp
//! of milliseconds and the second that an old row shows of it are in step, and so is a raw text with its normal form.

use crate::mapping::names::QUARANTINE;
use crate::mapping::over::{self, Row};
use crate::sql::{quote_ident, quote_text};

use super::weave::{PARENT, ROW, Side, Weave};

/// An image of the way forth.
const FORTH: &str = "_cutover_forth";

impl Weave {
    /// SELECT of the old rows in the common form: the key's columns, then those of `back`. Rows in the quarantine are left out.
    pub(crate) fn normal_old(&self) -> String {
        let mut columns = self
            .keys(Side::Old)
            .iter()
            .enumerate()
            .map(|(at, k)| format!("{ROW}.{k} AS \"key:{at}\""))
            .collect::<Vec<_>>();
        let forth =
            self.keys(Side::New).into_iter().zip(self.keys(Side::Old)).map(|(n, o)| format!("{ROW}.{o} AS {n}"));
        columns.extend(forth);
        for column in &self.pair.forth {
            let value = Self::speak(&column.sql, ROW, PARENT);
            columns.push(format!("({value}) AS {}", quote_ident(&column.name)));
        }
        let parent = self.pair.parent.iter().flat_map(|p| p.key.iter().chain(&p.set));
        for column in parent.clone() {
            let value = Self::speak(&column.sql, ROW, PARENT);
            columns.push(format!("({value}) AS {}", super::weave::parent_column(&column.name)));
        }
        let known = |name: &str| {
            self.key_names(Side::New).any(|k| k.eq_ignore_ascii_case(name))
                || self.pair.forth.iter().any(|c| c.name.eq_ignore_ascii_case(name))
        };
        let mut shown: Vec<String> = (0..self.pair.key.len()).map(|at| format!("{FORTH}.\"key:{at}\"")).collect();
        for column in &self.pair.back {
            shown.push(over::over(&column.sql, |row, name| match row {
                Row::Parent if parent.clone().any(|c| c.name.eq_ignore_ascii_case(name)) => {
                    format!("{FORTH}.{}", super::weave::parent_column(name))
                }
                Row::New if known(name) => format!("{FORTH}.{}", quote_ident(name)),
                _ => "NULL".to_owned(),
            }));
        }
        format!(
            "SELECT {} FROM (SELECT {} {}) AS {FORTH}",
            shown.join(", "),
            columns.join(", "),
            self.rows(Side::Old, &self.unquarantined(Side::Old))
        )
    }

    /// The same of the new rows.
    pub(crate) fn normal_new(&self) -> String {
        let keys = self.keys(Side::New).into_iter().map(|k| format!("{ROW}.{k}"));
        let back = self.pair.back.iter().map(|c| format!("({})", Self::speak(&c.sql, ROW, PARENT)));
        let columns = keys.chain(back).collect::<Vec<_>>().join(", ");
        format!("SELECT {columns} {}", self.rows(Side::New, &self.unquarantined(Side::New)))
    }

    fn unquarantined(&self, side: Side) -> String {
        format!(
            "NOT EXISTS (SELECT 1 FROM {QUARANTINE} AS q WHERE q.pair = {} AND q.side IN ('old', 'new') AND q.key = {})",
            quote_text(&self.pair.name),
            self.key_text(side, ROW)
        )
    }
}
