//! The step kind `sqlite.columns`.
