//! What mistakes and warnings have in common: a text at the caret, and what to do.
//!
//! Owns the two builders; which type holds the fields is its own business.

/// Gives a type with the fields `label` and `help` the methods that set them.
macro_rules! explained {
    ($name:ty) => {
        impl $name {
            /// Adds what the caret line says.
            #[must_use]
            pub fn label(mut self, label: impl Into<String>) -> Self {
                self.label = Some(label.into());
                self
            }

            /// Adds what to do about it.
            #[must_use]
            pub fn help(mut self, help: impl Into<String>) -> Self {
                self.help = Some(help.into());
                self
            }
        }
    };
}

pub(crate) use explained;
