//! The step kind `sqlite.script`.
