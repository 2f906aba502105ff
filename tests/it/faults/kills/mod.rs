//! kill -9 at the program's failpoints, then whatever an operator may do next.
//!
//! - `single`: one kill, then the same command again.
//! - `double`: two kills in two commands, then the way out.
//! - `points`: one kill at each point of each step kind.
//! - `random`: kills at any time, whatever is under way.
//! - `rehearsal`: one kill at each point of a rehearsal.

mod double;
mod points;
mod random;
mod rehearsal;
mod single;

use super::fault::Fault;

/// The failpoints of one write of the journal, in the order in which they are passed.
const POINTS: &[&str] = &["journal-append", "journal-appended"];

/// A place where a process is killed: numbered from 0 through all passages of all failpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kill(pub(super) usize);

impl Kill {
    pub(super) fn fault(self) -> Fault {
        Fault::kill(POINTS[self.0 % POINTS.len()], self.0 / POINTS.len())
    }
}
