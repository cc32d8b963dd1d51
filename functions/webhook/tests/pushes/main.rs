//! Pushes, from the outside: what is accepted, what is refused, and what a repeat does.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)] // a helper that fails fails its test

mod kinds;
mod signed;
mod sns;
mod support;
