//! The tests of the whole: nothing to use, everything is in `e2e/`. See `tests/e2e/main.rs`.
