//! Assets.

use std::collections::BTreeMap;

use domain::identity::{Identifier, IdentityChange, Refusal};
use domain::vulnerability::{Counted, Exposure};
use domain::{Asset, AssetId, Details, Host, Severity, SightingId, VulnId};
use jiff::Timestamp;
use serde::Serialize;
use store::OpenCounts;

use super::vulnerabilities::place;
use super::{VulnerabilityRow, row};
use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Assets of one page.
const ASSETS: i32 = 20;
/// Reads of so many assets until a filtered page ends, full or not.
const FILTERED_READS: usize = 4;
/// Of what happened to an asset's identity, the latest.
const HISTORY: i32 = 20;
/// Vulnerabilities of one asset on one page.
const VULNERABILITIES: usize = 20;

/// What an owner has open.
#[derive(Debug, Clone, Serialize)]
pub struct OwnerRow {
    /// The team.
    pub owner: String,
    /// Its open vulnerabilities and its assets.
    #[serde(flatten)]
    pub open: OpenCounts,
}

impl OwnerRow {
    /// The owner with most open first.
    pub(super) fn sorted(counts: BTreeMap<String, OpenCounts>) -> Vec<Self> {
        let mut rows: Vec<Self> = counts.into_iter().map(|(owner, open)| Self { owner, open }).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.open.total(), row.open.assets)));
        rows
    }
}

/// One asset in a list.
#[derive(Debug, Clone, Serialize)]
pub struct AssetRow {
    /// Its id.
    pub id: AssetId,
    /// What people call it.
    pub name: String,
    /// The team that owns it.
    pub owner: String,
    /// The service it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Addresses.
    pub ips: Vec<String>,
    /// 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<u8>,
    /// Who can reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// What is open on it.
    pub open: OpenCounts,
    /// How many sightings it was joined from.
    pub sightings: usize,
    /// The last scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scanned_at: Option<Timestamp>,
    /// Since when it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
}

impl AssetRow {
    fn of(asset: &Asset) -> Self {
        Self {
            id: asset.id.clone(),
            name: asset.host.display_name().to_owned(),
            owner: asset.owner.clone(),
            service: asset.service.clone(),
            os: asset.host.os.clone(),
            ips: asset.host.ips.clone(),
            criticality: asset.criticality,
            exposure: asset.exposure,
            open: open_on(asset),
            sightings: asset.sightings.len(),
            last_scanned_at: asset.host.last_scanned_at,
            gone_at: asset.gone_at,
        }
    }
}

fn open_on(asset: &Asset) -> OpenCounts {
    let mut open = OpenCounts { assets: i64::from(asset.gone_at.is_none()), ..OpenCounts::default() };
    for counted in asset.counted.values().filter(|counted| counted.status.is_open()) {
        let count = match counted.severity {
            Severity::Critical => &mut open.critical,
            Severity::High => &mut open.high,
            Severity::Medium => &mut open.medium,
            Severity::Low => &mut open.low,
            Severity::Info => &mut open.info,
        };
        *count += 1;
        open.overdue += i64::from(counted.overdue);
    }
    open
}

/// A page of an owner's assets.
#[derive(Debug, Clone, Serialize)]
pub struct AssetList {
    /// When it was read.
    pub at: Timestamp,
    /// Whose assets these are; absent where nobody owns any yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only assets that this connector does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The assets, in the order of their ids.
    pub assets: Vec<AssetRow>,
    /// Value of `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Owners to choose from.
    pub owners: Vec<OwnerRow>,
}

