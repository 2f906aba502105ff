//! Reporters: they see events and nothing else.

mod bars;
mod human;
mod json;

use std::sync::Mutex;

use cutover_core::{Event, EventKind};

use crate::clock::now;

pub(crate) use bars::Bars;
pub use human::Human;
pub use json::JsonLines;

/// Somebody who is told what happens.
pub trait Reporter: Send {
    /// One event, in order.
    fn event(&mut self, event: &Event);
}

/// Numbers events and hands them to whoever listens.
pub struct Emitter(Mutex<(u64, Vec<Box<dyn Reporter>>)>);

impl Emitter {
    /// An emitter for one command.
    pub fn new(reporter: Box<dyn Reporter>) -> Self {
        Self::to(vec![reporter])
    }

    /// The same with several listeners, who hear each event in this order.
    pub fn to(reporters: Vec<Box<dyn Reporter>>) -> Self {
        Self(Mutex::new((0, reporters)))
    }

    /// Tells whoever listens.
    pub fn emit(&self, kind: EventKind) {
        if let Ok(mut guard) = self.0.lock() {
            let (index, reporters) = &mut *guard;
            let event = Event { index: *index, at: now().to_string(), kind };
            reporters.iter_mut().for_each(|reporter| reporter.event(&event));
            *index += 1;
        }
    }
}

impl std::fmt::Debug for Emitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Emitter")
    }
}

/// A reporter that says nothing (for embedding and tests).
#[derive(Debug)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&mut self, _: &Event) {}
}
