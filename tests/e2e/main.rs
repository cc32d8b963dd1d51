//! End to end: simulated systems -> functions -> table -> tickets and messages, on the one-machine stack.
//!
//! | module | what |
//! | --- | --- |
//! | `pipeline` | what happens from the first sync over days to overdue |
//! | `configure` | the configuration as a deployment stores it |
//! | `doubt` | runs that cannot be believed, wrong secrets, garbage, pushes |
//! | `depth` | software, ports and compliance; purged hosts |
//! | `events` | the samples in `events/` |
//! | `aws_events` | findings of Inspector and Security Hub: twice, reversed, closed, reopened |
//! | `identity` | machines that turn out to be one, their undoing, shared values, replacement |
//! | `insightvm` | its two interfaces through the whole system |
//! | `faults` | kill, throttle, lose, repeat at every step; the end is that of the clean run |
//! | `nessus` | weeks of a scanner without memory: found, fixed, back, looked at less closely |
//! | `layers` | who may depend on whom |
//! | `console` | the simulated InsightVM console, and Rapid7's own client against it |
//! | `coverage` | which hosts are scanned, and how they are counted |
//! | `contract` | our requests and the simulators' answers against the vendors' specifications, with `RECORDINGS` |
//! | `quiet` | logs and metrics tell what happened, and no secret |
//! | `pytenable` | the vendor's own client against the simulated Tenable and the simulated Nessus |
//! | `qualysdk` | the community's client against the simulated Qualys |
//! | `recordings_*` | real answers, with `RECORDINGS` |

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod aws_events;
mod configure;
mod console;
mod contract;
mod coverage;
mod depth;
mod doubt;
mod events;
mod exposure;
mod faults;
mod identity;
mod insightvm;
mod layers;
mod nessus;
mod pipeline;
mod pytenable;
mod qualysdk;
mod quiet;
mod recordings_aws;
mod recordings_console;
mod recordings_insightvm;
mod recordings_intel;
mod recordings_nessus;
mod recordings_qualys;
mod recordings_tenable;
mod site;
mod tls;
