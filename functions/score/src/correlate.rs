//! From a sighting to its asset, and what follows for others.
//!
//! The rules are [`identity::assign`]'s; here is what they ask for, read from the table, and what they answer, written
//! in one transaction. Assets that turned out to be one are united one by one after that; until all of that is done the
//! sighting counts as not looked at, so that the next decision on its asset takes it up again.

mod change;
mod neighbours;
mod unite;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use domain::identity::{self, Arrival, Assignment, Identifier, Merge, Observation};
use domain::vulnerability::Join;
use domain::{Asset, AssetId, SightingId};
use jiff::Timestamp;
use store::{Lead, Regroup, Versioned};

use self::change::Change;
use self::neighbours::Neighbours;
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

/// Where a sighting belongs, and why it does not stay where it was.
struct Placing {
    /// How it is in its home, if it stays there.
    join: Option<Join>,
    /// How often it has moved because something nearer became known.
    moves: u64,
    /// When it was first seen.
    since: Option<Timestamp>,
    /// Why what held it in its home holds it no longer.
    leaves: Option<&'static str>,
    assignment: Assignment,
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
        let Placing { join, moves, since, leaves, assignment } =
            self.place(&mut near, &mut leads, home.as_ref(), sighting, &observation);
        let target = match &assignment.asset {
            Some(asset) => asset.clone(),
            None => self.found(&mut near, &assignment.ids).await?,
        };
        if let Some(home) = home.as_ref().filter(|home| leaves.is_some() && **home != target)
            && !near.assets[&target].value.is_settled()
        {
            // First what is under way there; the decision on the home comes back here.
            return Ok([home.clone(), target].into());
        }
        let mut change = Change { change: Regroup::default(), touched: [target.clone()].into(), near, leads };
        change.learn(self, sighting, &assignment);
        change.join(self, sighting, &observation, &assignment, (&target, join, (moves, since)));
        let is_new_here = home.as_ref() != Some(&target);
        change.move_from(self, sighting, &observation, (linked, home), (&target, leaves));
        change.ask_again(sighting, &observation, &target, is_new_here);
        change.replace(self, &assignment, &target);
        change.review(self, sighting, &observation, &assignment, &target);
        let touched = change.touched.clone();
        self.store.regroup(&change.done(&target, self.clock.now())).await?;
        tracing::debug!(%sighting, asset = %target, rule = assignment.rule, "sighting joined");
        self.unite_all(&target, sighting, &observation, &assignment, touched).await
    }

    /// Where a sighting belongs. A home that it leaves is left no more than what its other sightings show.
    fn place(
        &self,
        near: &mut Neighbours,
        leads: &mut BTreeMap<Identifier, Lead>,
        home: Option<&AssetId>,
        sighting: &SightingId,
        observation: &Observation,
    ) -> Placing {
        let mut join = home.and_then(|home| near.assets[home].value.sightings.get(sighting)).cloned();
        let shared = shared_of(leads);
        let since =
            join.as_ref().and_then(|join| join.since).into_iter().chain(observation.observed_at).min();
        // It was joined before it was known that the value is shared, or that its machine is replaced: as if it came now. Who
        // founded the asset stays there whatever it shows, unless that is what made it be looked at, or people have said that
        // the value is shared.
        let is_replaced = home.is_some_and(|home| near.assets[home].value.superseded_by.is_some());
        let is_asked_again = join
            .as_ref()
            .is_some_and(|join| join.observed == 0 || is_replaced && !observation.shows_machine());
        let is_said_shared =
            observation.identifiers.iter().any(|id| self.config.identity.shared.contains(id));
        let may_leave =
            is_asked_again || is_said_shared || join.as_ref().is_some_and(|join| !join.agreeing.is_empty());
        let mut leaves = home
            .filter(|_| may_leave)
            .and_then(|home| near.groundless((home, sighting), observation, &shared));
        let mut nearer = home
            .filter(|_| is_asked_again && leaves.is_none())
            .and_then(|home| near.leads_elsewhere((home, sighting), observation, &shared));
        let is_alone = home.is_some_and(|home| near.assets[home].value.sightings.len() == 1);
        // Where its asset goes along it is no move of its own, however often that is tried.
        let moves = join.as_ref().map_or(0, |join| join.moves) + u64::from(nearer.is_some() && !is_alone);
        let joins_alone = nearer.take_if(|_| is_alone);
        if nearer.is_some() {
            leaves = Some(NEARER);
        }
        if let Some(home) = home.filter(|_| leaves.is_some()) {
            near.take_back(home, sighting, observation, leads);
            join = None;
        }
        let stays = home.filter(|_| leaves.is_none());
        let mut assignment = nearer.unwrap_or_else(|| {
            let known = match stays {
                Some(_) => Cow::Borrowed(&near.known[..]),
                None => near.before((sighting, observation), since, &shared),
            };
            identity::assign(&Arrival {
                sighting: &sighting.to_string(),
                observation,
                home: stays,
                pinned: join.as_ref().is_some_and(|join| join.pinned_by.is_some()),
                known: &known,
                shared: &shared,
                told: &near.tellings((sighting, observation), since, &shared),
            })
        });
        if identity::is_name_alone(observation, &shared) {
            // Assets of which nothing more is known than a name follow one by one.
            assignment.merges.retain(|merge| near.is_identified(&merge.asset, &shared));
        }
        if let Some(joins) = joins_alone
            && let Some(asset) = joins.asset.filter(|_| assignment.asset.as_ref() == home)
            && !home.is_some_and(|home| near.assets[home].value.apart.contains(&asset))
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
        Placing { join, moves, since, leaves, assignment }
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
