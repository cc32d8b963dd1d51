//! Vulnerabilities that follow their sightings from one asset to another.
//!
//! When assets become one, each vulnerability of the one that is gone keeps its id, ticket, decision and history. What
//! becomes one with a vulnerability of the other asset is kept as it was, so that a merge can be undone. When assets are
//! parted, vulnerabilities all of whose findings go do so as they are now; those that had become one are again what they
//! were, and the decision that follows brings them up to date.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::Decided;
use domain::{Asset, AssetId, VulnId, Vulnerability};
use store::{AssetState, CounterDelta, Kept, Regroup};

use crate::asset::{Uses, used_by};
use crate::{Score, ScoreError};

/// Vulnerabilities that come from another asset, by their id.
pub(crate) type Arriving = BTreeMap<VulnId, (AssetId, Vulnerability)>;

impl Score {
    /// Takes the vulnerabilities out of the assets that turned out to be this one. Those that are here already, because
    /// an earlier attempt came so far, are not among them.
    pub(crate) async fn arriving(&self, state: &AssetState) -> Result<Arriving, ScoreError> {
        let here = &state.asset.value.id;
        let mut arriving = Arriving::new();
        for gone in &state.asset.value.absorbing {
            for (id, kept) in self.store.kept_vulnerabilities(gone).await? {
                let Some(mut vulnerability) = kept.value else { continue };
                match &kept.gone_to {
                    None => self.store.freeze_vulnerability(gone, &id, kept.rev, here).await?,
                    Some((to, _)) if to != here => continue,
                    Some(_) => {}
                }
                let stays = |alias: &store::Alias| alias.asset == *here;
                if !state.vulnerabilities.contains_key(&id) && !state.aliases.get(&id).is_some_and(stays) {
                    vulnerability.asset = here.clone();
                    arriving.insert(id, (gone.clone(), vulnerability));
                }
            }
        }
        Ok(arriving)
    }

    /// Before the decision is written: keeps what becomes one with what arrives as it was, has what only arrives written
    /// with the rest, and leads sightings and CVEs here.
    pub(crate) async fn take_over(
        &self,
        state: &AssetState,
        arriving: &Arriving,
        decided: &mut Decided,
    ) -> Result<(), ScoreError> {
        let here = &state.asset.value.id;
        for (absorbed, target) in &decided.merged {
            let (gone, own) = match (arriving.get(absorbed), arriving.get(target)) {
                (Some((gone, _)), None) => (gone, target),
                (None, Some((gone, _))) => (gone, absorbed),
                _ => continue,
            };
            if let Some(own) = state.vulnerabilities.get(own) {
                self.store.keep_image(gone, &own.value).await?;
            }
        }
        let written: BTreeSet<&VulnId> =
            decided.changed.iter().map(|v| &v.id).chain(decided.merged.keys()).collect();
        let as_they_are = arriving.iter().filter(|(id, _)| !written.contains(id));
        let as_they_are: Vec<_> = as_they_are.map(|(_, (_, vulnerability))| vulnerability.clone()).collect();
        decided.changed.extend(as_they_are);
        for gone in &state.asset.value.absorbing {
            let from_there = arriving.values().filter(|(from, _)| from == gone);
            let uses: Uses = from_there.flat_map(|(_, v)| uses_of(v)).collect();
            self.store.write_cve_uses(gone, &[], &uses).await?;
            if let Some(asset) = self.store.asset(gone).await? {
                self.store.relink(asset.value.sightings.keys(), gone, here).await?;
            }
        }
        Ok(())
    }

    /// Hands vulnerabilities over to the assets that were parted from this one, and what they count for.
    pub(crate) async fn release(&self, from: &mut Asset) -> Result<(), ScoreError> {
        for id in std::mem::take(&mut from.releasing) {
            let Some(mut to) = self.store.resolved_asset(&id).await? else { continue };
            self.store.relink(to.value.sightings.keys(), &from.id, &to.value.id).await?;
            let gone = self.hand_over(from, &to.value).await?;
            let mut counters = CounterDelta::default();
            for id in gone {
                let Some(counted) = from.counted.remove(&id) else { continue };
                // An earlier attempt may have come so far.
                if !to.value.counted.contains_key(&id) {
                    counters.add_counted(&from.owner, &counted, -1);
                    counters.add_counted(&to.value.owner, &counted, 1);
                    to.value.counted.insert(id, counted);
                }
            }
            if to.value.awaits.take().is_some() {
                self.store.regroup(&Regroup { assets: vec![to], counters, ..Regroup::default() }).await?;
            }
        }
        Ok(())
    }

