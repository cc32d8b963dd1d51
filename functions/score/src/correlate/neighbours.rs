//! What a sighting has to do with, and what follows of it for the sightings that are there.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use domain::identity::{
    self, Arrival, Assignment, Identifier, Known, Observation, Span, Telling, is_name_alone,
};
use domain::{Asset, AssetId, SightingId};
use jiff::Timestamp;
use store::{Lead, Versioned};

use super::{NAMESAKES, NOT_JOINED, SIGHTINGS, STRANGER};
use crate::{Score, ScoreError};

/// What a sighting has to do with, as it is in the table.
pub(super) struct Neighbours {
    /// Each as it was read.
    pub(super) assets: BTreeMap<AssetId, Versioned<Asset>>,
    /// The same as identity sees them.
    pub(super) known: Vec<Known>,
    /// What became of ids that lead elsewhere.
    pub(super) now: BTreeMap<AssetId, AssetId>,
    /// What each of their other sightings told last.
    pub(super) told: BTreeMap<SightingId, Observation>,
}

impl Neighbours {
    /// What the sightings of an asset told but this one.
    fn told_beside(
        &self,
        asset: &AssetId,
        sighting: &SightingId,
    ) -> impl Iterator<Item = (&SightingId, &Observation)> {
        let others = self.assets[asset].value.sightings.keys().filter(move |other| *other != sighting);
        others.filter_map(|other| Some((other, self.told.get(other)?)))
    }

    /// What the sightings of an asset show but this one.
    pub(super) fn shown_beside(&self, asset: &AssetId, sighting: &SightingId) -> BTreeSet<&Identifier> {
        self.told_beside(asset, sighting).flat_map(|(_, told)| &told.identifiers).collect()
    }

    /// When a sighting of an asset was first seen, as far as that is kept.
    fn since(&self, asset: &AssetId, sighting: &SightingId) -> Option<Timestamp> {
        let kept = self.assets[asset].value.sightings.get(sighting).and_then(|join| join.since);
        kept.or_else(|| self.told.get(sighting)?.observed_at)
    }

    /// Whether nothing of the machine itself is known of an asset.
    fn is_weak(known: &Known, shared: &BTreeSet<Identifier>) -> bool {
        !known.identifiers.iter().any(|id| !shared.contains(id) && id.is_own())
    }

    /// Whether something of the machine itself is known of an asset.
    pub(super) fn is_identified(&self, asset: &AssetId, shared: &BTreeSet<Identifier>) -> bool {
        self.known.iter().any(|known| known.asset == *asset && !Self::is_weak(known, shared))
    }

    /// What sightings tell of full names that show nothing of the machine itself, where nothing of it is known of their
    /// asset either; this one's among them, first seen at `since`.
    pub(super) fn tellings(
        &self,
        (sighting, observation): (&SightingId, &Observation),
        since: Option<Timestamp>,
        shared: &BTreeSet<Identifier>,
    ) -> Vec<Telling> {
        let own = Telling::of(observation, since).filter(|_| is_name_alone(observation, shared));
        let Some(own) = own else { return Vec::new() };
        let weak = self.known.iter().filter(|known| Self::is_weak(known, shared));
        let others = weak.flat_map(|known| {
            self.told_beside(&known.asset, sighting)
                .filter_map(|(other, told)| Telling::of(told, self.since(&known.asset, other)))
        });
        others.chain([own]).collect()
    }

