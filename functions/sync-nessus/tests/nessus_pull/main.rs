//! The scanner against a server that answers by script, and against the simulated Nessus.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod scripted;
mod simulated;
mod support;
