//! Who can reach assets: imported firewall rules, and what sources of the network show of each asset.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::SWEEP_AFTER;
use domain::exposure::firewall::RuleList;
use domain::exposure::{Reach, ReachSource, replace};
use domain::identity::Identifier;
use domain::{Asset, AssetId};
use jiff::Timestamp;

use crate::documents::Document;
use crate::error::StoreError;
use crate::identity::Regroup;
use crate::keys;
use crate::table::Store;

/// Tries of a change that meets others.
const TRIES: usize = 8;

impl Store {
    /// The firewall rules of a network scope, and the version they are.
    pub async fn firewall_rules(&self, scope: &str) -> Result<Option<(RuleList, u64)>, StoreError> {
        let Some(document) = self.current_document(&keys::firewall_document(scope)).await? else {
            return Ok(None);
        };
        let rules = serde_json::from_str(&document.text).map_err(|error| unreadable(scope, &error))?;
        Ok(Some((rules, document.version)))
    }

    /// Makes these the firewall rules of a network scope. Rules that are current already stay the version that they are.
    pub async fn put_firewall_rules(
        &self,
        scope: &str,
        rules: &RuleList,
        author: &str,
        at: Timestamp,
    ) -> Result<Document, StoreError> {
        let kind = keys::firewall_document(scope);
        let text = serde_json::to_string(rules).map_err(|error| unreadable(scope, &error))?;
        self.put_document(&kind, &text, author, at).await
    }

    /// The assets that these identifiers lead to, each as it is now.
    pub async fn assets_of(
        &self,
        identifiers: &BTreeSet<Identifier>,
    ) -> Result<BTreeMap<Identifier, Vec<Asset>>, StoreError> {
        let leads = self.leads(identifiers).await?;
        let holders: BTreeSet<AssetId> =
            leads.values().flat_map(|lead| lead.holders.iter().cloned()).collect();
        let holders: Vec<_> = holders.into_iter().collect();
        let mut known: BTreeMap<AssetId, Asset> = BTreeMap::new();
        for asset in self.assets_by_id(&holders).await? {
            let id = asset.id.clone();
            let now = match asset.merged_into {
                None => Some(asset),
                Some(_) => self.resolved_asset(&id).await?.map(|asset| asset.value),
            };
            known.extend(now.map(|asset| (id, asset)));
        }
        let assets = |holders: Vec<AssetId>| {
            let mut found: Vec<Asset> = holders.iter().filter_map(|id| known.get(id).cloned()).collect();
            found.sort_by(|a, b| a.id.cmp(&b.id));
            found.dedup_by(|a, b| a.id == b.id);
            found
        };
        Ok(leads.into_iter().map(|(id, lead)| (id, assets(lead.holders))).collect())
    }

    /// Puts what a source shows of an asset in the place of what it showed; `None`: it has nothing to say any more. `true`
    /// where that changes something: the asset is to be decided on. Should nobody be told, a timer tells.
    pub async fn put_reach(
        &self,
        id: &AssetId,
        source: &ReachSource,
        reach: Option<&Reach>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let Some(mut asset) = self.resolved_asset(id).await? else { return Ok(false) };
            if !replace(&mut asset.value.reach, source, reach.cloned()) {
                return Ok(false);
            }
            asset.value.look_at = Some(now + SWEEP_AFTER);
            match self.regroup(&Regroup { assets: vec![asset], ..Regroup::default() }).await {
                Err(error) if error.is_conflict() => {}
                other => return other.map(|()| true),
            }
        }
        Err(StoreError::Conflict { what: format!("asset {id}") })
    }
}

fn unreadable(scope: &str, problem: &serde_json::Error) -> StoreError {
    let key = keys::document(&keys::firewall_document(scope), "CURRENT");
    StoreError::Malformed { pk: key.pk, sk: key.sk, problem: problem.to_string() }
}
