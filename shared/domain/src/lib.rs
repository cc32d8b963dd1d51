//! The model of vulnrelay and every rule that decides something: pure functions over plain types.
//!
//! Nothing here reads a clock, a file, the network or a table. Whoever wants to know why a vulnerability was
//! merged, scored, closed or ticketed reads this crate.
//!
//! | module | answers |
//! | --- | --- |
//! | [`ids`] | what are the names of things |
//! | [`scanner`] | which kinds of scanner are there |
//! | [`host`], [`finding`] | what did a scanner say |
//! | [`identity`] | which sightings are one machine |
//! | [`merge`] | which findings are one vulnerability |
//! | [`intel`] | what does the world know of a CVE |
//! | [`threat`] | who asserts that it is exploited |
//! | [`exposure`] | who can reach an asset |
//! | [`score`] | how much does it matter |
//! | [`sla`] | until when |
//! | [`policy`] | what does this company want |
//! | [`vulnerability`] | what have we made of it |
//! | [`role`] | who may do what |
//! | [`check`] | does a connector work |
//! | [`coverage`] | which hosts does a scanner look at, how often and how well |
//! | [`decide`] | all of the above for one asset, in one pure function |

pub mod check;
pub mod coverage;
pub mod decide;
pub mod exposure;
pub mod finding;
pub mod host;
pub mod identity;
pub mod ids;
pub mod intel;
pub mod inventory;
pub mod merge;
pub mod policy;
pub mod role;
pub mod scanner;
#[cfg(feature = "schema")]
pub mod schema;
pub mod score;
pub mod sla;
pub mod threat;
pub mod vulnerability;

pub use check::{Check, CheckLine, Outcome};
pub use coverage::{Coverage, Covered, LastScan, ScanJob, ScanJobs, ScanOutcome};
pub use finding::{Cvss, Finding, FindingKind, FindingState, Rule};
pub use host::{CloudId, Details, Host, Tag};
pub use ids::{AssetId, ConnectorName, CveId, FindingKey, InvalidId, RuleId, RunId, SightingId, VulnId};
pub use intel::Intel;
pub use role::{InvalidRole, Role};
pub use scanner::Scanner;
pub use vulnerability::{Asset, Severity, Status, Vulnerability};

/// A stable 64-bit digest of bytes, the same on every machine and in every version.
pub fn digest(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
