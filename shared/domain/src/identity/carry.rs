//! What an assignment, a merge, its undoing and a split change of the assets concerned.
//!
//! Only the records change, never what scanners have said. An asset that turned out to be another one keeps its record
//! as it was, so that a merge can be undone; the vulnerabilities follow when the assets are next decided on.

use std::collections::BTreeSet;

use super::{Identifier, IdentifierKind, Observation, Span, widen};
use crate::exposure;
use crate::ids::{AssetId, SightingId};
use crate::vulnerability::{Asset, Join};

/// How many addresses of one asset are remembered.
pub const MOST_HELD: usize = 32;

/// Two assets that became one.
#[derive(Debug, Clone, PartialEq)]
pub struct United {
    /// The older one, which is both from now on.
    pub kept: Asset,
    /// The other one, which leads to it.
    pub gone: Asset,
}

/// Two assets that were one.
#[derive(Debug, Clone, PartialEq)]
pub struct Parted {
    /// Which keeps the rest.
    pub from: Asset,
    /// Which has its own sightings again, or for the first time.
    pub own: Asset,
}

/// Puts a sighting into an asset, with what it shows. What several machines share is not taken over.
pub fn take(
    asset: &mut Asset,
    sighting: SightingId,
    join: Join,
    observation: &Observation,
    shared: &BTreeSet<Identifier>,
) {
    asset.sightings.insert(sighting, join);
    let mut valid = observation.clone();
    valid.identifiers.retain(|id| !shared.contains(id));
    let now = Span::of(&valid);
    for id in valid.identifiers {
        let passes_on = matches!(id.kind, IdentifierKind::Mac | IdentifierKind::Fqdn | IdentifierKind::Ip);
        if let Some(now) = now.filter(|_| passes_on) {
            widen(&mut asset.seen, &id, now);
        }
        asset.identifiers.insert(id);
    }
    forget_addresses(asset, observation);
}

/// Leaves only the latest addresses: some machines have a new one each day.
fn forget_addresses(asset: &mut Asset, observation: &Observation) {
    let mut dated: Vec<_> = asset
        .identifiers
        .iter()
        .filter(|id| id.kind == IdentifierKind::Ip && !observation.identifiers.contains(id))
        .map(|id| (asset.seen.get(id).map(|span| span.last), id.clone()))
        .collect();
    dated.sort();
    let now = observation.identifiers.iter().filter(|id| id.kind == IdentifierKind::Ip).count();
    for (_, id) in dated.iter().take((dated.len() + now).saturating_sub(MOST_HELD)) {
        asset.identifiers.remove(id);
        asset.seen.remove(id);
    }
}

/// Makes two assets one. The older one's id stays; `by`: the person who says so.
pub fn unite(one: &Asset, other: &Asset, by: Option<&str>) -> United {
    let age = |asset: &Asset| (asset.founded_at, asset.id.clone());
    let (older, younger) = if age(one) <= age(other) { (one, other) } else { (other, one) };
    let (mut kept, mut gone) = (older.clone(), younger.clone());
    for (sighting, join) in &gone.sightings {
        let mut join = join.clone();
        join.pinned_by = by.map(str::to_owned).or(join.pinned_by);
        kept.sightings.insert(sighting.clone(), join);
    }
    if let Some(by) = by {
        kept.sightings.values_mut().for_each(|join| join.pinned_by = Some(by.to_owned()));
        // It rests on the person's word now.
        kept.absorbed.clear();
        // Who unites what was parted before has thought better of it.
        kept.apart.remove(&gone.id);
        gone.apart.remove(&kept.id);
    }
    if by.is_none() {
        kept.absorbed.extend(gone.absorbed.clone());
    }
    kept.identifiers.extend(gone.identifiers.iter().cloned());
    for (id, span) in &gone.seen {
        widen(&mut kept.seen, id, *span);
    }
    kept.apart.extend(gone.apart.iter().cloned());
    kept.absorbing.insert(gone.id.clone());
    kept.superseded_by =
        if by.is_none() { kept.superseded_by.take().or(gone.superseded_by.clone()) } else { None };
    kept.inventory = kept.inventory.take().or_else(|| gone.inventory.clone());
    for reach in &gone.reach {
        if !kept.reach.iter().any(|known| known.source.is_like(&reach.source)) {
            exposure::replace(&mut kept.reach, &reach.source, Some(reach.clone()));
        }
    }
    for (id, counted) in &gone.counted {
        kept.counted.entry(id.clone()).or_insert(*counted);
    }
    kept.intents.append(&mut gone.intents);
    gone.merged_into = Some(kept.id.clone());
    gone.look_at = None;
    United { kept, gone }
}

