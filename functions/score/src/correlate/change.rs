//! What an assignment changes, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::SWEEP_AFTER;
use domain::identity::{
    self, Assignment, Happened, Identifier, IdentifierKind, IdentityChange, Lesson, Observation, Place,
};
use domain::vulnerability::Join;
use domain::{Asset, AssetId, SightingId};
use jiff::Timestamp;
use store::{Lead, Regroup, Relink, Review, Versioned};

use super::neighbours::Neighbours;
use super::{IDENTIFIERS, NOT_JOINED, REFUSALS, SHOWS_ANOTHER, present, shared_of};
use crate::Score;

/// A change in the making.
pub(super) struct Change {
    pub(super) change: Regroup,
    pub(super) touched: BTreeSet<AssetId>,
    pub(super) near: Neighbours,
    pub(super) leads: BTreeMap<Identifier, Lead>,
}

impl Change {
    fn asset(&mut self, id: &AssetId) -> Option<&mut Asset> {
        let asset = self.near.assets.get_mut(id)?;
        self.touched.insert(id.clone());
        Some(&mut asset.value)
    }

    /// Notes which values are shared: they lead nowhere from now on, and are no longer held against anybody. What they
    /// alone have joined is to be looked at again.
    pub(super) fn learn(&mut self, score: &Score, sighting: &SightingId, assignment: &Assignment) {
        for lesson in &assignment.lessons {
            let Some(lead) = self.leads.get_mut(&lesson.identifier) else { continue };
            if !lead.share(lesson.reason, score.clock.now()) {
                continue;
            }
            tracing::info!(identifier = %lesson.identifier, reason = lesson.reason, "several machines share it");
            self.change.leads.push((lesson.identifier.clone(), lead.clone()));
            let ids: Vec<AssetId> = self.near.assets.keys().cloned().collect();
            for id in ids {
                let holds = |asset: &Versioned<Asset>| asset.value.identifiers.contains(&lesson.identifier);
                if self.near.assets.get(&id).is_some_and(holds)
                    && let Some(asset) = self.asset(&id)
                {
                    asset.identifiers.remove(&lesson.identifier);
                    asset.seen.remove(&lesson.identifier);
                }
            }
        }
        let shared = shared_of(&self.leads);
        let ids: Vec<AssetId> = self.near.assets.keys().cloned().collect();
        for id in &ids {
            let rests = |grounds: &Vec<Identifier>| grounds.iter().any(|id| shared.contains(id));
            if self.near.assets[id].value.absorbed.values().any(rests)
                && let Some(asset) = self.asset(id)
            {
                asset.doubt(&shared);
            }
        }
        if assignment.lessons.is_empty() {
            return;
        }
        for id in ids {
            let others = self.near.assets[&id].value.sightings.keys().filter(|other| *other != sighting);
            let again: Vec<SightingId> = others
                .filter(|other| {
                    let Some(told) = self.near.told.get(*other) else { return false };
                    // What shows nothing of the machine itself is asked again in any case.
                    let is_weak = !told.identifiers.iter().any(|id| !shared.contains(id) && id.is_own());
                    let shows_it = |lesson: &Lesson| told.identifiers.contains(&lesson.identifier);
                    (is_weak && assignment.lessons.iter().any(shows_it))
                        || self.near.groundless((&id, other), told, &shared) == Some(NOT_JOINED)
                })
                .cloned()
                .collect();
            for other in again {
                if let Some(join) = self.asset(&id).and_then(|asset| asset.sightings.get_mut(&other)) {
                    join.observed = 0;
                }
            }
        }
    }

    /// An asset has got a sighting, or one shows something else: weak matches are looked at again that it may speak against,
    /// and sightings that it may lead here.
    pub(super) fn ask_again(
        &mut self,
        sighting: &SightingId,
        observation: &Observation,
        target: &AssetId,
        is_new_here: bool,
    ) {
        let shared = shared_of(&self.leads);
        self.near.see(target, sighting, observation, &shared);
        let is_name =
            |id: &&Identifier| matches!(id.kind, IdentifierKind::Hostname | IdentifierKind::Netbios);
        let names: BTreeSet<&Identifier> = observation.identifiers.iter().filter(is_name).collect();
        let mut again: Vec<(AssetId, SightingId)> = Vec::new();
        for (id, asset) in &self.near.assets {
            for (other, join) in asset.value.sightings.iter().filter(|(other, _)| *other != sighting) {
                let Some(told) = self.near.told.get(other).filter(|_| join.pinned_by.is_none()) else {
                    continue;
                };
                let shows = &told.identifiers;
                let doubtful = if id == target {
                    (join.agreeing.is_empty() || join.is_weak()) && {
                        let beside = self.near.shown_beside(id, other).into_iter().cloned();
                        identity::is_stranger(shows, &beside.collect())
                    }
                } else {
                    join.rule == identity::BY_SYSTEM && shows.iter().any(|id| names.contains(id))
                };
                if (is_new_here && doubtful)
                    || self.near.leads_elsewhere((id, other), told, &shared).is_some()
                {
                    again.push((id.clone(), other.clone()));
                }
            }
        }
        for (id, other) in again {
            if let Some(join) = self.asset(&id).and_then(|asset| asset.sightings.get_mut(&other)) {
                join.observed = 0;
            }
        }
    }

