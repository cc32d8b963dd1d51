//! The simulators over the wire, as their users meet them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod client;
mod control;
mod insightvm;
mod insightvm_console;
mod nessus;
mod qualys;
mod tenable;
