//! From a sighting to its asset, and what follows for others.
//!
//! The rules are [`identity::assign`]'s; here is what they ask for, read from the table, and what they answer, written
//! in one transaction. Assets that turned out to be one are united one by one after that; until all of that is done the
//! sighting counts as not looked at, so that the next decision on its asset takes it up again.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::SWEEP_AFTER;
use domain::identity::{
    self, Arrival, Assignment, Happened, Identifier, IdentifierKind, IdentityChange, Known, Merge,
    Observation, Reconsidered, Span,
};
use domain::vulnerability::Join;
use domain::{Asset, AssetId, SightingId};
use jiff::Timestamp;
use store::{CounterDelta, Lead, Regroup, Relink, Review, Versioned};

use crate::{Score, ScoreError};

/// Sightings that are read of one asset to know when it was seen with what.
const SIGHTINGS: usize = 50;
/// Refused assets that are kept with the reason, of each sighting.
const REFUSALS: usize = 3;
/// Identifiers that are kept of each.
const IDENTIFIERS: usize = 6;
/// Merges of one asset that can be asked about again: they are undone in one transaction.
const MERGES: usize = 16;

/// Why a sighting leaves: what it shows contradicts its asset.
const SHOWS_ANOTHER: &str = "it shows another machine now";
/// Why a sighting leaves: what had led it there turned out to lead nowhere.
const NOT_JOINED: &str = "what joined it is shared by several machines";
/// Why a sighting leaves: it was there by its name and its system alone.
const NAMESAKES: &str = "several machines bear its name";
/// Why a sighting leaves, or why its asset becomes part of another: it shows nothing of the machine itself, and what came
/// since is nearer to it.
const NEARER: &str = "what is known now leads to another machine";
/// Why a sighting leaves: what came since shows that the asset is another machine.
const STRANGER: &str =
    "the others of its asset have another name, and nothing of the machine itself in common";

/// What a sighting has to do with, as it is in the table.
struct Neighbours {
    /// Each as it was read.
    assets: BTreeMap<AssetId, Versioned<Asset>>,
    /// The same as identity sees them.
    known: Vec<Known>,
    /// What became of ids that lead elsewhere.
    now: BTreeMap<AssetId, AssetId>,
    /// What each of their other sightings told last.
    told: BTreeMap<SightingId, Observation>,
}

impl Neighbours {
    /// What the sightings of an asset told but this one.
    fn told_beside(&self, asset: &AssetId, sighting: &SightingId) -> impl Iterator<Item = &Observation> {
        let others = self.assets[asset].value.sightings.keys().filter(move |other| *other != sighting);
        others.filter_map(|other| self.told.get(other))
    }

    /// What the sightings of an asset show but this one.
    fn shown_beside(&self, asset: &AssetId, sighting: &SightingId) -> BTreeSet<&Identifier> {
        self.told_beside(asset, sighting).flat_map(|told| &told.identifiers).collect()
    }

    /// Where a sighting that shows nothing of the machine itself would be put if it came now, if that is another asset
    /// than its own: what leads to a machine may have come after it.
    fn leads_elsewhere(
        &self,
        (home, sighting): (&AssetId, &SightingId),
        observation: &Observation,
        shared: &BTreeSet<Identifier>,
    ) -> Option<Assignment> {
        let asset = &self.assets[home].value;
        let is_fixed = asset.superseded_by.is_some() || asset.sightings.get(sighting)?.is_settled();
        let is_own = |id: &&Identifier| !shared.contains(id) && id.is_own();
        if is_fixed || observation.identifiers.iter().any(|id| is_own(&id)) {
            return None;
        }
        let mut known = self.known.clone();
        if let Some(at) = known.iter().position(|known| known.asset == *home) {
            if asset.sightings.len() > 1 {
                // What it shows speaks for its asset as far as others show it too, and since they did.
                for id in &observation.identifiers {
                    known[at].identifiers.remove(id);
                    known[at].seen.remove(id);
                }
                for told in self.told_beside(home, sighting) {
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
        });
        let target = assignment.asset.as_ref().filter(|target| *target != home)?;
        let target = known.iter().find(|known| known.asset == *target)?;
        let may_be = target.identifiers.iter().any(Identifier::is_own)
            && !target.apart.contains(home)
            && !asset.apart.contains(&target.asset);
        may_be.then_some(assignment)
    }

    /// Why what held a sighting in its asset holds it no longer: what joined it, or, where it founded the asset, all that
    /// the others have in common with it, is shared by several machines; or it was a weak match, which what is known now
    /// may speak against.
    fn groundless(
        &self,
        (asset, sighting): (&AssetId, &SightingId),
        shows: &BTreeSet<Identifier>,
        shared: &BTreeSet<Identifier>,
    ) -> Option<&'static str> {
        let asset = &self.assets[asset].value;
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
        if founded && shows.iter().any(|id| shared.contains(id)) && !shows.iter().any(in_common) {
            return Some(NOT_JOINED);
        }
        if (founded || join.is_weak()) && identity::is_stranger(shows, &others) {
            return Some(STRANGER);
        }
        (join.rule == identity::BY_SYSTEM).then_some(NAMESAKES)
    }