/// One asset.
#[derive(Debug, Clone, Serialize)]
pub struct AssetDetail {
    /// When it was read.
    pub at: Timestamp,
    /// The asset.
    pub asset: AssetRow,
    /// Everything that is known of the machine, with its network, open ports and software.
    pub host: Host,
    /// Why each sighting belongs to it.
    pub sightings: Vec<JoinRow>,
    /// What it is recognised by.
    pub identifiers: Vec<Identifier>,
    /// What happened to its identity, the latest first.
    pub history: Vec<IdentityChange>,
    /// The asset that has taken its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<AssetId>,
    /// All its vulnerabilities, closed ones too.
    pub vulnerabilities_total: usize,
    /// A page of them: open before closed, worst first.
    pub vulnerabilities: Vec<VulnerabilityRow>,
    /// Value of `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a sighting belongs to an asset.
#[derive(Debug, Clone, Serialize)]
pub struct JoinRow {
    /// The sighting: connector and the scanner's own id of the host.
    pub sighting: SightingId,
    /// The rule that joined it.
    pub rule: String,
    /// 0 to 100.
    pub confidence: u8,
    /// What it had in common with the asset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agreeing: Vec<Identifier>,
    /// Other assets that were considered, and why they were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
    /// Assets that it could be with equal right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ambiguous: Vec<AssetId>,
    /// Who put it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
}

pub(super) fn joins(asset: &Asset) -> Vec<JoinRow> {
    let row = |(sighting, join): (&SightingId, &domain::vulnerability::Join)| JoinRow {
        sighting: sighting.clone(),
        rule: join.rule.clone(),
        confidence: join.confidence,
        agreeing: join.agreeing.clone(),
        refused: join.refused.clone(),
        ambiguous: join.ambiguous.clone(),
        pinned_by: join.pinned_by.clone(),
    };
    asset.sightings.iter().map(row).collect()
}

/// Sorts open before closed, worst first, overdue first; the id makes it a place.
fn rank(id: &VulnId, counted: &Counted) -> String {
    let worst = Severity::ALL.iter().position(|s| *s == counted.severity).unwrap_or_default();
    format!("{}{worst}{}{id}", u8::from(!counted.status.is_open()), u8::from(!counted.overdue))
}

/// Whether the asset is there and this connector does not have it.
fn lacks(asset: &Asset, connector: Option<&str>) -> bool {
    connector.is_none_or(|name| {
        asset.gone_at.is_none() && !asset.seen_by.iter().any(|connector| connector.as_str() == name)
    })
}

/// What several scanners know of the details of one machine.
fn united(all: Vec<Details>) -> Details {
    let mut united = Details::default();
    for Details { network, open_ports, software, left_out } in all {
        united.network = united.network.or(network);
        united.open_ports.extend(open_ports);
        united.software.extend(software);
        united.left_out += left_out;
    }
    united.capped()
}

impl Dashboard {
    pub(crate) async fn assets(&self, request: &Request) -> Result<AssetList, Problem> {
        let owners = OwnerRow::sorted(self.store.open_counts().await?);
        let asked = request.first("owner").map(str::to_owned);
        let owner = asked.or_else(|| owners.first().map(|row| row.owner.clone()));
        let missing = request.first("missing").map(str::to_owned);
        let (mut assets, mut next) = (Vec::new(), place(request)?.map(str::to_owned));
        if let Some(owner) = &owner {
            // A filter that lets little through ends early and says where to go on.
            for _ in 0..if missing.is_some() { FILTERED_READS } else { 1 } {
                let page = self.store.assets(owner, next.as_deref(), ASSETS).await?;
                let rows = page.rows.iter().map(|row| &row.value);
                assets.extend(rows.filter(|asset| lacks(asset, missing.as_deref())).map(AssetRow::of));
                next = page.next;
                if next.is_none() || assets.len() >= ASSETS.unsigned_abs() as usize {
                    break;
                }
            }
        }
        Ok(AssetList { at: self.now(), owner, missing, assets, next, owners })
    }

    pub(crate) async fn asset(&self, id: &str, after: Option<&str>) -> Result<AssetDetail, Problem> {
        let id: AssetId = id.parse().map_err(|_| Problem::NotFound)?;
        let asset = self.store.resolved_asset(&id).await?.ok_or(Problem::NotFound)?.value;
        let id = asset.id.clone();
        let now = self.now();
        let mut ranked: Vec<(String, &VulnId)> =
            asset.counted.iter().map(|(id, counted)| (rank(id, counted), id)).collect();
        ranked.sort();
        ranked.retain(|(rank, _)| after.is_none_or(|after| rank.as_str() > after));
        let next = (ranked.len() > VULNERABILITIES).then(|| ranked[VULNERABILITIES - 1].0.clone());
        let ids: Vec<VulnId> = ranked.iter().take(VULNERABILITIES).map(|(_, id)| (*id).clone()).collect();
        let found = self.store.vulnerabilities_of(&id, &ids).await?;
        let name = asset.host.display_name();
        let details = united(self.store.details(asset.sightings.keys()).await?);
        Ok(AssetDetail {
            at: now,
            sightings: joins(&asset),
            identifiers: asset.identifiers.iter().cloned().collect(),
            history: self.store.identity_history(&id, HISTORY).await?,
            superseded_by: asset.superseded_by.clone(),
            vulnerabilities_total: asset.counted.len(),
            vulnerabilities: found
                .iter()
                .map(|v| row(v, name, &asset.owner, &self.config.policies, now))
                .collect(),
            next,
            asset: AssetRow::of(&asset),
            host: asset.host.with_details(details),
        })
    }
}
