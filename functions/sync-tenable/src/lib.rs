//! Tenable Vulnerability Management: the scanner's wire format and its mapping.
//!
//! A pull is two exports, or three with compliance. Tenable prepares each one in chunks, over seconds to hours; nothing here waits for that, the
//! unit goes back to the queue.
//!
//! ```text
//! assets/start ──> assets/wait/<n> (polls, reads one chunk, plans the next) ──> vulns/start
//!                                                                                 │
//!                           vulns/chunk/<id> (many, in parallel) <── vulns/wait/<n> (polls, plans)
//! ```
//!
//! The export of compliance begins and goes on like that of vulnerabilities, beside it. The list of scans is one answer.
//!
//! **Why assets are read in a chain and vulnerabilities side by side.** A finding names its host poorly; the inventory has
//! cloud ids, agent ids and tags. Hosts are told apart correctly from the start only if the whole inventory comes before
//! the first finding, and no unit can know that *other* units are done. So the asset chunks are read one after the
//! other by a chain of units, each of which reads one chunk and plans its successor; the last one plans the
//! vulnerability export. A crash repeats one chunk. Assets are few and small (100,000 are a hundred chunks); findings
//! are many, and their chunks are read side by side, already while the export is being prepared.
//!
//! A finding that Tenable leaves out proves nothing: hosts are always reported in part, and only `FIXED` closes.

pub mod client;
mod function;
pub mod normalize;
mod pull;
mod work;

use async_trait::async_trait;
use domain::CheckLine;
use domain::policy::Connector;
use jiff::{SignedDuration, Timestamp};
use sync::{HttpClient, Next, Run, Scanner, Sink, SyncError, Unit};

pub use client::with_keys;
pub use function::{function, function_with};
pub use normalize::normalize;

use client::{AssetsVersion, Client, Export};
use work::Work;

/// Assets a chunk of the inventory (`chunk_size`): Tenable accepts 100 to 10,000 and answers others with an error.
const ASSETS_PER_CHUNK: std::ops::RangeInclusive<u32> = 100..=10_000;
const DEFAULT_ASSETS_PER_CHUNK: u32 = 1_000;
/// Assets a chunk of findings (`num_assets`): 50 to 5,000.
const ASSETS_PER_FINDINGS_CHUNK: std::ops::RangeInclusive<u32> = 50..=5_000;
/// Tenable's own default of 50 means 20,000 requests for a million assets; 5,000 means chunks of gigabytes, which no
/// invocation finishes. 100 assets have some 10,000 findings, about 50 MB: the findings of one asset are spread over the
/// chunk, and these are few enough to be kept until it has been read.
const DEFAULT_ASSETS_PER_FINDINGS_CHUNK: u32 = 100;

/// What can be set beside the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How far a full pass goes back: findings that no scan has seen or fixed for so long are left out.
    pub retention: SignedDuration,
    /// How long an export may stand still, queued or in work, before it is given up. Below the 24 hours for which
    /// chunks are kept.
    pub patience: SignedDuration,
}

impl Default for Options {
    fn default() -> Self {
        Self { retention: SignedDuration::from_hours(365 * 24), patience: SignedDuration::from_hours(6) }
    }
}

/// One Tenable account.
pub struct TenableScanner {
    client: Client,
    assets: bool,
    assets_version: AssetsVersion,
    vulnerabilities: bool,
    compliance: bool,
    scans: bool,
    chunk_size: u32,
    num_assets: u32,
    options: Options,
}

impl TenableScanner {
    /// A scanner for `connector` over an HTTP client that has its keys ([`with_keys`]).
    pub fn new(connector: &Connector, http: HttpClient) -> Self {
        let clamped = |range: std::ops::RangeInclusive<u32>, default: u32| {
            connector.page_size.map_or(default, |size| size.clamp(*range.start(), *range.end()))
        };
        let assets_version = match connector.api_versions.get("assets").map(String::as_str) {
            Some("2" | "2.0") => AssetsVersion::V2,
            _ => AssetsVersion::V1,
        };
        Self {
            client: Client::new(http, assets_version),
            assets: connector.pulls("assets"),
            assets_version,
            vulnerabilities: connector.pulls("vulnerabilities"),
            compliance: connector.pulls("compliance"),
            scans: connector.pulls("scans"),
            chunk_size: clamped(ASSETS_PER_CHUNK, DEFAULT_ASSETS_PER_CHUNK),
            num_assets: clamped(ASSETS_PER_FINDINGS_CHUNK, DEFAULT_ASSETS_PER_FINDINGS_CHUNK),
            options: Options::default(),
        }
    }

    /// Whether an export beside that of compliance says who the hosts are.
    fn describes_hosts(&self) -> bool {
        self.assets || self.vulnerabilities
    }

    /// The exports that begin when the identities of all hosts are known.
    fn after_assets(&self) -> Vec<Unit> {
        [(self.vulnerabilities, Export::Vulns), (self.compliance, Export::Compliance)]
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, export)| work::start(export))
            .collect()
    }

    /// The same with other options.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }
}

#[async_trait]
impl Scanner for TenableScanner {
    fn kind(&self) -> domain::Scanner {
        domain::Scanner::Tenable
    }

    async fn plan(&self, _run: &Run) -> Result<Vec<Unit>, SyncError> {
        let mut units = if self.assets { vec![work::start(Export::Assets)] } else { self.after_assets() };
        units.extend(self.scans.then(work::scans));
        Ok(units)
    }

    async fn pull(&self, run: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let outcome = match unit.work()? {
            Work::Start(work) => self.start(run, unit, work, sink.now()).await,
            Work::Assets(work) => self.pull_assets(unit, work, sink).await,
            Work::Vulns(work) => self.wait_for_vulns(unit, work, sink.now()).await,
            Work::Chunk(work) => self.pull_chunk(unit, work, sink).await,
            Work::Scans => sync::tell_scans(self.client.scans(sink.now()).await, sink).await,
        };
        match outcome {
            Err(SyncError::Throttled { until, .. }) => Ok(Next::Later(until, unit.clone())),
            other => other,
        }
    }

    async fn check(&self) -> Result<String, SyncError> {
        Ok(self.client.session(Timestamp::now()).await?.describe())
    }

    async fn rights(&self, now: Timestamp) -> Vec<CheckLine> {
        let mut lines = Vec::new();
        for (stream, is_pulled, export) in [
            ("assets", self.assets, Export::Assets),
            ("vulnerabilities", self.vulnerabilities, Export::Vulns),
            ("compliance", self.compliance, Export::Compliance),
        ] {
            if is_pulled {
                lines.push(sync::right(stream, self.client.exports(export, now).await));
            }
        }
        if self.scans {
            lines.push(sync::right("scans", self.client.scans(now).await));
        }
        lines
    }
}

#[cfg(test)]
mod tests;