    /// What was known when a sighting came that shows a full name and nothing of the machine itself: of assets of which
    /// nothing more is known, what came before it. So it is placed as if all had come in time.
    pub(super) fn before(
        &self,
        (sighting, observation): (&SightingId, &Observation),
        since: Option<Timestamp>,
        shared: &BTreeSet<Identifier>,
    ) -> Cow<'_, [Known]> {
        if !is_name_alone(observation, shared) {
            return Cow::Borrowed(&self.known);
        }
        let mut all = Vec::new();
        for known in &self.known {
            let asset = &self.assets[&known.asset].value;
            if !Self::is_weak(known, shared) || asset.is_pinned() || asset.sightings.len() > SIGHTINGS {
                all.push(known.clone());
                continue;
            }
            let mut earlier = Known {
                identifiers: BTreeSet::new(),
                seen: BTreeMap::new(),
                os: None,
                last_seen: None,
                ..known.clone()
            };
            for (other, told) in self.told_beside(&known.asset, sighting) {
                if (self.since(&known.asset, other), other) < (since, sighting) {
                    let mut told = told.clone();
                    told.identifiers.retain(|id| !shared.contains(id));
                    earlier.see(&told);
                }
            }
            if !earlier.identifiers.is_empty() {
                all.push(earlier);
            }
        }
        Cow::Owned(all)
    }

    /// Where a sighting would be put if it came now, if it shows nothing of the machine itself or is all that its asset has:
    /// others stay where they are.
    fn placed_anew(
        &self,
        (home, sighting): (&AssetId, &SightingId),
        observation: &Observation,
        shared: &BTreeSet<Identifier>,
    ) -> Option<(Assignment, Vec<Known>)> {
        let asset = &self.assets[home].value;
        let is_own = |id: &Identifier| !shared.contains(id) && id.is_own();
        if asset.sightings.len() > 1 && observation.identifiers.iter().any(is_own) {
            return None;
        }
        let since = self.since(home, sighting).or(observation.observed_at);
        let mut known = self.before((sighting, observation), since, shared).into_owned();
        let is_at_home = |known: &Known| known.asset == *home;
        let is_as_before = is_name_alone(observation, shared)
            && self.known.iter().any(|known| is_at_home(known) && Self::is_weak(known, shared));
        if let Some(at) = known.iter().position(is_at_home).filter(|_| !is_as_before) {
            if asset.sightings.len() > 1 {
                // What it shows speaks for its asset as far as others show it too, and since they did.
                for id in &observation.identifiers {
                    known[at].identifiers.remove(id);
                    known[at].seen.remove(id);
                }
                for (_, told) in self.told_beside(home, sighting) {
                    let ids = told.identifiers.intersection(&observation.identifiers);
                    let ids: BTreeSet<Identifier> = ids.filter(|id| !shared.contains(*id)).cloned().collect();
                    known[at].see(&Observation { identifiers: ids, ..told.clone() });
                }
            } else {
                known.remove(at);
            }
        }
        let assignment = identity::assign(&Arrival {
            sighting: &sighting.to_string(),
            observation,
            home: None,
            pinned: false,
            known: &known,
            shared,
            told: &self.tellings((sighting, observation), since, shared),
        });
        Some((assignment, known))
    }

    /// The same, if that is another asset than its own: what leads to a machine may have come after it.
    pub(super) fn leads_elsewhere(
        &self,
        (home, sighting): (&AssetId, &SightingId),
        observation: &Observation,
        shared: &BTreeSet<Identifier>,
    ) -> Option<Assignment> {
        let asset = &self.assets[home].value;
        if asset.sightings.get(sighting)?.is_settled() {
            return None;
        }
        let (assignment, known) = self.placed_anew((home, sighting), observation, shared)?;
        let is_name_alone = is_name_alone(observation, shared);
        let Some(target) = &assignment.asset else {
            // Those of its asset that came before it lead it there no more.
            let led = |known: &Known| known.asset == *home && Self::is_weak(known, shared);
            let leaves = is_name_alone && asset.sightings.len() > 1 && known.iter().any(led);
            return leaves.then_some(assignment);
        };
        if target == home {
            return None;
        }
        let target = known.iter().find(|known| known.asset == *target)?;
        let has_replaced = target.superseded_by.as_ref() == Some(home)
            || asset.superseded_by.as_ref() == Some(&target.asset);
        // Where people have put something into either, that they are apart may be what they want.
        let is_successor =
            has_replaced && !asset.is_pinned() && !self.assets[&target.asset].value.is_pinned();
        let is_apart = target.apart.contains(home) || asset.apart.contains(&target.asset);
        let leads = is_name_alone || target.identifiers.iter().any(Identifier::is_own);
        let may_be = leads && (is_successor || !is_apart);
        may_be.then_some(assignment)
    }

    /// Why what held a sighting in its asset holds it no longer: what joined it, or, where it founded the asset, what the
    /// others have in common with it, is shared by several machines; or it was a weak match, which what is known now may
    /// speak against.
    pub(super) fn groundless(
        &self,
        (asset, sighting): (&AssetId, &SightingId),
        observation: &Observation,
        shared: &BTreeSet<Identifier>,
    ) -> Option<&'static str> {
        let asset = &self.assets[asset].value;
        let shows = &observation.identifiers;
        let join = asset.sightings.get(sighting).filter(|_| asset.sightings.len() > 1)?;
        if join.pinned_by.is_some() {
            return None;
        }
        if join.is_groundless(shared) {
            return Some(NOT_JOINED);
        }
        let founded = join.agreeing.is_empty();
        let others: BTreeSet<Identifier> =
            self.shown_beside(&asset.id, sighting).into_iter().cloned().collect();
        let in_common = |id: &Identifier| !shared.contains(id) && others.contains(id);
        if founded && shows.iter().any(|id| shared.contains(id)) {
            let anew = self.placed_anew((&asset.id, sighting), observation, shared);
            let stays = match anew {
                Some((assignment, _)) => assignment.asset.as_ref() == Some(&asset.id),
                None => shows.iter().any(in_common),
            };
            if !stays {
                return Some(NOT_JOINED);
            }
        }
        if (founded || join.is_weak()) && identity::is_stranger(shows, &others) {
            return Some(STRANGER);
        }
        (join.rule == identity::BY_SYSTEM).then_some(NAMESAKES)
    }

    /// Notes what a sighting of an asset shows now.
    pub(super) fn see(
        &mut self,
        asset: &AssetId,
        sighting: &SightingId,
        observation: &Observation,
        shared: &BTreeSet<Identifier>,
    ) {
        self.told.insert(sighting.clone(), observation.clone());
        let mut valid = observation.clone();
        valid.identifiers.retain(|id| !shared.contains(id));
        match self.known.iter_mut().find(|known| known.asset == *asset) {
            Some(known) => known.see(&valid),
            None => {
                let mut known = Known::new(asset.clone());
                known.see(&valid);
                self.known.push(known);
            }
        }
    }

    /// Leaves the home no more of what the sighting shows than what its other sightings show too, and since they did.
    pub(super) fn take_back(
        &mut self,
        home: &AssetId,
        sighting: &SightingId,
        observation: &Observation,
        leads: &mut BTreeMap<Identifier, Lead>,
    ) {
        let mut others: BTreeMap<Identifier, Option<Span>> = BTreeMap::new();
        for (_, told) in self.told_beside(home, sighting) {
            for id in &told.identifiers {
                let span = others.entry(id.clone()).or_default();
                *span = [*span, Span::of(told)].into_iter().flatten().reduce(Span::with);
            }
        }
        let (own, common): (Vec<&Identifier>, Vec<&Identifier>) =
            observation.identifiers.iter().partition(|id| !others.contains_key(id));
        let asset = self.assets.get_mut(home).map(|asset| &mut asset.value);
        let known = self.known.iter_mut().find(|known| known.asset == *home);
        let (Some(asset), Some(known)) = (asset, known) else { return };
        for id in own {
            asset.identifiers.remove(id);
            asset.seen.remove(id);
            known.identifiers.remove(id);
            known.seen.remove(id);
            if let Some(lead) = leads.get_mut(id) {
                lead.holders.retain(|holder| self.now.get(holder) != Some(home));
            }
        }
        for id in common {
            for seen in [&mut asset.seen, &mut known.seen] {
                if let Some((span, others)) = seen.get_mut(id).zip(others[id]) {
                    *span = others;
                }
            }
        }
        if !asset.identifiers.iter().any(Identifier::is_own) {
            // What another machine has replaced was not this one.
            asset.superseded_by = None;
            known.superseded_by = None;
        }
    }
}

