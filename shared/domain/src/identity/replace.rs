//! Which machines have taken the place of which.
//!
//! An instance is replaced by one that has its name and its address since it was last seen. That is told by the times of
//! both, so that it does not matter which of them became known first.

use super::compare;
use super::{
    Identifier, IdentifierKind, Known, OTHER_BIOS, OTHER_INSTANCE, OTHER_SERIAL, Observation, Refusal,
};
use crate::ids::AssetId;

/// What became known of an asset's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replacement {
    /// The asset; `None`: the one that the observation belongs to.
    pub asset: Option<AssetId>,
    /// What it is.
    pub place: Place,
}

/// Who has an asset's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Another machine. The asset is closed; it keeps its history and its findings.
    Taken {
        /// The machine; `None`: the one that the observation belongs to.
        by: Option<AssetId>,
        /// Why.
        reason: String,
    },
    /// Itself: it was seen again since another one was thought to have it.
    Its,
}

/// What an observation changes about who was replaced. `target`: its asset as it was before, if there is one; `left`: the
/// home that its sighting leaves, and why; `others`: what is known beside the target, without what is shared.
pub(super) fn replacements(
    observation: &Observation,
    target: Option<&Known>,
    left: Option<&Refusal>,
    others: &[&Known],
) -> Vec<Replacement> {
    let mut now = target.cloned().unwrap_or_else(|| Known::new(AssetId::derive("")));
    now.see(observation);
    let named = |known: &Known| match target {
        _ if known.asset != now.asset => Some(known.asset.clone()),
        target => target.map(|target| target.asset.clone()),
    };
    let taken = |asset: Option<AssetId>, by: Option<AssetId>, reason: &str| Replacement {
        asset,
        place: Place::Taken { by, reason: format!("replaced: {reason}") },
    };
    let all: Vec<&Known> = others.iter().copied().chain([&now]).collect();
    let mut found = Vec::new();
    for old in &all {
        if let Some(left) = left.filter(|left| left.asset == old.asset) {
            // A scanner's host shows other hardware now.
            if [OTHER_INSTANCE, OTHER_BIOS, OTHER_SERIAL].contains(&left.reason.as_str()) {
                found.push(taken(Some(left.asset.clone()), None, &left.reason));
            }
            continue;
        }
        let successor = all
            .iter()
            .filter(|new| is_in_place(new, old) && new.first_seen() > old.last_seen_itself())
            .min_by_key(|new| (new.first_seen(), &new.asset));
        let Some(current) = &old.superseded_by else {
            found.extend(successor.map(|new| taken(named(old), named(new), OTHER_INSTANCE)));
            continue;
        };
        let known = all.iter().find(|new| new.asset == *current).filter(|new| is_in_place(new, old));
        match (successor, known) {
            (Some(new), Some(_)) if new.asset != *current => {
                found.push(taken(named(old), named(new), OTHER_INSTANCE));
            }
            (None, Some(_)) => found.push(Replacement { asset: named(old), place: Place::Its }),
            // Whatever replaced it, it is there.
            (None, None) if old.asset == now.asset && is_news(observation, target) => {
                found.push(Replacement { asset: named(old), place: Place::Its });
            }
            _ => {}
        }
    }
    found
}

/// Whether one is an instance with the name and the address of another. An address counts where it was shown together
/// with something of the machine itself: what shows no more than that may turn out to be another machine.
fn is_in_place(new: &Known, old: &Known) -> bool {
    let in_common = || new.identifiers.intersection(&old.identifiers);
    let is_sure = |known: &Known, id: &Identifier| known.seen.get(id).is_some_and(|span| span.sure.is_some());
    let is_address = |id: &Identifier| id.kind == IdentifierKind::Ip && is_sure(new, id) && is_sure(old, id);
    let is_name = |id: &Identifier| matches!(id.kind, IdentifierKind::Fqdn | IdentifierKind::Hostname);
    new.asset != old.asset
        && in_common().any(is_address)
        && in_common().any(is_name)
        && compare::are_two_instances(&new.identifiers, &old.identifiers)
}

/// Whether an observation shows the machine itself, and later than everything that is known of its asset.
fn is_news(observation: &Observation, target: Option<&Known>) -> bool {
    let times = observation.observed_at.zip(target.and_then(Known::last_seen_itself));
    observation.shows_machine() && times.is_none_or(|(at, last)| at > last)
}
