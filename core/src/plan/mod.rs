//! Plans: the compiled model, the files a plan may read, and the compiler that makes one from the other.

mod compile;
mod diagnostic;
mod files;
mod model;

pub use compile::{CompileInput, compile};
pub use diagnostic::{CompileErrors, Diagnostic};
pub use files::{FolderFiles, NoFiles, PlanFileError, PlanFiles, StoredFiles, is_inside};
pub use model::{Condition, OnFailure, Phase, Plan, PlanStep};