    /// Returns which vulnerabilities went as they are.
    async fn hand_over(&self, from: &Asset, to: &Asset) -> Result<BTreeSet<VulnId>, ScoreError> {
        let here = self.store.kept_vulnerabilities(&from.id).await?;
        let there = self.store.kept_vulnerabilities(&to.id).await?;
        let is_there = |id: &VulnId| there.get(id).is_some_and(|kept| kept.gone_to.is_none());
        let goes = |v: &Vulnerability| {
            !v.findings.is_empty() && v.findings.iter().all(|f| to.sightings.contains_key(&f.sighting))
        };
        let mut gone = BTreeSet::new();
        for (id, kept) in &here {
            let Some(vulnerability) = &kept.value else { continue };
            match &kept.gone_to {
                None if goes(vulnerability) => {
                    self.store.freeze_vulnerability(&from.id, id, kept.rev, &to.id).await?;
                }
                Some((asset, _)) if *asset == to.id => {}
                _ => continue,
            }
            gone.insert(id.clone());
            if !is_there(id) {
                self.put_in(to, vulnerability.clone(), there.get(id)).await?;
            }
            self.store.write_cve_uses(&from.id, &[], &uses_of(vulnerability)).await?;
        }
        // What had become one is again what it was, on both sides.
        for (id, kept) in there.iter().filter(|(id, _)| !gone.contains(*id)) {
            let (Some(before), Some((asset, _))) = (&kept.value, &kept.gone_to) else { continue };
            // It may have gone there by way of another asset, which became part of that one later.
            if *asset != from.id
                && self.store.resolved_asset(asset).await?.is_none_or(|now| now.value.id != from.id)
            {
                continue;
            }
            let now = here.get(id);
            let mut restored = as_before(before, now.and_then(|now| now.value.as_ref()));
            restored.asset = to.id.clone();
            self.put_in(to, restored.clone(), Some(kept)).await?;
            let rev = now.and_then(|now| now.rev);
            self.store.point_vulnerability(&from.id, id, rev, &restored).await?;
            self.store.write_cve_uses(&from.id, &[], &uses_of(before)).await?;
        }
        for image in self.store.images(&from.id, &to.id).await? {
            let now = here.get(&image.id);
            let restored = as_before(&image, now.and_then(|now| now.value.as_ref()));
            self.put_in(from, restored, now).await?;
            self.store.drop_image(&image, &to.id).await?;
        }
        Ok(gone)
    }

    /// Writes a vulnerability over what stands in its place, and that it uses its CVEs.
    async fn put_in(
        &self,
        asset: &Asset,
        mut vulnerability: Vulnerability,
        over: Option<&Kept>,
    ) -> Result<(), ScoreError> {
        vulnerability.asset = asset.id.clone();
        self.store.write_cve_uses(&asset.id, &uses_of(&vulnerability), &[]).await?;
        let high = self.config.policies.score.bands.high;
        let rev = over.and_then(|kept| kept.rev);
        Ok(self.store.put_vulnerability(asset, &vulnerability, rev, high).await?)
    }
}

fn uses_of(vulnerability: &Vulnerability) -> Uses {
    used_by(vulnerability).into_iter().map(|cve| (cve, vulnerability.id.clone())).collect()
}

/// A vulnerability as it was, with what outside systems have done for it since. Its wishes are made anew.
fn as_before(before: &Vulnerability, now: Option<&Vulnerability>) -> Vulnerability {
    let mut restored = before.clone();
    restored.intents.clear();
    let Some(now) = now else { return restored };
    restored.ticket_wishes = restored.ticket_wishes.max(now.ticket_wishes);
    let since = now.ticket.iter().chain(&now.other_tickets);
    match &restored.ticket {
        None => restored.ticket.clone_from(&now.ticket),
        Some(ticket) => {
            let same = since
                .into_iter()
                .find(|other| (&other.tracker, &other.key) == (&ticket.tracker, &ticket.key));
            restored.ticket = same.or(Some(ticket)).cloned();
        }
    }
    restored
}
