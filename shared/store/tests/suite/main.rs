//! The table against the embedded store, or against the endpoint that `DYNAMODB_ENDPOINT` names.
//!
//! Each test has a table of its own, so that they run side by side.

#![allow(clippy::unwrap_used)] // a helper that fails fails its test

mod audit;
mod cost;
mod counters;
mod decisions;
mod deliveries;
mod documents;
mod faults;
mod identity;
mod intel;
mod lists;
mod pushes;
mod replays;
mod rules;
mod runs;
mod statements;
mod support;
mod tokens;