impl Score {
    /// The home, and every asset that an identifier leads to, with when each was seen with what.
    pub(super) async fn neighbours(
        &self,
        sighting: &SightingId,
        home: Option<&AssetId>,
        leads: &BTreeMap<Identifier, Lead>,
    ) -> Result<Neighbours, ScoreError> {
        let holders = leads.values().filter(|lead| lead.shared.is_none()).flat_map(|lead| &lead.holders);
        let wanted: BTreeSet<&AssetId> = home.into_iter().chain(holders).collect();
        let mut near = Neighbours {
            assets: BTreeMap::new(),
            known: Vec::new(),
            now: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        for id in wanted {
            let Some(asset) = self.store.resolved_asset(id).await? else { continue };
            near.now.insert(id.clone(), asset.value.id.clone());
            near.assets.insert(asset.value.id.clone(), asset);
        }
        let others = |asset: &Asset| {
            asset
                .sightings
                .keys()
                .filter(|other| *other != sighting)
                .take(SIGHTINGS)
                .cloned()
                .collect::<Vec<_>>()
        };
        let ids: Vec<_> = near.assets.values().flat_map(|asset| others(&asset.value)).collect();
        let seen = self.store.sightings(&ids).await?;
        for asset in near.assets.values() {
            let mut known = Known::from(&asset.value);
            if (1..=SIGHTINGS).contains(&asset.value.sightings.len()) {
                // What the others say is all there is: this one may leave.
                known.last_seen = None;
            }
            for other in others(&asset.value) {
                let connector = self.config.connector(&other.connector);
                let Some((host, connector)) =
                    seen.get(&other).map(domain::vulnerability::Sighting::host).zip(connector)
                else {
                    continue;
                };
                let told = identity::observe(&host, &connector.scope, connector.scanner);
                known.os = known.os.or_else(|| told.os.clone());
                known.last_seen = known.last_seen.max(told.observed_at);
                if let Some(at) = Span::of(&told) {
                    for id in &told.identifiers {
                        known.seen.entry(id.clone()).and_modify(|span| *span = span.with(at));
                    }
                }
                near.told.insert(other.clone(), told);
            }
            near.known.push(known);
        }
        Ok(near)
    }
}