/// Undoes a merge: the asset that was gone is itself again, with those of its sightings that are still where it went.
/// The two are never united again by themselves.
pub fn part(from: &Asset, gone: &Asset, by: &str) -> Parted {
    part_with(from, gone, &still_there(from, gone), Some(by))
}

/// Which sightings of an asset that became part of another one are still there.
pub(super) fn still_there(from: &Asset, gone: &Asset) -> BTreeSet<SightingId> {
    gone.sightings.keys().filter(|sighting| from.sightings.contains_key(sighting)).cloned().collect()
}

/// The same with these sightings, and where a person says so for good.
pub(super) fn part_with(
    from: &Asset,
    gone: &Asset,
    sightings: &BTreeSet<SightingId>,
    by: Option<&str>,
) -> Parted {
    let counted = gone.counted.keys().cloned().collect::<BTreeSet<_>>();
    let mut own = gone.clone();
    own.merged_into = None;
    own.sightings.clear();
    own.counted.clear();
    let mut parted = hand_over(from, own, sightings, by);
    let (from, own) = (&mut parted.from, &mut parted.own);
    from.absorbed.retain(|id, _| *id != own.id && !own.absorbed.contains_key(id));
    from.doubted.remove(&own.id);
    let (theirs, mine) =
        std::mem::take(&mut from.doubted).into_iter().partition(|id| own.absorbed.contains_key(id));
    (own.doubted, from.doubted) = (theirs, mine);
    for id in counted {
        own.counted.extend(from.counted.remove_entry(&id));
    }
    parted
}

/// Takes sightings out of an asset and gives them one of their own.
pub fn split(from: &Asset, id: AssetId, sightings: &BTreeSet<SightingId>, by: &str) -> Parted {
    hand_over(from, Asset::new(id), sightings, Some(by))
}

