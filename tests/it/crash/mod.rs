//! kill -9 at the program's failpoints, then whatever an operator may do next.
//!
//! - `single`: one kill, then the same command again.
//! - `double`: two kills in two commands, then the way out. `plans` holds what it runs, `lab` runs it and looks at what
//!   came of it, `choice` says which combinations are met.
//! - `points`: one kill at each point of each step kind; `kinds` holds the plans, `ways` what must
//!   come of them.

mod choice;
mod double;
mod failure;
mod kinds;
mod lab;
mod plans;
mod points;
mod single;
mod ways;

/// The failpoints of one write of the journal, in the order in which they are passed.
const POINTS: &[&str] = &["journal-append", "journal-appended"];

/// A place where a process is killed: numbered from 0 through all passages of all failpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kill(usize);

impl Kill {
    /// The value of `FAILPOINTS` that kills there.
    fn failpoints(self) -> String {
        format!("{}={}*off->return", POINTS[self.0 % POINTS.len()], self.0 / POINTS.len())
    }
}
