//! The step kinds of the crate: held to the contract in both engines, set against what stores hold for them.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

#[path = "kinds/backup.rs"]
mod backup;
#[path = "kinds/conformance.rs"]
mod conformance;
#[path = "kinds/copy.rs"]
mod copy;
#[path = "kinds/gc.rs"]
mod gc;
#[path = "kinds/reconfigure.rs"]
mod reconfigure;
#[path = "kinds/rename.rs"]
mod rename;
#[path = "kinds/support.rs"]
mod support;
#[path = "kinds/transform.rs"]
mod transform;
#[path = "kinds/verify.rs"]
mod verify;

use cutover_steps_kv as _;
