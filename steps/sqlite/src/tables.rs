//! The step kind `sqlite.tables`.
