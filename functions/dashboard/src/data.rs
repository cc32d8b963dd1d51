//! What the pages show, as plain data: the JSON of the API.

mod assets;
mod audit;
mod coverage;
mod deliveries;
mod detail;
mod identity;
mod impact;
mod inventory;
mod origins;
mod overview;
mod rows;
mod runs;
mod tokens;
mod vulnerabilities;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::problem::Problem;
use crate::request::Request;
pub use assets::{AssetDetail, AssetList, AssetRow, JoinRow, OwnerRow};
pub use audit::AuditList;
pub use coverage::{CoverageList, CoverageRow, GapRow, HostCounts, ScanRow};
pub use deliveries::{DeliveryList, DeliverySummary};
pub use detail::{
    AssetBrief, CveDetail, DeadlineDetail, FindingDetail, PartDetail, PendingEffect, RuleDetail, ScoreDetail,
    VulnerabilityDetail,
};
pub use identity::{IdentityList, Named, ReviewRow, SharedRow};
pub use impact::{Impact, Touched, TouchedAsset, TouchedVulnerability, impact};
pub use inventory::{FirewallImport, InventoryImport, RefusedRow};
pub use origins::Origin;
pub use overview::{Day, Exploited, FeedRow, Overview, TimeToFix};
pub use rows::{Reason, VulnerabilityRow};
pub use runs::{ConnectorRow, ConnectorRuns, RunList, RunRow};
pub use tokens::{TokenCreated, TokenList, TokenRow, TokenState};
pub use vulnerabilities::{AskedFilter, LISTED_STATUSES, VulnerabilityList};

use vulnerabilities::place;

pub(crate) use rows::row;

/// The day that is asked for; today without one.
fn asked_day(request: &Request, now: Timestamp) -> Result<Date, Problem> {
    match request.first("day") {
        Some(day) => day.parse().map_err(|_| Problem::Invalid("day is a date: 2026-12-31".into())),
        None => Ok(now.to_zoned(TimeZone::UTC).date()),
    }
}
