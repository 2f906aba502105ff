//! Events for machines: one JSON document a line.

use std::io::Write;

use cutover_core::Event;

use super::Reporter;

/// Writes each event as a line of JSON.
#[derive(Debug)]
pub struct JsonLines<W>(pub W);

impl<W: Write + Send> Reporter for JsonLines<W> {
    fn event(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            // A reader that went away must not stop a migration.
            let _ = writeln!(self.0, "{line}");
        }
    }
}
