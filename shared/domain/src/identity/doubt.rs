//! Merges that rest on values which turned out to be shared by several machines.
//!
//! What an estate looks like must not hang on which scanner came first. Had the value been known to be shared from the
//! start, the assets would not have become one; so each such merge is asked about again, and undone where nothing else
//! speaks for it.

use std::collections::{BTreeMap, BTreeSet};

use super::assign::unite;
use super::carry::{Parted, part_with, still_there};
use super::{Identifier, Known, Observation};
use crate::ids::{AssetId, SightingId};
use crate::vulnerability::Asset;

/// An asset of whose merges none is in doubt any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconsidered {
    /// It, with what it keeps.
    pub from: Asset,
    /// Assets that are themselves again, each with the identifiers that its merge rested on.
    pub own: Vec<(Asset, Vec<Identifier>)>,
}

/// Asks again about every merge in doubt. `gone`: the absorbed assets as they were; `observed`: what each sighting shows.
/// An asset never loses its last sighting.
pub fn reconsider(
    asset: &Asset,
    gone: &BTreeMap<AssetId, Asset>,
    observed: &BTreeMap<SightingId, Observation>,
) -> Reconsidered {
    let mut from = asset.clone();
    let mut own = Vec::new();
    while let Some(id) = from.doubted.pop_first() {
        let Some(grounds) = from.absorbed.remove(&id) else { continue };
        let Some(other) = gone.get(&id) else { continue };
        let Leaning { leaves, aside } = leaning(&from, other, gone, observed);
        if leaves.is_empty() || leaves.len() == from.sightings.len() {
            continue;
        }
        let there = known(&from, id.clone(), observed, |sighting| leaves.contains(sighting));
        let stays = |sighting: &SightingId| !leaves.contains(sighting) && !aside.contains(sighting);
        let here = known(&from, from.id.clone(), observed, stays);
        if let Some(merge) = unite(&here, &there) {
            from.absorbed.insert(id, merge.identifiers);
            continue;
        }
        let Parted { from: rest, own: mut parted } = part_with(&from, other, &leaves, None);
        from = rest;
        // What else rests on what has left is in doubt as well.
        from.doubt(&there.identifiers.difference(&here.identifiers).cloned().collect());
        parted.identifiers.retain(|id| there.identifiers.contains(id));
        parted.seen.retain(|id, _| there.identifiers.contains(id));
        own.push((parted, grounds));
    }
    Reconsidered { from, own }
}

/// What hangs on one of the assets that became part of this one.
struct Leaning {
    /// Its sightings, and those that came since by what it alone has.
    leaves: BTreeSet<SightingId>,
    /// Those of other assets that became part of this one by what it alone has: they are asked about next.
    aside: BTreeSet<SightingId>,
}

fn leaning(
    from: &Asset,
    other: &Asset,
    gone: &BTreeMap<AssetId, Asset>,
    observed: &BTreeMap<SightingId, Observation>,
) -> Leaning {
    let free = |sighting: &SightingId| from.sightings[sighting].pinned_by.is_none();
    let of = |asset: &Asset| still_there(from, asset).into_iter().filter(free).collect::<BTreeSet<_>>();
    let mut leaves = of(other);
    // What several machines share has been taken from the asset, and is no ground.
    let leans = |grounds: &[Identifier]| {
        let mut valid = grounds.iter().filter(|id| from.identifiers.contains(*id)).peekable();
        valid.peek().is_some() && valid.all(|id| other.identifiers.contains(id))
    };
    let joined: Vec<(BTreeSet<SightingId>, &[Identifier])> = from
        .sightings
        .iter()
        .filter(|(sighting, join)| !leaves.contains(*sighting) && free(sighting) && leans(&join.agreeing))
        .map(|(sighting, join)| ([sighting.clone()].into(), &join.agreeing[..]))
        .collect();
    let merged: Vec<(BTreeSet<SightingId>, &[Identifier])> = from
        .absorbed
        .iter()
        .filter(|(_, grounds)| leans(grounds))
        .filter_map(|(id, grounds)| Some((of(gone.get(id)?), &grounds[..])))
        .collect();
    let undecided: BTreeSet<&SightingId> =
        joined.iter().chain(&merged).flat_map(|(sightings, _)| sightings).collect();
    let shown: BTreeSet<&Identifier> = observed
        .iter()
        .filter(|(sighting, _)| !leaves.contains(*sighting) && !undecided.contains(sighting))
        .flat_map(|(_, observation)| &observation.identifiers)
        .collect();
    let hangs = |grounds: &[Identifier]| !grounds.iter().any(|id| shown.contains(id));
    let hanging = |all: &[(BTreeSet<SightingId>, &[Identifier])]| -> BTreeSet<SightingId> {
        all.iter()
            .filter(|(_, grounds)| hangs(grounds))
            .flat_map(|(sightings, _)| sightings.clone())
            .collect()
    };
    let aside = hanging(&merged).difference(&leaves).cloned().collect();
    let followers = hanging(&joined);
    leaves.extend(followers);
    Leaning { leaves, aside }
}

