//! The step crates of this runner. The only place that names them.

use cutover_steps_base as _;
use cutover_steps_control as _;
use cutover_steps_files as _;
use cutover_steps_kv as _;
use cutover_steps_sqlite as _;

pub(crate) use cutover_steps_sqlite::import;
