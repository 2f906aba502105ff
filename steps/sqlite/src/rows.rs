//! The step kind `sqlite.rows`.
