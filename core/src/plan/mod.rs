//! Plans: the compiled model, the files a plan may read, and the compiler that makes one from the other.

mod beside;
mod build;
mod codes;
mod compile;
mod diagnostic;
mod draft;
mod files;
mod folders;
mod meaning;
mod model;
mod order;
mod outline;
mod placeholder;
mod reversal;
mod risks;
mod schema;
mod syntax;
mod table;
mod targets;
mod value;
mod vars;
mod warnings;

pub use beside::read_beside;
pub use codes::CODES;
pub use compile::{CompileInput, compile, compile_to_look};
pub use diagnostic::{Beside, CompileErrors, Diagnostic, Diagnostics};
pub use files::{FolderFiles, NoFiles, PlanFileError, PlanFiles, StoredFiles, is_inside};
pub use model::{Condition, OnFailure, Phase, Plan, PlanStep, Warning};
pub use outline::StepOutline;
pub use placeholder::{UnsetVariable, resolve_env};
pub use risks::{Likelihood, Risk};
pub(crate) use schema::of_config as schema_of_config;
pub use schema::schema;
pub use syntax::MOST_BYTES;
pub use table::{Entry, Table, Text};
