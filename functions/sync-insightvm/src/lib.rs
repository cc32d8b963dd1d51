//! InsightVM: the scanner's wire format and its mapping, over the integration API or over the Bulk Export.
//!
//! **Integration API.** A run is a chain of pages of assets, each with its findings. A page leads to the next one by its
//! cursor, and to the definitions of those vulnerabilities that nobody has defined yet.
//!
//! ```text
//! assets/0 ──> assets/1 ──> … ──> the page behind the last, which is empty
//!    └─> definitions/assets-0/<batch>
//! ```
//!
//! A full pass asks for all findings (`same`): an asset that is told whole, and was assessed since, proves that what is not
//! there is gone. An incremental one asks what is `new` and what was `remediated` since the last run.
//!
//! **Bulk Export** (`via: bulk_export`). Rapid7 prepares Parquet files once a day. Assets are read first, then what was
//! remediated, then the findings, row group by row group and side by side.
//!
//! ```text
//! export/start ──> export/wait ──> export/assets/0/0 ──> … ──> export/removed-0/start ──> … ──> export/findings
//!                                        export/vulnerabilities/<file>/<row group> <── export/vulnerabilities/<file>
//! ```
//!
//! **Why a connector takes one of the two for all of its runs.** They name assets differently, and of a finding the export
//! does not tell what sets apart two of them on one port. Mixed, every host would be there twice. An export does not prove
//! absence either: its data are up to a day old, and it does not tell when an asset was scanned. There, a finding is fixed
//! because the export of remediations says so.

pub mod client;
mod export;
mod function;
pub mod normalize;
mod pages;
mod parquet_file;
mod work;

use async_trait::async_trait;
use domain::policy::{Connector, Via};
use domain::{CheckLine, Outcome};
use jiff::{SignedDuration, Timestamp};
use sync::{HttpClient, Next, Run, Scanner, Sink, SyncError, Unit};

pub use function::{API_KEY, function, function_with};
pub use normalize::normalize;

use client::Client;
use client::graphql::Export;
use work::{Page, Start, Work};

/// Assets a page: InsightVM takes up to 500. Of 100 assets there are some 10,000 findings, about 20 MB.
const PAGE_SIZE: u32 = 100;
const LARGEST_PAGE: u32 = 500;
/// What `check` calls the right to exports.
const BULK_EXPORT: &str = "bulk_export";

/// What can be set beside the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long an export may take before it is given up.
    pub patience: SignedDuration,
}

impl Default for Options {
    fn default() -> Self {
        Self { patience: SignedDuration::from_hours(2) }
    }
}

/// One InsightVM account.
pub struct InsightvmScanner {
    client: Client,
    page_size: u32,
    assets: bool,
    vulnerabilities: bool,
    bulk: bool,
    options: Options,
}

impl InsightvmScanner {
    /// The scanner of `connector`. `http` goes to its address and carries its key.
    pub fn new(connector: &Connector, http: HttpClient) -> Self {
        Self {
            client: Client::new(http),
            page_size: connector.page_size.unwrap_or(PAGE_SIZE).clamp(1, LARGEST_PAGE),
            assets: connector.pulls("assets"),
            vulnerabilities: connector.pulls("vulnerabilities"),
            bulk: connector.via == Some(Via::BulkExport),
            options: Options::default(),
        }
    }

    /// The same with other options.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }
}

#[async_trait]
impl Scanner for InsightvmScanner {
    fn kind(&self) -> domain::Scanner {
        domain::Scanner::Insightvm
    }

    async fn plan(&self, run: &Run) -> Result<Vec<Unit>, SyncError> {
        if !self.assets && !self.vulnerabilities {
            return Ok(vec![]);
        }
        if self.bulk {
            let start = Start { export: Export::Vulnerabilities, base: None, window: 0 };
            return Ok(vec![work::unit(&Work::Start(start))]);
        }
        let mut units = vec![work::unit(&Work::Assets(Page::default()))];
        if run.changes_since.is_some() && self.vulnerabilities {
            units.push(work::unit(&Work::Changed(Page::default())));
        }
        Ok(units)
    }

    fn ask_for(&self, natives: &[String]) -> Vec<Unit> {
        if self.bulk {
            // Its ids are none of the integration API.
            return vec![];
        }
        let parts = natives.chunks(sync::ASKED_AT_ONCE).map(<[String]>::to_vec);
        parts.map(|assets| work::unit(&Work::Missing { assets })).collect()
    }

    async fn pull(&self, run: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let outcome = match unit.work()? {
            Work::Assets(page) => self.read_assets(run, &unit.id, page, sink).await,
            Work::Definitions(work) => self.read_definitions(work, sink).await,
            Work::Changed(page) => self.read_changed(run, page, sink).await,
            Work::Missing { assets } => self.confirm_missing(assets, sink).await,
            Work::Start(start) => self.start_export(start, sink.now()).await,
            Work::Wait(wait) => self.wait_for_export(run, unit, wait, sink.now()).await,
            Work::Chain(part) => self.read_chain(run, part, sink).await,
            Work::Findings { export } => self.plan_files(&export, sink.now()).await,
            Work::File(part) => self.plan_parts(part, sink.now()).await,
            Work::Part(part) => self.read_findings(part, sink).await,
        };
        match outcome {
            Err(SyncError::Throttled { until, .. }) => Ok(Next::Later(until, unit.clone())),
            other => other,
        }
    }

    async fn rights(&self, now: Timestamp) -> Vec<CheckLine> {
        let mut lines = Vec::new();
        if self.bulk {
            // Nobody has such an export: whoever is told so may ask for exports.
            let line = match self.client.standing("AA==", now).await {
                Ok(_) | Err(SyncError::NotFound { .. }) => {
                    CheckLine::new(BULK_EXPORT, Outcome::Good, "exports may be asked for")
                }
                // It is no stream that could be left out.
                Err(error) => sync::failed(BULK_EXPORT, &error),
            };
            lines.push(line);
        }
        if self.assets {
            lines.push(sync::right("assets", self.client.count_assets(now).await));
        }
        if self.vulnerabilities && !self.bulk {
            let asked = self.client.definitions(&["ssh-weak-kex-algorithms"], now).await;
            lines.push(sync::right("vulnerabilities", asked));
        }
        lines
    }

    async fn check(&self) -> Result<String, SyncError> {
        let assets = match self.client.count_assets(Timestamp::now()).await? {
            Some(total) => format!("{total} assets"),
            None => "assets".to_owned(),
        };
        Ok(format!("{} shows {assets}; address and key are right", self.client.system()))
    }
}
