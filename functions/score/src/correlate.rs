//! From a sighting to its asset.

use std::collections::{BTreeMap, BTreeSet};

use domain::identity::{self, Arrival, Known};
use domain::vulnerability::Join;
use domain::{Asset, AssetId, SightingId};
use store::{Claim, Versioned};

use crate::{Score, ScoreError};

impl Score {
    /// Finds the asset of a sighting that has none, or founds one, and claims its identifiers in one transaction.
    pub(crate) async fn correlate(&self, sighting: &SightingId) -> Result<Option<AssetId>, ScoreError> {
        let Some(connector) = self.config.connector(&sighting.connector) else {
            tracing::warn!(%sighting, "its connector is no longer configured, sighting left alone");
            return Ok(None);
        };
        let state = self.store.sighting_state(sighting, true).await?;
        if let Some(link) = state.link {
            return Ok(Some(link.asset));
        }
        if state.rev.is_none() {
            tracing::warn!(%sighting, "no such sighting, message dropped");
            return Ok(None);
        }
        let host = state.sighting.host();
        let observation = identity::observe(&host, &connector.scope, connector.scanner);
        let owners = self.store.owners_of(&observation.identifiers).await?;
        let mut candidates: BTreeMap<AssetId, Versioned<Asset>> = BTreeMap::new();
        for id in owners.values().collect::<BTreeSet<_>>() {
            if let Some(asset) = self.store.asset(id).await? {
                candidates.insert(id.clone(), asset);
            }
        }
        let known: Vec<Known> = candidates.values().map(|asset| Known::from(&asset.value)).collect();
        let assignment = identity::assign(&Arrival {
            sighting: &sighting.to_string(),
            observation: &observation,
            home: None,
            pinned: false,
            known: &known,
            shared: &BTreeSet::new(),
        });
        let (rule, confidence) = (assignment.rule.clone(), assignment.confidence);
        let join = Join { rule, confidence, ..Join::default() };
        let mut asset = match &assignment.asset {
            Some(asset) => match candidates.remove(asset) {
                Some(asset) => asset,
                None => return Ok(None),
            },
            None => self.found(assignment.ids).await?,
        };
        for merge in &assignment.merges {
            tracing::info!(%sighting, other = %merge.asset, reason = merge.reason, "assets look like one machine");
        }
        asset.value.sightings.insert(sighting.clone(), join);
        asset.value.identifiers.extend(observation.identifiers);
        let id = asset.value.id.clone();
        self.store
            .claim(&Claim { asset, sighting: sighting.clone(), identifiers: assignment.claims })
            .await?;
        tracing::debug!(%sighting, asset = %id, rule = assignment.rule, "sighting joined");
        Ok(Some(id))
    }

    /// A new asset. Its id comes from what identifies it, so that it is the same however often this is tried; if an
    /// earlier machine had that id, from the sighting.
    async fn found(&self, ids: [AssetId; 3]) -> Result<Versioned<Asset>, ScoreError> {
        let [first, second, last] = ids;
        for id in [first, second] {
            if self.store.asset(&id).await?.is_none() {
                return Ok(Versioned { rev: None, value: Asset::new(id) });
            }
        }
        Ok(Versioned { rev: None, value: Asset::new(last) })
    }
}