/// What is known by some of an asset's sightings alone.
fn known(
    from: &Asset,
    id: AssetId,
    observed: &BTreeMap<SightingId, Observation>,
    of: impl Fn(&SightingId) -> bool,
) -> Known {
    let mut known = Known { apart: from.apart.clone(), ..Known::new(id) };
    for observation in
        observed.iter().filter(|(sighting, _)| of(sighting)).map(|(_, observation)| observation)
    {
        let valid = observation.identifiers.iter().filter(|id| from.identifiers.contains(*id));
        known.identifiers.extend(valid.cloned());
        known.os = known.os.or_else(|| observation.os.clone());
        known.last_seen = known.last_seen.max(observation.observed_at);
    }
    let seen = from.seen.iter().filter(|(id, _)| known.identifiers.contains(*id));
    known.seen = seen.map(|(id, span)| (id.clone(), *span)).collect();
    known
}

#[cfg(test)]
mod tests {
    use super::super::{IdentifierKind, carry, take};
    use super::*;
    use crate::vulnerability::Join;

    const UUID: (IdentifierKind, &str) = (IdentifierKind::BiosUuid, "u");

    fn id((kind, value): (IdentifierKind, &str)) -> Identifier {
        Identifier::new(kind, "", value)
    }

    fn agent(value: &str) -> (IdentifierKind, &str) {
        (IdentifierKind::Agent, value)
    }

    fn sighting(native: &str) -> SightingId {
        SightingId::new("tenable-prod".parse().unwrap(), native)
    }

    fn at(day: i8) -> Option<jiff::Timestamp> {
        Some(format!("2026-11-{day:02}T00:00:00Z").parse().unwrap())
    }

    /// Assets that became one: what each sighting shows, by whom it was founded or what joined it there.
    struct Case {
        asset: Asset,
        gone: BTreeMap<AssetId, Asset>,
        observed: BTreeMap<SightingId, Observation>,
    }

    impl Case {
        fn new() -> Self {
            let asset = Asset { founded_at: at(1), ..Asset::new(AssetId::derive("first")) };
            let mut case = Self { asset, gone: BTreeMap::new(), observed: BTreeMap::new() };
            case.join("a", &[agent("a"), UUID], &[]);
            case
        }

        fn observation(&mut self, native: &str, shows: &[(IdentifierKind, &str)]) -> Observation {
            let identifiers = shows.iter().map(|one| id(*one)).collect();
            let observation = Observation { identifiers, observed_at: at(3), ..Observation::default() };
            self.observed.insert(sighting(native), observation.clone());
            observation
        }

        fn join(&mut self, native: &str, shows: &[(IdentifierKind, &str)], by: &[(IdentifierKind, &str)]) {
            let observation = self.observation(native, shows);
            let join = Join { agreeing: by.iter().map(|one| id(*one)).collect(), ..Join::default() };
            take(&mut self.asset, sighting(native), join, &observation, &BTreeSet::new());
        }

