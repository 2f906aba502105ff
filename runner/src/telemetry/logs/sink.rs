//! Where lines go: standard error or a file, each line masked and written whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::error::{Result, RunnerError};
use crate::secrets;

/// Where lines go.
#[derive(Debug, Clone)]
pub(super) struct Sink(Option<Arc<Mutex<File>>>);

impl Sink {
    /// A file that lines are added to, or standard error.
    pub(super) fn open(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file else { return Ok(Self(None)) };
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|e| {
            RunnerError::usage(format!("logs cannot be written to `{}`: {e}; nothing was changed", path.display()))
                .with_help("name a file in a folder that is there: `--log-file cutover.log`")
        })?;
        Ok(Self(Some(Arc::new(Mutex::new(opened)))))
    }

    fn write(&self, line: &[u8]) {
        let line = secrets::mask_known(&String::from_utf8_lossy(line));
        // A disk that is full must not end a migration.
        let _ = match &self.0 {
            Some(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()),
            None => io::stderr().lock().write_all(line.as_bytes()),
        };
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { sink: self.clone(), text: Vec::new() }
    }
}

/// A line on its way: a secret may come in several pieces.
pub(super) struct Line {
    sink: Sink,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.sink.write(&self.text);
        }
    }
}
