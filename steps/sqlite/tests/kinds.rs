//! The step kinds of the crate: held to the contract, set against what real databases hold in store for them.

#![expect(clippy::expect_used, reason = "a test says what it expects")]

#[path = "kinds/backfill.rs"]
mod backfill;
#[path = "kinds/check.rs"]
mod check;
#[path = "kinds/conflicts.rs"]
mod conflicts;
#[path = "kinds/conformance.rs"]
mod conformance;
#[path = "kinds/contracted.rs"]
mod contracted;
#[path = "kinds/dropped.rs"]
mod dropped;
#[path = "kinds/freeze.rs"]
mod freeze;
#[path = "kinds/left.rs"]
mod left;
#[path = "kinds/maintained.rs"]
mod maintained;
#[path = "kinds/mapped.rs"]
mod mapped;
#[path = "kinds/others.rs"]
mod others;
#[path = "kinds/replaced.rs"]
mod replaced;
#[path = "kinds/settings.rs"]
mod settings;
#[path = "kinds/shapes.rs"]
mod shapes;
#[path = "kinds/shared.rs"]
mod shared;
#[path = "kinds/stages.rs"]
mod stages;
#[path = "kinds/support.rs"]
mod support;

use cutover_steps_sqlite as _;
