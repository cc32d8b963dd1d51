//! What another configuration would change of who is one machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Index, Observation};
use crate::ids::{AssetId, SightingId, VulnId};
use crate::merge::{Mergeable, merge};
use crate::policy::KnownIdentifiers;
use crate::vulnerability::Vulnerability;

/// Every host with what identifies it.
pub type Sightings = BTreeMap<SightingId, Observation>;

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

/// Compares how the same sightings would be grouped; each is taken in by the order of time, and once more with what was
/// learned. Sightings that neither merge nor split anything are left out.
pub fn preview(
    before: (&Sightings, &KnownIdentifiers),
    after: (&Sightings, &KnownIdentifiers),
) -> Vec<Regrouped> {
    let (before, after) = (grouped(before.0, before.1), grouped(after.0, after.1));
    let mut changes = Vec::new();
    changes.extend(torn(&before, &after).into_iter().map(|assets| Regrouped::Split { assets }));
    changes.extend(torn(&after, &before).into_iter().map(|assets| Regrouped::Merge { assets }));
    changes.sort();
    changes
}

/// What a change would do to vulnerabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Consequences {
    /// Those that would close, each with the one that it becomes part of. That one has their tickets from then on, and
    /// the earliest of their deadlines.
    pub closes: BTreeMap<VulnId, VulnId>,
    /// Those that would be on several assets, with how many more there would be.
    pub opens: BTreeMap<VulnId, usize>,
}

impl Regrouped {
    /// What it would do to these open vulnerabilities of the assets concerned.
    pub fn consequences(&self, open: &BTreeMap<VulnId, Vulnerability>) -> Consequences {
        let mut result = Consequences::default();
        match self {
            Self::Merge { .. } => {
                let Some(asset) = open.values().map(|v| &v.asset).next() else { return result };
                let findings: Vec<Mergeable> = open.values().flat_map(mergeable).collect();
                for group in merge(asset, &findings, open) {
                    result.closes.extend(group.absorbed.into_iter().map(|gone| (gone, group.id.clone())));
                }
            }
            Self::Split { assets } => {
                for v in open.values() {
                    let on =
                        |part: &&BTreeSet<SightingId>| v.findings.iter().any(|f| part.contains(&f.sighting));
                    let parts = assets.iter().filter(on).count();
                    if parts > 1 {
                        result.opens.insert(v.id.clone(), parts - 1);
                    }
                }
            }
        }
        result
    }
}

/// The findings of a vulnerability, which share what makes them one.
fn mergeable(v: &Vulnerability) -> impl Iterator<Item = Mergeable> {
    let scanner = v.scanners.first().copied();
    v.findings.iter().filter_map(move |finding| {
        Some(Mergeable { finding: finding.clone(), scanner: scanner?, cves: v.cves.clone() })
    })
}

/// The asset of each sighting.
fn grouped<'a>(sightings: &'a Sightings, known: &KnownIdentifiers) -> BTreeMap<&'a SightingId, AssetId> {
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
        let Some(there) = other.get(sighting) else { continue };
        let parts = groups.entry(asset).or_default();
        parts.entry(there).or_default().insert((*sighting).clone());
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
        assert_eq!(preview((&sightings, &nothing), (&sightings, &nothing)), []);
        let assets = vec![BTreeSet::from([id("1")]), BTreeSet::from([id("2")]), BTreeSet::from([id("3")])];
        let sorted = |mut assets: Vec<BTreeSet<SightingId>>| {
            assets.sort();
            assets
        };
        match &preview((&sightings, &nothing), (&sightings, &shared))[..] {
            [Regrouped::Split { assets: found }] => assert_eq!(sorted(found.clone()), assets),
            other => panic!("{other:?}"),
        }
        match &preview((&sightings, &shared), (&sightings, &nothing))[..] {
            [Regrouped::Merge { assets: found }] => assert_eq!(sorted(found.clone()), assets),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_merge_closes_what_becomes_part_of_the_older_and_a_split_opens_what_is_on_both_sides() {
        let id = |native: &str| SightingId::new("tenable-prod".parse().unwrap(), native);
        let vulnerability = |asset: &str, cve: &str, since: &str, on: &[&str]| -> Vulnerability {
            let asset = AssetId::derive(asset);
            let found =
                |native: &&str| serde_json::json!({ "sighting": id(native), "finding": cve, "rule": cve });
            serde_json::from_value(serde_json::json!({
                "id": VulnId::derive(&asset, cve), "asset": asset, "title": "", "cves": [cve], "events": [],
                "scanners": ["tenable"], "severity": "high", "status": "identified", "factors": {},
                "findings": on.iter().map(found).collect::<Vec<_>>(), "known_since": since,
                "score": crate::score::score(&Default::default(), &Default::default()),
            }))
            .unwrap()
        };
        let older = vulnerability("a", "CVE-2021-44228", "2026-01-01T00:00:00Z", &["1"]);
        let younger = vulnerability("b", "CVE-2021-44228", "2026-01-02T00:00:00Z", &["2"]);
        let other = vulnerability("b", "CVE-2014-0160", "2026-01-02T00:00:00Z", &["2", "3"]);
        let open: BTreeMap<_, _> =
            [&older, &younger, &other].map(|v| (v.id.clone(), v.clone())).into_iter().collect();
        let assets = vec![BTreeSet::from([id("1"), id("2")]), BTreeSet::from([id("3")])];
        let merged = Regrouped::Merge { assets: assets.clone() }.consequences(&open);
        assert_eq!(merged.closes, BTreeMap::from([(younger.id, older.id)]));
        assert_eq!(merged.opens, BTreeMap::new());
        let split = Regrouped::Split { assets }.consequences(&open);
        assert_eq!((split.closes, split.opens), (BTreeMap::new(), BTreeMap::from([(other.id, 1)])));
    }
}
