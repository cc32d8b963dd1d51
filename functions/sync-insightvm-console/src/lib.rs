//! Rapid7 InsightVM on premises: the wire format of the console's API (version 3), and its mapping.
//!
//! The API lists assets well and findings badly: one call for each asset, without the day when something was first found.
//! So findings are read by SQL reports over the console's reporting data model, one for each page of assets, and the API
//! is asked for assets alone. A connector that may not run reports says `via: api` and pays one call for each asset.
//! Both ways lead to the same findings under the same keys.
//!
//! ```text
//! report:  rules ──> assets/0 ──> assets/1 ──> …       rules: definitions of everything found, by one report (full runs)
//!                      │ └─> findings/0                assets: a page of the inventory
//!                      │       └─> definitions/…, forget/<report>
//! api:     assets/0 ──> assets/1 ──> …                 a page, its tags, and what is found on each of its assets
//! ```
//!
//! How the sites were scanned is a unit of its own: the list of sites, and the newest scans.
//!
//! A report is removed after what was read from it is kept; what a run could not remove, the next full one does.

pub mod client;
pub mod csv;
mod function;
pub mod normalize;
mod pull;
pub mod query;
mod reports;
mod work;

use async_trait::async_trait;
use domain::CheckLine;
use domain::policy::{Connector, Via};
use jiff::{SignedDuration, Timestamp};
use sync::{HttpClient, Mode, Next, Run, Scanner, Sink, SyncError, Unit};

pub use function::{function, function_with};
pub use normalize::normalize;

use client::Client;
use work::Work;

/// Assets a page, and so a report: the console takes 1 to 500.
const ASSETS_PER_PAGE: u32 = 500;
/// Where each asset costs a call, a page of 200 is done in well under a minute.
const ASSETS_PER_PAGE_OF_CALLS: u32 = 200;
/// How long a report may take.
const PATIENCE: SignedDuration = SignedDuration::from_hours(3);

/// One console.
pub struct ConsoleScanner {
    client: Client,
    connector: String,
    assets: bool,
    vulnerabilities: bool,
    scans: bool,
    by_report: bool,
    page_size: u32,
}

impl ConsoleScanner {
    /// A scanner for `connector` over an HTTP client that has its credentials.
    pub fn new(connector: &Connector, http: HttpClient) -> Self {
        let by_report = connector.via() != Some(Via::Api);
        // Reports bring tags too.
        let by_calls = !by_report || !connector.pulls("vulnerabilities");
        let default = if by_calls { ASSETS_PER_PAGE_OF_CALLS } else { ASSETS_PER_PAGE };
        Self {
            client: Client::new(http),
            connector: connector.name.to_string(),
            assets: connector.pulls("assets"),
            vulnerabilities: connector.pulls("vulnerabilities"),
            scans: connector.pulls("scans"),
            by_report,
            page_size: connector.page_size.map_or(default, |size| size.clamp(1, ASSETS_PER_PAGE)),
        }
    }
}

#[async_trait]
impl Scanner for ConsoleScanner {
    fn kind(&self) -> domain::Scanner {
        domain::Scanner::InsightvmConsole
    }

    async fn plan(&self, run: &Run) -> Result<Vec<Unit>, SyncError> {
        let first = match run.mode {
            _ if !self.assets && !self.vulnerabilities => None,
            // Definitions before the findings that wait for them.
            Mode::Full if self.vulnerabilities && self.by_report => Some(work::rules()),
            _ => Some(work::assets()),
        };
        // A report brings all of them.
        let changed = run.changes_since.filter(|_| self.vulnerabilities && !self.by_report);
        let changed = changed.map(|since| work::changed(0, since));
        Ok(first.into_iter().chain(changed).chain(self.scans.then(work::scans)).collect())
    }

    fn ask_for(&self, natives: &[String]) -> Vec<Unit> {
        work::missing(natives)
    }

    async fn pull(&self, run: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let outcome = match unit.work()? {
            Work::Rules(report) => self.pull_rules(run, unit, report, sink).await,
            Work::Assets { page, total, from } => {
                self.pull_assets(run, unit, (page, total, from), sink).await
            }
            Work::Findings { page, assets, agents, report } => {
                self.pull_findings(run, unit, (page, assets, agents, report), sink).await
            }
            Work::Missing { assets } => self.confirm_missing(assets, sink).await,
            Work::Forget { report } => self.forget(report, sink).await,
            Work::Scans => sync::tell_scans(self.scan_jobs(sink.now()).await, sink).await,
            Work::Changed { page, since } => self.read_changed(page, since, sink).await,
            Work::Definitions { rules, hosts_of } => self.pull_definitions(rules, &hosts_of, sink).await,
        };
        match outcome {
            Err(SyncError::Throttled { until, .. }) => Ok(Next::Later(until, unit.clone())),
            other => other,
        }
    }

    async fn check(&self) -> Result<String, SyncError> {
        let now = Timestamp::now();
        let assets = self.client.count("assets", now).await?;
        let sites = self.client.count("sites", now).await?;
        Ok(format!("signed in, {assets} assets in {sites} sites are visible"))
    }

    async fn rights(&self, now: Timestamp) -> Vec<CheckLine> {
        let mut lines = Vec::new();
        if self.assets {
            lines.push(sync::right("assets", self.client.count("assets", now).await));
        }
        if self.vulnerabilities {
            let list = if self.by_report { "reports" } else { "tags" };
            lines.push(sync::right("vulnerabilities", self.client.count(list, now).await));
        }
        if self.scans {
            lines.push(sync::right("scans", self.client.count("scans", now).await));
        }
        lines
    }
}
