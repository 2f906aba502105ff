//! The step kind `sqlite.export`.
