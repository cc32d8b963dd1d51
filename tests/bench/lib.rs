//! Benchmarks, nothing to use: see `normalize.rs` and the folders beside it.
