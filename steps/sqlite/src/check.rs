//! The step kind `sqlite.check`.
