//! Lists of vulnerabilities.

use domain::{Severity, Status};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::VulnerabilityFilter;

use super::{VulnerabilityRow, row};
use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Rows of one page.
const ROWS: usize = 25;
/// Owners whose lists are merged into one. Beyond that, the list of all is the list of high scores.
const MERGED_OWNERS: usize = 6;

/// The statuses that a list can show. What is fixed or gone is told on the page of its asset.
pub const LISTED_STATUSES: [Status; 8] = [
    Status::Identified,
    Status::InProgress,
    Status::AwaitingValidation,
    Status::Created,
    Status::RiskAccepted,
    Status::FalsePositive,
    Status::Suppressed,
    Status::Stale,
];

/// A page of a list.
#[derive(Debug, Clone, Serialize)]
pub struct VulnerabilityList {
    /// When it was read.
    pub at: Timestamp,
    /// What was asked for.
    pub filter: AskedFilter,
    /// The rows, highest score first.
    pub vulnerabilities: Vec<VulnerabilityRow>,
    /// Value of `after` for the next page. It may be there although this page has few rows or none: what matches
    /// little is searched piece by piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Owners to choose from.
    pub owners: Vec<String>,
    /// With many owners, the list of all begins at the scores that are high: choose an owner for the rest.
    pub only_high_scores: bool,
}

/// What a list is restricted to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AskedFilter {
    /// One owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Severities; empty means all.
    pub severity: Vec<Severity>,
    /// Statuses; empty means open ones.
    pub status: Vec<Status>,
    /// Text in title, CVE or id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Only overdue ones.
    pub overdue: bool,
    /// Only those exploited in the wild.
    pub exploited: bool,
}

impl AskedFilter {
    fn read(request: &Request) -> Result<Self, Problem> {
        let filter = Self {
            owner: request.first("owner").map(str::to_owned),
            severity: words(request, "severity")?,
            status: words(request, "status")?,
            q: request.first("q").map(|q| q.chars().take(200).collect()),
            overdue: flag(request, "overdue")?,
            exploited: flag(request, "exploited")?,
        };
        match filter.status.iter().find(|status| !LISTED_STATUSES.contains(status)) {
            Some(status) => {
                Err(Problem::Invalid(format!("what is {status} is in no list: see the page of its asset")))
            }
            None => Ok(filter),
        }
    }

    fn for_store(&self, now: Timestamp) -> VulnerabilityFilter {
        VulnerabilityFilter {
            severities: self.severity.clone(),
            statuses: self.status.clone(),
            text: self.q.clone(),
            overdue_at: self.overdue.then_some(now),
            exploited: self.exploited,
        }
    }
}

/// The values of a parameter that may be repeated.
fn words<T: DeserializeOwned>(request: &Request, name: &str) -> Result<Vec<T>, Problem> {
    request
        .all(name)
        .into_iter()
        .map(|word| {
            serde_json::from_value(word.into()).map_err(|error| Problem::Invalid(format!("{name}: {error}")))
        })
        .collect()
}

fn flag(request: &Request, name: &str) -> Result<bool, Problem> {
    match request.first(name) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true" | "on") => Ok(true),
        Some(_) => Err(Problem::Invalid(format!("{name} is 1 or 0"))),
    }
}

/// The place after which a list goes on, checked as far as it can be.
pub(super) fn place(request: &Request) -> Result<Option<&str>, Problem> {
    match request.first("after") {
        Some(after) if after.len() > 100 || after.chars().any(char::is_control) => {
            Err(Problem::Invalid("after is no place in a list: take it from next".into()))
        }
        after => Ok(after),
    }
}

impl Dashboard {
    pub(crate) async fn vulnerabilities(&self, request: &Request) -> Result<VulnerabilityList, Problem> {
        let now = self.now();
        let asked = AskedFilter::read(request)?;
        let after = place(request)?;
        let owners: Vec<String> = self.store.open_counts().await?.into_keys().collect();
        let filter = asked.for_store(now);
        let only_high_scores = asked.owner.is_none() && owners.len() > MERGED_OWNERS;
        let page = if only_high_scores {
            self.store.top_after(&filter, after, ROWS).await?
        } else {
            let chosen = asked.owner.clone().map_or_else(|| owners.clone(), |owner| vec![owner]);
            self.store.vulnerabilities(&chosen, &filter, after, ROWS).await?
        };
        let policies = &self.config.policies;
        Ok(VulnerabilityList {
            at: now,
            vulnerabilities: page
                .rows
                .iter()
                .map(|r| row(&r.value, &r.asset_name, &r.owner, policies, now))
                .collect(),
            next: page.next,
            filter: asked,
            owners,
            only_high_scores,
        })
    }
}
