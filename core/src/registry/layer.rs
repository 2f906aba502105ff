//! The layers of a system that phases and kinds name. Knows no kind: which layers a kind serves is the kind's to say.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where in a system a step belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Databases, key-value stores, files.
    Storage,
    /// Programs that work on what is stored.
    Processors,
    /// The engine that runs processors.
    Engine,
    /// What connects the system to others.
    Integration,
}

impl Layer {
    /// All layers, lowest first.
    pub const ALL: &'static [Layer] = &[Layer::Storage, Layer::Processors, Layer::Engine, Layer::Integration];

    /// The name used in plans.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Storage => "storage",
            Layer::Processors => "processors",
            Layer::Engine => "engine",
            Layer::Integration => "integration",
        }
    }

    /// The layer of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|l| l.name() == name)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
