//! The scanner against the simulated InsightVM, and against a server that answers by script.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod bulk;
mod pages;
mod scripted;
mod support;
