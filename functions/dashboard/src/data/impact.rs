//! Whom and what a CVE endangers: the owners and services of the assets that have it, and how far each has come.

use std::collections::{BTreeMap, BTreeSet};

use domain::policy::Policies;
use domain::sla::Event;
use domain::vulnerability::Exposure;
use domain::{AssetId, CveId, Intel, Vulnerability};
use jiff::Timestamp;
use serde::Serialize;
use store::{Store, StoreError};

use super::{VulnerabilityRow, place, row};
use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Vulnerabilities of one page.
const USERS: i32 = 20;
/// Of what happened to each, the latest.
const CHANGES: usize = 5;

/// Who is touched by a CVE.
#[derive(Debug, Clone, Serialize)]
pub struct Impact {
    /// When it was read.
    pub at: Timestamp,
    /// The CVE.
    pub cve: CveId,
    /// What the world knows of it, and since when.
    pub known: Intel,
    /// Owners and services with assets that have it, those with most first; of this page.
    pub touched: Vec<Touched>,
    /// Value of `after` for the next page of assets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An owner's service, with the assets in question.
#[derive(Debug, Clone, Serialize)]
pub struct Touched {
    /// The team.
    pub owner: String,
    /// The service, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The assets, the most critical first.
    pub assets: Vec<TouchedAsset>,
}

/// An asset that has the CVE.
#[derive(Debug, Clone, Serialize)]
pub struct TouchedAsset {
    /// Its id.
    pub id: AssetId,
    /// What people call it.
    pub name: String,
    /// 1 to 5, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<u8>,
    /// Who can reach it, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// Its vulnerabilities with the CVE: score, deadline and ticket.
    pub vulnerabilities: Vec<TouchedVulnerability>,
}

/// A vulnerability with the CVE.
#[derive(Debug, Clone, Serialize)]
pub struct TouchedVulnerability {
    /// The line that stands for it in lists.
    #[serde(flatten)]
    pub row: VulnerabilityRow,
    /// What happened to it last, the latest first.
    pub changes: Vec<Event>,
}

/// One page of whom a CVE endangers.
///
/// # Errors
/// When the table fails.
pub async fn impact(
    store: &Store,
    policies: &Policies,
    cve: &CveId,
    after: Option<&str>,
    now: Timestamp,
) -> Result<Impact, StoreError> {
    let (users, next) = store.cve_users_page(cve, after, USERS).await?;
    let ids: BTreeSet<AssetId> = users.iter().map(|(asset, _)| asset.clone()).collect();
    let ids: Vec<AssetId> = ids.into_iter().collect();
    let wanted = BTreeSet::from([cve.clone()]);
    let (assets, found, mut known) = tokio::try_join!(
        store.assets_by_id(&ids),
        store.vulnerabilities_by_id(&users),
        store.intel(&wanted)
    )?;
    let mut by_asset: BTreeMap<AssetId, Vec<Vulnerability>> = BTreeMap::new();
    for vulnerability in found {
        by_asset.entry(vulnerability.asset.clone()).or_default().push(vulnerability);
    }
    let mut touched: BTreeMap<(String, Option<String>), Vec<TouchedAsset>> = BTreeMap::new();
    for asset in assets {
        // Where the vulnerability has just gone to another asset, that one is in the list too.
        let Some(mut found) = by_asset.remove(&asset.id).filter(|_| asset.merged_into.is_none()) else {
            continue;
        };
        found.sort_by_key(|v| std::cmp::Reverse(v.score.value));
        let name = asset.host.display_name().to_owned();
        let line = |v: &Vulnerability| TouchedVulnerability {
            row: row(v, &name, &asset.owner, policies, now),
            changes: v.events.iter().rev().take(CHANGES).cloned().collect(),
        };
        let line = TouchedAsset {
            vulnerabilities: found.iter().map(line).collect(),
            name,
            id: asset.id,
            criticality: asset.criticality,
            exposure: asset.exposure,
        };
        let mut services: Vec<Option<String>> =
            asset.inventory.into_iter().flat_map(|known| known.services).map(Some).collect();
        if services.is_empty() {
            services.push(asset.service);
        }
        for service in services {
            touched.entry((asset.owner.clone(), service)).or_default().push(line.clone());
        }
    }
    let mut touched: Vec<Touched> = touched
        .into_iter()
        .map(|((owner, service), mut assets)| {
            assets.sort_by_key(|asset| (std::cmp::Reverse(asset.criticality), asset.name.clone()));
            Touched { owner, service, assets }
        })
        .collect();
    touched.sort_by_key(|row| std::cmp::Reverse(row.assets.len()));
    Ok(Impact { at: now, known: known.remove(cve).unwrap_or_default(), cve: cve.clone(), touched, next })
}

impl Dashboard {
    pub(crate) async fn impact(&self, cve: &str, request: &Request) -> Result<Impact, Problem> {
        let cve: CveId = cve.parse().map_err(|_| Problem::NotFound)?;
        Ok(impact(&self.store, &self.config.policies, &cve, place(request)?, self.now()).await?)
    }
}
