//! Assets that turned out to be one, and those that turned out not to be.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::SWEEP_AFTER;
use domain::identity::{self, Assignment, Happened, IdentityChange, Observation, Reconsidered};
use domain::{Asset, AssetId, SightingId};
use store::{CounterDelta, Regroup, Versioned};

use super::{IDENTIFIERS, MERGES, NOT_JOINED, SIGHTINGS};
use crate::{Score, ScoreError};

impl Score {
    /// Parts an asset again from those with which it became one by values that several machines share. Returns the assets
    /// to decide on.
    pub(crate) async fn reconsider(
        &self,
        asset: &Versioned<Asset>,
        observed: &BTreeMap<SightingId, Observation>,
    ) -> Result<BTreeSet<AssetId>, ScoreError> {
        let (mut gone, mut revs) = (BTreeMap::new(), BTreeMap::new());
        for id in asset.value.absorbed.keys() {
            if let Some(found) = self.store.asset(id).await? {
                revs.insert(id.clone(), found.rev);
                gone.insert(id.clone(), found.value);
            }
        }
        let now = self.clock.now();
        let Reconsidered { from, own } = identity::reconsider(&asset.value, &gone, observed);
        let mut change = Regroup::default();
        let mut touched = BTreeSet::from([from.id.clone()]);
        for (mut parted, grounds) in own {
            tracing::info!(from = %from.id, asset = %parted.id, "assets parted: {NOT_JOINED}");
            let happened = IdentityChange {
                at: now,
                what: Happened::Parted,
                other: parted.id.clone(),
                sightings: parted.sightings.keys().take(SIGHTINGS).cloned().collect(),
                reason: NOT_JOINED.to_owned(),
                identifiers: grounds.into_iter().take(IDENTIFIERS).collect(),
                by: None,
            };
            change.history.extend(happened.on_both(from.id.clone()));
            change.counters.add_union(&from, &parted, -1);
            touched.insert(parted.id.clone());
            // Nobody else may come to it.
            parted.look_at = Some(now + SWEEP_AFTER);
            change.assets.push(Versioned { rev: revs[&parted.id], value: parted });
        }
        change.assets.insert(0, Versioned { rev: asset.rev, value: from });
        self.store.regroup(&change).await?;
        Ok(touched)
    }

    /// Unites the asset with those that turned out to be it, and then counts the sighting as looked at.
    pub(super) async fn unite_all(
        &self,
        asset: &AssetId,
        sighting: &SightingId,
        observation: &Observation,
        assignment: &Assignment,
        mut touched: BTreeSet<AssetId>,
    ) -> Result<BTreeSet<AssetId>, ScoreError> {
        let mut left = assignment.merges.len();
        for merge in &assignment.merges {
            left -= 1;
            let found =
                tokio::try_join!(self.store.resolved_asset(asset), self.store.resolved_asset(&merge.asset))?;
            let (Some(one), Some(other)) = found else { continue };
            touched.extend([one.value.id.clone(), other.value.id.clone()]);
            if !one.value.is_settled() || !other.value.is_settled() {
                // First what is under way; the decision on it comes back here.
                break;
            }
            if one.value.id == other.value.id || one.value.apart.contains(&other.value.id) {
                continue;
            }
            let mut united = identity::unite(&one.value, &other.value, None);
            united.kept.absorbed.insert(united.gone.id.clone(), merge.identifiers.clone());
            while united.kept.absorbed.len() > MERGES {
                united.kept.absorbed.pop_last();
            }
            if left == 0
                && let Some(join) = united.kept.sightings.get_mut(sighting)
            {
                join.observed =
                    observation.digest(&self.config.identity, united.kept.superseded_by.is_some());
            }
            let happened = IdentityChange {
                at: self.clock.now(),
                what: Happened::Absorbed,
                other: united.gone.id.clone(),
                sightings: united.gone.sightings.keys().take(SIGHTINGS).cloned().collect(),
                reason: merge.reason.to_owned(),
                identifiers: merge.identifiers.iter().take(IDENTIFIERS).cloned().collect(),
                by: None,
            };
            tracing::info!(kept = %united.kept.id, gone = %united.gone.id, reason = merge.reason, "assets united");
            let rev = |asset: &Asset| if asset.id == one.value.id { one.rev } else { other.rev };
            let mut counters = CounterDelta::default();
            counters.add_union(&united.kept, &united.gone, 1);
            let history = happened.on_both(united.kept.id.clone()).into();
            let assets = [united.kept, united.gone];
            let assets = assets.map(|asset| Versioned { rev: rev(&asset), value: asset }).into();
            self.store.regroup(&Regroup { assets, history, counters, ..Regroup::default() }).await?;
        }
        Ok(touched)
    }
}
