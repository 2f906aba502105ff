//! What is doubtful about SQL that a plan runs: lawful statements that lose rows, hold the lock for long, or do other than
//! they say. Owns the codes; `text` sees what the script alone tells, `trial` what a copy of the structure tells.

mod shape;
mod sketch;
mod text;
mod tokens;
mod trial;

use cutover_core::Lint;
use cutover_core::Seen::{InText, OnTarget};

pub(crate) use sketch::Sketch;
pub(crate) use text::{of_down, of_up};
pub(crate) use trial::{Trial, trial};

macro_rules! lints {
    ($($name:ident = $code:literal, $seen:ident, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub(crate) const $name: Lint = Lint { code: $code, meaning: $meaning, seen: $seen };)*

        /// Every warning about a script, in order.
        pub(crate) const ALL: &[Lint] = &[$($name),*];
    };
}

lints! {
    DROPS_TABLE = "W401", InText, "a table is dropped with its rows";
    DROPS_COLUMN = "W402", InText, "a column is dropped with its values";
    DELETES_ALL = "W403", InText, "every row of a table is deleted";
    UNBOUNDED = "W404", InText, "a whole table is written in one transaction";
    REBUILD = "W405", InText, "a table is rebuilt while foreign keys are on";
    NOT_NULL = "W406", InText, "a NOT NULL column is added without a default";
    ANALYZE = "W407", InText, "statistics are gathered before a cutover";
    NO_DOWN = "W408", InText, "there is no down script";
    IDLE_DOWN = "W409", InText, "the down script changes nothing";
    INEXACT_DOWN = "W410", OnTarget, "the down script does not lead back to the structure before";
    OTHER_INDEX = "W411", OnTarget, "IF NOT EXISTS keeps an index of another definition";
    OTHER_OBJECT = "W412", OnTarget, "IF NOT EXISTS keeps a table, view or trigger of another definition";
    FAILS = "W413", OnTarget, "a statement fails on a copy of the structure";
    UNTRIED = "W414", OnTarget, "a script was not tried on a copy of the structure";
}
