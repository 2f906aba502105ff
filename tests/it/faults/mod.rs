//! The fault matrix: whatever goes wrong, the same command again ends, and so does the way back; nothing is lost.
//!
//! The real program runs as a child process, on small plans that hold every registered kind.
//!
//! - Apparatus: `plans`, `stores` and `kinds` (what is run), `fault` (what goes wrong), `lab` (runs it and looks at what came of
//!   it), `ways` (what must come of a plan of a kind), `choice` (which combinations are met, and again which), `failure`
//!   and `tally` (how it is told).
//! - Parts: one module each. A part ends with its line in the table (`just faults` prints it).

mod access;
mod advice;
mod canary;
mod choice;
mod clock;
mod corpus;
mod crowd;
mod damage;
mod failure;
mod fault;
mod frozen;
mod hostile;
mod io;
mod kills;
mod kinds;
mod lab;
mod living;
mod pages;
mod plans;
mod short;
mod space;
mod stores;
mod tally;
mod torn;
mod vanish;
mod ways;
