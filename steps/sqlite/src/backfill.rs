//! The step kind `sqlite.backfill`.