        fn absorb(
            &mut self,
            native: &str,
            shows: &[(IdentifierKind, &str)],
            by: &[(IdentifierKind, &str)],
        ) -> AssetId {
            let observation = self.observation(native, shows);
            let mut other = Asset { founded_at: at(2), ..Asset::new(AssetId::derive(native)) };
            take(&mut other, sighting(native), Join::default(), &observation, &BTreeSet::new());
            let united = carry::unite(&self.asset, &other, None);
            self.asset = united.kept;
            self.asset.absorbing.clear();
            self.asset.absorbed.insert(other.id.clone(), by.iter().map(|one| id(*one)).collect());
            self.gone.insert(other.id.clone(), united.gone);
            other.id
        }

        fn learn(&mut self, shared: (IdentifierKind, &str)) -> Reconsidered {
            self.asset.doubt(&[id(shared)].into());
            reconsider(&self.asset, &self.gone, &self.observed)
        }
    }

    fn sightings(asset: &Asset) -> Vec<String> {
        asset.sightings.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_merge_that_rested_on_a_shared_value_alone_is_undone() {
        let mut case = Case::new();
        let gone = case.absorb("b", &[agent("b"), UUID], &[UUID]);
        let after = case.learn(UUID);
        let [(own, grounds)] = &after.own[..] else { panic!("{after:?}") };
        assert_eq!((&own.id, grounds), (&gone, &vec![id(UUID)]));
        assert_eq!((own.merged_into.as_ref(), own.awaits.as_ref()), (None, Some(&after.from.id)));
        assert_eq!(sightings(own), ["tenable-prod/b"]);
        assert_eq!(sightings(&after.from), ["tenable-prod/a"]);
        assert_eq!(own.identifiers, [id(agent("b"))].into());
        assert!(own.apart.is_empty() && after.from.apart.is_empty(), "no person said so");
        assert!(own.sightings.values().all(|join| join.pinned_by.is_none() && join.observed == 0));
        assert!(after.from.absorbed.is_empty() && after.from.doubted.is_empty());
        assert_eq!(after.from.releasing, [gone].into());
    }

    #[test]
    fn a_merge_for_which_something_else_speaks_stays() {
        let mut case = Case::new();
        let serial = (IdentifierKind::Serial, "s1");
        case.join("a", &[agent("a"), UUID, serial], &[]);
        let gone = case.absorb("b", &[agent("a"), UUID, serial], &[UUID, serial]);
        let after = case.learn(UUID);
        assert_eq!(after.own, []);
        assert_eq!(after.from.absorbed[&gone], [id(agent("a")), id(serial)]);
        assert!(after.from.is_settled());
    }

    #[test]
    fn what_came_by_that_asset_goes_with_it_and_what_came_by_both_stays() {
        let mut case = Case::new();
        let gone = case.absorb("b", &[agent("b"), UUID], &[UUID]);
        case.join("c", &[agent("b")], &[agent("b")]);
        case.join("d", &[agent("a")], &[agent("a")]);
        let further = case.absorb("e", &[agent("b"), (IdentifierKind::Serial, "s9")], &[agent("b")]);
        let after = case.learn(UUID);
        let all: BTreeMap<&AssetId, Vec<String>> =
            after.own.iter().map(|(own, _)| (&own.id, sightings(own))).collect();
        assert_eq!(all[&gone], ["tenable-prod/b", "tenable-prod/c"]);
        assert_eq!(all[&further], ["tenable-prod/e"], "it joins the other one when it is next looked at");
        assert_eq!(sightings(&after.from), ["tenable-prod/a", "tenable-prod/d"]);
    }

    #[test]
    fn what_a_person_put_there_stays() {
        let mut case = Case::new();
        case.absorb("b", &[agent("b"), UUID], &[UUID]);
        case.asset.sightings.values_mut().for_each(|join| join.pinned_by = Some("ann".into()));
        assert_eq!(case.learn(UUID).own, []);
    }
}
