//! Prometheus metrics of a command: counted from its events, served as text over HTTP.

mod figures;
mod serve;
mod text;

use std::sync::{Arc, Mutex, PoisonError};

use cutover_core::Event;

use crate::error::Result;
use crate::report::Reporter;
use figures::Figures;
use serve::Server;

/// What is counted, and the server that shows it.
#[derive(Debug)]
pub(super) struct Metrics {
    figures: Arc<Mutex<Figures>>,
    server: Server,
}

impl Metrics {
    /// Serves on `address`, or says why that cannot be.
    pub(super) fn listen(address: &str) -> Result<Self> {
        let figures = Arc::<Mutex<Figures>>::default();
        let shown = Arc::clone(&figures);
        let page = move || text::write(&shown.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { figures, server: Server::begin(address, Box::new(page))? })
    }

    pub(super) fn address(&self) -> String {
        format!("http://{}/metrics", self.server.address())
    }

    pub(super) fn listener(&self) -> Box<dyn Reporter> {
        Box::new(Counter(Arc::clone(&self.figures)))
    }
}

/// Counts what it hears.
struct Counter(Arc<Mutex<Figures>>);

impl Reporter for Counter {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count(event);
    }
}
