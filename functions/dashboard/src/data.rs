//! What the pages show, as plain data: the JSON of the API.

mod assets;
mod deliveries;
mod detail;
mod overview;
mod rows;
mod runs;
mod vulnerabilities;

pub use assets::{AssetDetail, AssetList, AssetRow, JoinRow, OwnerRow};
pub use deliveries::{DeliveryList, DeliverySummary};
pub use detail::{
    AssetBrief, CveDetail, DeadlineDetail, FindingDetail, PendingEffect, RuleDetail, ScoreDetail,
    VulnerabilityDetail,
};
pub use overview::{Day, Exploited, FeedRow, Overview, TimeToFix};
pub use rows::{Reason, VulnerabilityRow};
pub use runs::{ConnectorRow, ConnectorRuns, RunList, RunRow};
pub use vulnerabilities::{AskedFilter, LISTED_STATUSES, VulnerabilityList};

pub(crate) use rows::row;
