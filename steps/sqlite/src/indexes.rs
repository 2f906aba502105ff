//! The step kind `sqlite.indexes`.