    /// Notes what a sighting of an asset shows now.
    fn see(
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

    /// Leaves the home no more of what the sighting shows than what its other sightings show too.
    fn take_back(
        &mut self,
        home: &AssetId,
        sighting: &SightingId,
        observation: &Observation,
        leads: &mut BTreeMap<Identifier, Lead>,
    ) {
        let others = self.shown_beside(home, sighting);
        let own: Vec<&Identifier> =
            observation.identifiers.iter().filter(|id| !others.contains(id)).collect();
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
        if !asset.identifiers.iter().any(Identifier::is_own) {
            // What another machine has replaced was not this one.
            asset.superseded_by = None;
            known.superseded = false;
        }
    }
}

impl Score {
    /// Finds the asset of a sighting, or founds one, and carries out what follows. Returns the assets to decide on; none
    /// if there is no such sighting.
    pub(crate) async fn correlate(&self, sighting: &SightingId) -> Result<BTreeSet<AssetId>, ScoreError> {
        let Some(connector) = self.config.connector(&sighting.connector) else {
            tracing::warn!(%sighting, "its connector is no longer configured, sighting left alone");
            return Ok(BTreeSet::new());
        };
        let state = self.store.sighting_state(sighting, true).await?;
        if state.rev.is_none() {
            tracing::warn!(%sighting, "no such sighting, message dropped");
            return Ok(BTreeSet::new());
        }
        let observation = identity::observe(&state.sighting.host(), &connector.scope, connector.scanner);
        let mut leads = self.store.leads(&observation.identifiers).await?;
        self.heed_configuration(&mut leads);
        let linked = state.link.map(|link| link.asset);
        let mut near = self.neighbours(sighting, linked.as_ref(), &leads).await?;
        let home = linked.as_ref().and_then(|linked| near.now.get(linked)).cloned();
        let mut join =
            home.as_ref().and_then(|home| near.assets[home].value.sightings.get(sighting)).cloned();
        let shared = shared_of(&leads);
        // It was joined before it was known that the value is shared: as if it came now. Who founded the asset stays there
        // whatever it shows, unless that is what made it be looked at, or people have said that the value is shared.
        let is_asked_again = join.as_ref().is_some_and(|join| join.observed == 0);
        let is_said_shared =
            observation.identifiers.iter().any(|id| self.config.identity.shared.contains(id));
        let may_leave =
            is_asked_again || is_said_shared || join.as_ref().is_some_and(|join| !join.agreeing.is_empty());
        let mut groundless = home
            .as_ref()
            .filter(|_| may_leave)
            .and_then(|home| near.groundless((home, sighting), &observation.identifiers, &shared));
        let mut nearer = home
            .as_ref()
            .filter(|_| is_asked_again && groundless.is_none())
            .and_then(|home| near.leads_elsewhere((home, sighting), &observation, &shared));
        let moves = join.as_ref().map_or(0, |join| join.moves) + u64::from(nearer.is_some());
        let is_alone = home.as_ref().is_some_and(|home| near.assets[home].value.sightings.len() == 1);
        let joins_alone = nearer.take_if(|_| is_alone);
        if nearer.is_some() {
            groundless = Some(NEARER);
        }
        if let Some(home) = home.as_ref().filter(|_| groundless.is_some()) {
            near.take_back(home, sighting, &observation, &mut leads);
            join = None;
        }
        let mut assignment = nearer.unwrap_or_else(|| {
            identity::assign(&Arrival {
                sighting: &sighting.to_string(),
                observation: &observation,
                home: home.as_ref().filter(|_| groundless.is_none()),
                pinned: join.as_ref().is_some_and(|join| join.pinned_by.is_some()),
                known: &near.known,
                shared: &shared,
            })
        });
        if let Some(joins) = joins_alone
            && let Some(asset) = joins.asset.filter(|_| assignment.asset == home)
            && !assignment.merges.iter().any(|merge| merge.asset == asset)
        {
            if let Some(join) = &mut join {
                // It is there by this from now on, which what is known later may speak against.
                join.rule = joins.rule;
                join.confidence = joins.confidence;
                join.agreeing = joins.agreeing.iter().take(IDENTIFIERS).cloned().collect();
            }
            assignment.merges.push(Merge { asset, reason: NEARER, identifiers: joins.agreeing });
        }
        let target = match &assignment.asset {
            Some(asset) => asset.clone(),
            None => self.found(&mut near, &assignment.ids).await?,
        };
        if let Some(home) = home.as_ref().filter(|home| groundless.is_some() && **home != target)
            && !near.assets[&target].value.is_settled()
        {
            // First what is under way there; the decision on the home comes back here.
            return Ok([home.clone(), target].into());
        }
        let mut change = Change { change: Regroup::default(), touched: [target.clone()].into(), near, leads };
        change.learn(self, sighting, &assignment);
        change.join(self, sighting, &observation, &assignment, (&target, join, moves));
        let is_new_here = home.as_ref() != Some(&target);
        change.move_from(self, sighting, &observation, (linked, home), (&target, groundless));
        change.ask_again(sighting, &observation, &target, is_new_here);
        change.supersede(self, &assignment, &target);
        change.review(self, sighting, &observation, &assignment, &target);
        let touched = change.touched.clone();
        self.store.regroup(&change.done(&target, self.clock.now())).await?;
        tracing::debug!(%sighting, asset = %target, rule = assignment.rule, "sighting joined");
        self.unite_all(&target, sighting, &observation, &assignment, touched).await
    }

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