    /// Puts the sighting into its asset. Where it was there before, it is known why.
    pub(super) fn join(
        &mut self,
        score: &Score,
        sighting: &SightingId,
        observation: &Observation,
        assignment: &Assignment,
        (target, before, (moves, since)): (&AssetId, Option<Join>, (u64, Option<Timestamp>)),
    ) {
        let shared = shared_of(&self.leads);
        // What people knew of it before a scanner saw it.
        let known = observation.identifiers.iter().find_map(|id| self.leads.get(id)?.inventory.clone());
        let Some(asset) = self.asset(target) else { return };
        asset.inventory = asset.inventory.take().or(known);
        let mut refused = assignment.refused.clone();
        refused.truncate(REFUSALS);
        refused.iter_mut().for_each(|refusal| refusal.identifiers.truncate(IDENTIFIERS));
        let stays = before.filter(|_| asset.sightings.contains_key(sighting));
        let mut join = stays.unwrap_or_else(|| Join {
            rule: assignment.rule.clone(),
            confidence: assignment.confidence,
            agreeing: assignment.agreeing.iter().take(IDENTIFIERS).cloned().collect(),
            ambiguous: assignment.ambiguous.clone(),
            ..Join::default()
        });
        join.refused = refused;
        join.moves = moves;
        join.since = since.filter(|_| identity::is_name_alone(observation, &shared));
        let digest = observation.digest(&score.config.identity, asset.superseded_by.is_some());
        join.observed = if assignment.merges.is_empty() { digest } else { 0 };
        identity::take(asset, sighting.clone(), join, observation, &shared);
        for id in &observation.identifiers {
            let Some(lead) = self.leads.get_mut(id) else { continue };
            let said = score.config.identity.never_shared.contains(id);
            lead.holders = present(&lead.holders, &self.near.now);
            if lead.hold(target) || said {
                self.change.leads.push((id.clone(), lead.clone()));
            }
        }
    }

    /// Takes the sighting out of the asset that it leaves.
    pub(super) fn move_from(
        &mut self,
        score: &Score,
        sighting: &SightingId,
        observation: &Observation,
        (linked, home): (Option<AssetId>, Option<AssetId>),
        (target, groundless): (&AssetId, Option<&str>),
    ) {
        if home.as_ref() == Some(target) {
            return;
        }
        self.change.links.push(Relink { sighting: sighting.clone(), from: linked, to: target.clone() });
        let Some(home) = home else { return };
        if let Some(asset) = self.asset(&home) {
            asset.sightings.remove(sighting);
        }
        if groundless.is_some() {
            // It never was that machine: what is found by it goes with it, as it is.
            if let Some(asset) = self.asset(&home) {
                asset.releasing.insert(target.clone());
            }
            if let Some(asset) = self.asset(target) {
                asset.awaits = Some(home.clone());
                // Nobody else may come to it.
                asset.look_at = Some(score.clock.now() + SWEEP_AFTER);
            }
        }
        let left = IdentityChange {
            at: score.clock.now(),
            what: Happened::Left,
            other: target.clone(),
            sightings: vec![sighting.clone()],
            reason: groundless.unwrap_or(SHOWS_ANOTHER).to_owned(),
            identifiers: observation.identifiers.iter().take(IDENTIFIERS).cloned().collect(),
            by: None,
        };
        self.change.history.extend(left.on_both(home));
    }

    /// Closes the assets whose place others have taken, and opens again those that are still there.
    pub(super) fn replace(&mut self, score: &Score, assignment: &Assignment, target: &AssetId) {
        for replacement in &assignment.replacements {
            let id = replacement.asset.as_ref().unwrap_or(target);
            let Some(old) = self.asset(id) else { continue };
            let (by, reason) = match &replacement.place {
                Place::Taken { by, reason } => (by.as_ref().unwrap_or(target), reason),
                Place::Its => {
                    old.superseded_by = None;
                    continue;
                }
            };
            old.superseded_by = Some(by.clone());
            old.apart.insert(by.clone());
            if let Some(new) = self.asset(by) {
                new.apart.insert(id.clone());
            }
            let happened = IdentityChange {
                at: score.clock.now(),
                what: Happened::Superseded,
                other: by.clone(),
                sightings: Vec::new(),
                reason: reason.clone(),
                identifiers: Vec::new(),
                by: None,
            };
            self.change.history.extend(happened.on_both(id.clone()));
        }
    }

    /// Asks people where several assets have the same right to the sighting.
    pub(super) fn review(
        &mut self,
        score: &Score,
        sighting: &SightingId,
        observation: &Observation,
        assignment: &Assignment,
        target: &AssetId,
    ) {
        if !assignment.ambiguous.is_empty() {
            self.change.review = Some(Review {
                asset: target.clone(),
                sighting: sighting.clone(),
                candidates: assignment.ambiguous.iter().take(REFUSALS).cloned().collect(),
                identifiers: observation.identifiers.iter().take(IDENTIFIERS).cloned().collect(),
                at: score.clock.now(),
            });
        }
    }

    /// The change; other assets than the target are looked at later, should nobody come to it now.
    pub(super) fn done(mut self, target: &AssetId, now: Timestamp) -> Regroup {
        let touched = std::mem::take(&mut self.touched);
        for id in touched.iter().filter(|id| *id != target) {
            if let Some(asset) = self.asset(id) {
                asset.look_at = Some(now + SWEEP_AFTER);
            }
        }
        self.change.assets = touched.iter().filter_map(|id| self.near.assets.remove(id)).collect();
        self.change
    }
}
