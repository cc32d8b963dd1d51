//! Whom and what a CVE endangers: the owners and services of the assets that have it.

use std::collections::BTreeMap;

use domain::vulnerability::Exposure;
use domain::{AssetId, CveId};
use jiff::Timestamp;
use serde::Serialize;

use super::place;
use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Assets of one page.
const ASSETS: i32 = 40;

/// Who is touched by a CVE.
#[derive(Debug, Clone, Serialize)]
pub struct Impact {
    /// When it was read.
    pub at: Timestamp,
    /// The CVE.
    pub cve: CveId,
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
}

impl Dashboard {
    pub(crate) async fn impact(&self, cve: &str, request: &Request) -> Result<Impact, Problem> {
        let cve: CveId = cve.parse().map_err(|_| Problem::NotFound)?;
        let (ids, next) = self.store.cve_users_page(&cve, place(request)?, ASSETS).await?;
        let mut touched: BTreeMap<(String, Option<String>), Vec<TouchedAsset>> = BTreeMap::new();
        for asset in self.store.assets_by_id(&ids).await? {
            // Where the vulnerability has just gone to another asset, that one is in the list too.
            if asset.merged_into.is_some() {
                continue;
            }
            let row = TouchedAsset {
                name: asset.host.display_name().to_owned(),
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
                touched.entry((asset.owner.clone(), service)).or_default().push(row.clone());
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
        Ok(Impact { at: self.now(), cve, touched, next })
    }
}
