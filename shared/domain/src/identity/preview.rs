//! What another list of known identifiers would change.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Index, Observation};
use crate::ids::{AssetId, SightingId};
use crate::policy::KnownIdentifiers;

/// Sightings that would be grouped otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Regrouped {
    /// What is several assets would be one.
    Merge {
        /// The sightings of each.
        assets: Vec<BTreeSet<SightingId>>,
    },
    /// What is one asset would be several.
    Split {
        /// The sightings of each.
        assets: Vec<BTreeSet<SightingId>>,
    },
}

/// Compares how sightings would be grouped under `before` and under `after`; each is taken in by the order of time, and
/// once more with what was learned. Sightings that neither merge nor split anything are left out.
pub fn preview(
    sightings: &BTreeMap<SightingId, Observation>,
    before: &KnownIdentifiers,
    after: &KnownIdentifiers,
) -> Vec<Regrouped> {
    let (before, after) = (grouped(sightings, before), grouped(sightings, after));
    let mut changes = Vec::new();
    changes.extend(torn(&before, &after).into_iter().map(|assets| Regrouped::Split { assets }));
    changes.extend(torn(&after, &before).into_iter().map(|assets| Regrouped::Merge { assets }));
    changes.sort();
    changes
}

/// The asset of each sighting.
fn grouped<'a>(
    sightings: &'a BTreeMap<SightingId, Observation>,
    known: &KnownIdentifiers,
) -> BTreeMap<&'a SightingId, AssetId> {
    let mut in_time: Vec<_> = sightings.iter().collect();
    in_time.sort_by_key(|(id, observation)| (observation.observed_at, *id));
    let mut index = Index::new();
    known.shared.iter().for_each(|id| index.shared_from_now_on(id));
    known.never_shared.iter().for_each(|id| index.never_shared(id.clone()));
    for (id, observation) in &in_time {
        index.take(&id.to_string(), observation);
    }
    let mut index = index.relearned();
    let placed: Vec<_> =
        in_time.iter().map(|(id, observation)| (*id, index.take(&id.to_string(), observation))).collect();
    placed.into_iter().map(|(id, placement)| (id, index.asset(placement).clone())).collect()
}

/// The groups of `one` that are several groups in `other`.
fn torn(
    one: &BTreeMap<&SightingId, AssetId>,
    other: &BTreeMap<&SightingId, AssetId>,
) -> Vec<Vec<BTreeSet<SightingId>>> {
    let mut groups: BTreeMap<&AssetId, BTreeMap<&AssetId, BTreeSet<SightingId>>> = BTreeMap::new();
    for (sighting, asset) in one {
        let parts = groups.entry(asset).or_default();
        parts.entry(&other[sighting]).or_default().insert((*sighting).clone());
    }
    groups.into_values().filter(|parts| parts.len() > 1).map(|parts| parts.into_values().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::identity::{Identifier, IdentifierKind, observe};
    use crate::scanner::Scanner;

    #[test]
    fn a_value_that_is_said_to_be_shared_splits_and_one_that_never_is_merges() {
        let id = |native: &str| SightingId::new("tenable-prod".parse().unwrap(), native);
        let mac = "a4:bb:6d:00:00:01";
        let seen = |name: Option<&str>| {
            let host = Host {
                macs: vec![mac.into()],
                fqdns: name.map(|name| format!("{name}.example.com")).into_iter().collect(),
                last_scanned_at: Some("2026-11-01T00:00:00Z".parse().unwrap()),
                ..Host::default()
            };
            observe(&host, "office", Scanner::Tenable)
        };
        let sightings =
            BTreeMap::from([(id("1"), seen(Some("app01"))), (id("2"), seen(None)), (id("3"), seen(None))]);
        let nothing = KnownIdentifiers::default();
        let value = Identifier::new(IdentifierKind::Mac, "office", "a4bb6d000001");
        let shared = KnownIdentifiers { shared: [value].into(), ..KnownIdentifiers::default() };
        assert_eq!(preview(&sightings, &nothing, &nothing), []);
        let assets = vec![BTreeSet::from([id("1")]), BTreeSet::from([id("2")]), BTreeSet::from([id("3")])];
        let sorted = |mut assets: Vec<BTreeSet<SightingId>>| {
            assets.sort();
            assets
        };
        match &preview(&sightings, &nothing, &shared)[..] {
            [Regrouped::Split { assets: found }] => assert_eq!(sorted(found.clone()), assets),
            other => panic!("{other:?}"),
        }
        match &preview(&sightings, &shared, &nothing)[..] {
            [Regrouped::Merge { assets: found }] => assert_eq!(sorted(found.clone()), assets),
            other => panic!("{other:?}"),
        }
    }
}