/// `by`: the person who says so, which no scanner changes again.
fn hand_over(from: &Asset, mut own: Asset, sightings: &BTreeSet<SightingId>, by: Option<&str>) -> Parted {
    let mut from = from.clone();
    for sighting in sightings {
        let Some(join) = from.sightings.remove(sighting) else { continue };
        // Looked at anew, so that the asset learns what identifies it.
        let pinned_by = by.map(str::to_owned).or(join.pinned_by);
        own.sightings.insert(sighting.clone(), Join { observed: 0, pinned_by, ..join });
    }
    if by.is_some() {
        from.apart.insert(own.id.clone());
        own.apart.insert(from.id.clone());
    }
    from.releasing.insert(own.id.clone());
    own.awaits = Some(from.id.clone());
    Parted { from, own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VulnId;
    use crate::vulnerability::{Counted, Severity, Status};

    fn sighting(native: &str) -> SightingId {
        SightingId::new("tenable-prod".parse().unwrap(), native)
    }

    fn id(kind: IdentifierKind, value: &str) -> Identifier {
        Identifier::new(kind, "office", value)
    }

    fn seen(ids: &[Identifier], at: &str) -> Observation {
        Observation {
            identifiers: ids.iter().cloned().collect(),
            observed_at: Some(at.parse().unwrap()),
            ..Observation::default()
        }
    }

    fn asset(name: &str, founded: &str) -> Asset {
        let mut asset =
            Asset { founded_at: Some(founded.parse().unwrap()), ..Asset::new(AssetId::derive(name)) };
        let mac = id(IdentifierKind::Mac, name);
        take(&mut asset, sighting(name), Join::default(), &seen(&[mac], founded), &BTreeSet::new());
        let counted = Counted { status: Status::Identified, severity: Severity::High, overdue: false };
        asset.counted.insert(VulnId::derive(&asset.id, "CVE"), counted);
        asset
    }

    const EARLY: &str = "2026-11-01T00:00:00Z";
    const LATE: &str = "2026-11-02T00:00:00Z";

    #[test]
    fn the_older_one_is_kept_whoever_is_named_first() {
        let (old, young) = (asset("old", EARLY), asset("young", LATE));
        let united = unite(&young, &old, None);
        assert_eq!(united, unite(&old, &young, None));
        assert_eq!(united.kept.id, old.id);
        assert_eq!(united.gone.merged_into.as_ref(), Some(&old.id));
        assert_eq!(united.kept.sightings.len(), 2);
        assert_eq!(united.kept.counted.len(), 2);
        assert!(united.kept.absorbing.contains(&young.id));
        assert!(united.kept.sightings.values().all(|join| join.pinned_by.is_none()));
        assert_eq!(united.gone.sightings, young.sightings, "what it was stays for an undoing");
    }

    #[test]
    fn what_was_undone_is_as_before_and_stays_apart() {
        let (old, young) = (asset("old", EARLY), asset("young", LATE));
        let united = unite(&old, &young, None);
        let parted = part(&united.kept, &united.gone, "ann");
        assert_eq!(parted.from.sightings, old.sightings);
        assert!(parted.own.sightings.keys().eq(young.sightings.keys()));
        assert_eq!(parted.from.counted, old.counted);
        assert_eq!(parted.own.counted, young.counted);
        assert_eq!(parted.own.merged_into, None);
        assert!(parted.from.apart.contains(&young.id) && parted.own.apart.contains(&old.id));
        let again = unite(&parted.from, &parted.own, Some("ann"));
        assert!(again.kept.apart.is_empty());
        assert!(again.kept.sightings.values().all(|join| join.pinned_by.as_deref() == Some("ann")));
    }

    #[test]
    fn a_machine_with_many_addresses_keeps_the_latest() {
        let mut asset = asset("laptop", EARLY);
        for day in 1..=60 {
            let at = format!("2026-11-01T00:{:02}:00Z", day - 1);
            let ip = id(IdentifierKind::Ip, &format!("10.0.0.{day}"));
            take(&mut asset, sighting("laptop"), Join::default(), &seen(&[ip], &at), &BTreeSet::new());
        }
        let has = |asset: &Asset, n: u8| {
            asset.identifiers.contains(&id(IdentifierKind::Ip, &format!("10.0.0.{n}")))
        };
        assert_eq!(asset.seen.len(), MOST_HELD + 1);
        assert!(has(&asset, 60) && has(&asset, 29) && !has(&asset, 28));
    }

    #[test]
    fn shared_values_are_not_taken_over_and_a_span_grows() {
        let (mac, ip) = (id(IdentifierKind::Mac, "m"), id(IdentifierKind::Ip, "10.0.0.1"));
        let mut asset = Asset::new(AssetId::derive("a"));
        let shared = BTreeSet::from([mac.clone()]);
        for at in [LATE, EARLY] {
            let observation = seen(&[mac.clone(), ip.clone()], at);
            take(&mut asset, sighting("1"), Join::default(), &observation, &shared);
        }
        assert_eq!(asset.identifiers, [ip.clone()].into());
        let span = asset.seen[&ip];
        assert_eq!((span.first.to_string().as_str(), span.last.to_string().as_str()), (EARLY, LATE));
    }
}
