//! The feeds against the embedded store: their formats, what is written, who is told, and what happens when something
//! dies or lies.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod parsers;
mod runs;
mod support;
mod threat;
