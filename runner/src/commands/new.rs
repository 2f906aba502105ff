//! `new`: writes a step crate or a plan to start from.

use crate::cli::{New, Out};
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::new::{CutoverSource, NewError, plan, step_crate};

pub(crate) fn run(what: &New, out: &Out) -> Result<Exit> {
    let refused = |e: NewError| {
        let help = e.help();
        RunnerError::usage(match std::error::Error::source(&e) {
            Some(cause) => format!("{e}: {cause}"),
            None => e.to_string(),
        })
        .with_help(help)
    };
    let (dir, written) = match what {
        New::StepCrate { name, dir, cutover } => {
            let source = match cutover {
                Some(dir) => CutoverSource::at(dir),
                None => CutoverSource::built_from(),
            };
            (dir, source.and_then(|source| step_crate(name, dir, &source)))
        }
        New::Plan { name, dir } => {
            let schema = cutover_core::plan::schema(&crate::registry()?);
            let schema = serde_json::to_string_pretty(&schema)
                .map_err(|e| RunnerError::internal(format!("the schema as JSON: {e}")))?;
            (dir, plan(name, dir, &format!("{schema}\n")))
        }
    };
    for file in written.map_err(refused)? {
        out.print(&format!("wrote {}\n", dir.join(file).display()));
    }
    Ok(Exit::Done)
}
