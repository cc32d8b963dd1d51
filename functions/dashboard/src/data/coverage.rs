//! Which hosts are scanned, how often and how well; how the scans went; and what a scanner does not know at all.

use std::collections::BTreeMap;

use domain::coverage::Gap;
use domain::policy::Connector;
use domain::{AssetId, ConnectorName, Coverage, Covered, RunId, ScanJob, ScanJobs, Scanner, SightingId};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use store::{AssetCounts, SightingBrief};

use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Connectors on one page.
const CONNECTORS: usize = 16;
/// Hosts of one page; each takes a read of what it is called and of the asset that it belongs to.
const HOSTS: usize = 15;
/// Scans that are listed, the worst first.
const SCANS: usize = 20;

/// How well a connector's scanner covers what there is.
#[derive(Debug, Clone, Serialize)]
pub struct CoverageRow {
    /// The connector.
    pub connector: ConnectorName,
    /// The kind of scanner.
    pub scanner: Scanner,
    /// Time within which every host has to be scanned, in seconds.
    pub cadence_seconds: u32,
    /// Assets that it does not have, although they are known from elsewhere.
    pub unknown_assets: i64,
    /// What its last complete full run told of its hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostCounts>,
}

/// Hosts of a scanner that are not gone.
#[derive(Debug, Clone, Serialize)]
pub struct HostCounts {
    /// The run that told of them.
    pub run: RunId,
    /// When they were counted.
    pub at: Timestamp,
    /// All of them.
    pub known: u64,
    /// By how they are covered.
    pub by_coverage: BTreeMap<Covered, u64>,
}

/// A host that is not scanned as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct GapRow {
    /// The scanner's own id of the host, what is wrong, and its last scan.
    #[serde(flatten)]
    pub gap: Gap,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The asset that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetId>,
}

/// A scan that is set up in the scanner.
#[derive(Debug, Clone, Serialize)]
pub struct ScanRow {
    /// The scan, and how it last went.
    #[serde(flatten)]
    pub scan: ScanJob,
    /// Whether it leaves hosts unscanned.
    pub amiss: bool,
}

/// The page of coverage.
#[derive(Debug, Clone, Serialize)]
pub struct CoverageList {
    /// When it was read.
    pub at: Timestamp,
    /// Assets that are not gone, whoever knows them.
    pub assets: i64,
    /// The connectors.
    pub connectors: Vec<CoverageRow>,
    /// The connector whose hosts are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ConnectorName>,
    /// Its hosts that are not scanned as they should be, worst first.
    pub gaps: Vec<GapRow>,
    /// How many more there are than can be listed.
    pub unlisted: u64,
    /// Value of `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// When its scanner told of its scans, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scans_at: Option<Timestamp>,
    /// Its scans, those first that leave hosts unscanned.
    pub scans: Vec<ScanRow>,
    /// How many more there are.
    pub scans_unlisted: u64,
}

impl Dashboard {
    pub(crate) async fn coverage(&self, request: &Request) -> Result<CoverageList, Problem> {
        let scanned: Vec<&Connector> = self.config.pulled().take(CONNECTORS).collect();
        let chosen = match request.first("connector") {
            Some(name) => {
                Some(self.config.pulled().find(|c| c.name.as_str() == name).ok_or(Problem::NotFound)?)
            }
            None => scanned.first().copied(),
        };
        let after = match request.first("after") {
            Some(text) => text.parse().map_err(|_| Problem::Invalid("after is a number".into()))?,
            None => 0,
        };
        let counts = self.store.asset_counts().await?;
        let read = scanned.iter().map(|connector| self.store.coverage(&connector.name));
        let known = futures::future::try_join_all(read).await?;
        let rows = scanned.iter().zip(&known).map(|(c, known)| row(c, known.as_ref(), &counts)).collect();
        let mut list = CoverageList {
            at: self.now(),
            assets: counts.total,
            connectors: rows,
            chosen: chosen.map(|connector| connector.name.clone()),
            gaps: Vec::new(),
            unlisted: 0,
            next: None,
            scans_at: None,
            scans: Vec::new(),
            scans_unlisted: 0,
        };
        let Some(connector) = chosen else { return Ok(list) };
        let read = scanned.iter().position(|other| other.name == connector.name);
        let coverage = match read.and_then(|at| known.into_iter().nth(at)) {
            Some(read) => read,
            // A connector beyond those of the table.
            None => self.store.coverage(&connector.name).await?,
        };
        if let Some(coverage) = coverage {
            list.gaps = self.gaps(connector, &coverage, after).await?;
            list.unlisted = coverage.amiss().saturating_sub(coverage.gaps.len() as u64);
            list.next =
                (coverage.gaps.len() > after.saturating_add(HOSTS)).then(|| (after + HOSTS).to_string());
        }
        if connector.pulls("scans")
            && let Some(known) = self.store.scan_jobs(&connector.name).await?
        {
            list.scans_at = Some(known.at);
            (list.scans, list.scans_unlisted) = scans(known, list.at, connector.scan_cadence.duration());
        }
        Ok(list)
    }

    async fn gaps(
        &self,
        connector: &Connector,
        coverage: &Coverage,
        after: usize,
    ) -> Result<Vec<GapRow>, Problem> {
        let gaps: Vec<&Gap> = coverage.gaps.iter().skip(after).take(HOSTS).collect();
        let sighting = |gap: &Gap| SightingId::new(connector.name.clone(), gap.host.as_str());
        let ids: Vec<SightingId> = gaps.iter().map(|gap| sighting(gap)).collect();
        let mut briefs = self.store.sighting_briefs(&ids).await?;
        let row = |gap: &Gap| {
            let SightingBrief { name, asset } = briefs.remove(&sighting(gap)).unwrap_or_default();
            GapRow { gap: gap.clone(), name, asset }
        };
        Ok(gaps.into_iter().map(row).collect())
    }
}

/// The scans that are worth a look first, and how many others there are.
fn scans(known: ScanJobs, now: Timestamp, cadence: SignedDuration) -> (Vec<ScanRow>, u64) {
    let row = |scan: ScanJob| ScanRow { amiss: scan.is_amiss(now, cadence), scan };
    let (mut rows, fine): (Vec<ScanRow>, Vec<ScanRow>) =
        known.jobs.into_iter().map(row).partition(|row| row.amiss);
    // The newest of those that are as they should be.
    rows.extend(fine.into_iter().rev());
    let more = rows.len().saturating_sub(SCANS) as u64 + known.unlisted;
    rows.truncate(SCANS);
    (rows, more)
}

fn row(connector: &Connector, known: Option<&Coverage>, counts: &AssetCounts) -> CoverageRow {
    let seen = counts.by_connector.get(connector.name.as_str()).copied().unwrap_or(0);
    CoverageRow {
        connector: connector.name.clone(),
        scanner: connector.scanner,
        cadence_seconds: connector.scan_cadence.0,
        unknown_assets: (counts.total - seen).max(0),
        hosts: known.map(|coverage| HostCounts {
            run: coverage.run.clone(),
            at: coverage.at,
            known: coverage.known(),
            by_coverage: coverage.hosts.clone(),
        }),
    }
}