    /// What people have said of identifiers comes before what was learned.
    fn heed_configuration(&self, leads: &mut BTreeMap<Identifier, Lead>) {
        let said = &self.config.identity;
        for (id, lead) in leads {
            if said.never_shared.contains(id) || lead.never_shared {
                lead.shared = None;
                lead.never_shared = true;
            } else if said.shared.contains(id) {
                lead.share("said to be shared", self.clock.now());
            }
        }
    }

    /// The home, and every asset that an identifier leads to, with when each was seen with what.
    async fn neighbours(
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

    /// A new asset. Its id comes from what identifies it, so that it is the same however often this is tried; if an
    /// earlier machine had that id, from the sighting.
    async fn found(&self, near: &mut Neighbours, ids: &[AssetId; 3]) -> Result<AssetId, ScoreError> {
        let [first, second, last] = ids;
        let mut free = last;
        for id in [first, second] {
            if self.store.asset(id).await?.is_none() {
                free = id;
                break;
            }
        }
        let asset = Asset { founded_at: Some(self.clock.now()), ..Asset::new(free.clone()) };
        near.assets.insert(free.clone(), Versioned { rev: None, value: asset });
        Ok(free.clone())
    }

    /// Unites the asset with those that turned out to be it, and then counts the sighting as looked at.
    async fn unite_all(
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
                join.observed = observation.digest(&self.config.identity);
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

/// A change in the making.
struct Change {
    change: Regroup,
    touched: BTreeSet<AssetId>,
    near: Neighbours,
    leads: BTreeMap<Identifier, Lead>,
}

impl Change {
    fn asset(&mut self, id: &AssetId) -> Option<&mut Asset> {
        let asset = self.near.assets.get_mut(id)?;
        self.touched.insert(id.clone());
        Some(&mut asset.value)
    }

    /// Notes which values are shared: they lead nowhere from now on, and are no longer held against anybody. What they
    /// alone have joined is to be looked at again.
    fn learn(&mut self, score: &Score, sighting: &SightingId, assignment: &Assignment) {
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
                    let told = self.near.told.get(*other);
                    told.is_some_and(|told| {
                        self.near.groundless((&id, other), &told.identifiers, &shared) == Some(NOT_JOINED)
                    })
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
    fn ask_again(
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
    fn join(
        &mut self,
        score: &Score,
        sighting: &SightingId,
        observation: &Observation,
        assignment: &Assignment,
        (target, before, moves): (&AssetId, Option<Join>, u64),
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
        let digest = observation.digest(&score.config.identity);
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
    fn move_from(
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

    /// Closes the assets whose place this one has taken.
    fn supersede(&mut self, score: &Score, assignment: &Assignment, target: &AssetId) {
        for supersession in assignment.supersedes.iter().filter(|old| old.asset != *target) {
            let Some(old) = self.asset(&supersession.asset) else { continue };
            old.superseded_by = Some(target.clone());
            old.apart.insert(target.clone());
            if let Some(new) = self.asset(target) {
                new.apart.insert(supersession.asset.clone());
            }
            let happened = IdentityChange {
                at: score.clock.now(),
                what: Happened::Superseded,
                other: target.clone(),
                sightings: Vec::new(),
                reason: supersession.reason.clone(),
                identifiers: Vec::new(),
                by: None,
            };
            self.change.history.extend(happened.on_both(supersession.asset.clone()));
        }
    }

    /// Asks people where several assets have the same right to the sighting.
    fn review(
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
    fn done(mut self, target: &AssetId, now: Timestamp) -> Regroup {
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

/// Which of these identifiers several machines share.
fn shared_of(leads: &BTreeMap<Identifier, Lead>) -> BTreeSet<Identifier> {
    leads.iter().filter(|(_, lead)| lead.shared.is_some()).map(|(id, _)| id.clone()).collect()
}

/// Assets by what they are now, each once.
fn present(holders: &[AssetId], now: &BTreeMap<AssetId, AssetId>) -> Vec<AssetId> {
    let mut all: Vec<AssetId> = Vec::new();
    for holder in holders {
        let holder = now.get(holder).unwrap_or(holder);
        if !all.contains(holder) {
            all.push(holder.clone());
        }
    }
    all
}
