//! Traces of runs for OpenTelemetry: a trace for each run, a span for each phase and step, sent over HTTP as JSON.
//!
//! The JSON is written here and not by the crates of that project: those bring an HTTP stack and a runtime of their own, or
//! protobuf, for what is one document of a dozen fields.

mod document;
mod send;
mod span;
mod spans;

use std::sync::{Arc, Mutex, PoisonError};

use cutover_core::Event;

use crate::error::Result;
use crate::report::Reporter;
use send::Sender;
use spans::Spans;

/// What becomes spans, and who sends them.
#[derive(Debug)]
pub(super) struct Traces {
    spans: Arc<Mutex<Spans>>,
    sender: Sender,
}

impl Traces {
    /// Sends to the collector at `url`, or says why that is no address of one. It is not asked yet whether it is there.
    pub(super) fn send_to(url: &str) -> Result<Self> {
        Ok(Self { spans: Arc::default(), sender: Sender::begin(url)? })
    }

    pub(super) fn listener(&self) -> Box<dyn Reporter> {
        Box::new(Tracer { spans: Arc::clone(&self.spans), queue: self.sender.queue() })
    }

    /// Sends what is left, for a short while. What did not arrive, if anything.
    pub(super) fn end(self) -> Option<String> {
        let left = self.spans.lock().unwrap_or_else(PoisonError::into_inner).end();
        left.into_iter().for_each(|span| self.sender.push(span));
        self.sender.end()
    }
}

/// Makes spans of what it hears.
struct Tracer {
    spans: Arc<Mutex<Spans>>,
    queue: Arc<send::Queue>,
}

impl Reporter for Tracer {
    fn event(&mut self, event: &Event) {
        let ended = self.spans.lock().unwrap_or_else(PoisonError::into_inner).hear(event);
        ended.into_iter().for_each(|span| self.queue.push(span));
    }
}
