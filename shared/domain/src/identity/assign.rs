//! The one step that takes an observation in: which asset it belongs to, and what is learned from it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::compare::{Comparison, Relation};
use super::{
    ADDRESS_WINDOW, BY_SYSTEM, Correlation, Identifier, IdentifierKind, Known, OTHER_INSTANCE, Observation,
    Outcome, RULE_NATIVE, Refusal, Replacement, Span, TIERS, Telling, VALIDITY, claimable, contradiction,
    correlate, names, refusal, replace, seed, stop,
};
use crate::ids::AssetId;

/// A value at more assets than this identifies none of them, whatever they have otherwise.
const MOST_HOLDERS: usize = 4;
/// How many assets with one value are remembered: enough to see that there are too many.
pub const HOLDERS: usize = MOST_HOLDERS + 2;
/// How sure it is that a scanner means the same host by the same id, if nothing contradicts.
const NATIVE_CONFIDENCE: u8 = 98;

/// An observation with everything that is known of what it touches.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Under which id the scanner knows the host: the same text for the same host of the same connector.
    pub sighting: &'a str,
    /// What was seen.
    pub observation: &'a Observation,
    /// The asset that the sighting belongs to, if it was seen before.
    pub home: Option<&'a AssetId>,
    /// A person put it into its home: nothing drives it out.
    pub pinned: bool,
    /// The home, and every asset that one of the observation's identifiers leads to.
    pub known: &'a [Known],
    /// Which identifiers are known to be shared by several machines.
    pub shared: &'a BTreeSet<Identifier>,
    /// What those sightings of the known assets tell of full names that show nothing of the machine itself, where nothing
    /// of it is known of their asset either; this one's among them.
    pub told: &'a [Telling],
}

/// Where an observation belongs, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The asset; `None`: a new one.
    pub asset: Option<AssetId>,
    /// Ids for a new asset. The first that no asset has or had is to be taken.
    pub ids: [AssetId; 3],
    /// The rule that decided, as in [`super::Correlation::rule`], or [`RULE_NATIVE`].
    pub rule: String,
    /// 0 to 100.
    pub confidence: u8,
    /// What the observation and the asset have in common.
    pub agreeing: Vec<Identifier>,
    /// Assets that were considered and refused, sorted.
    pub refused: Vec<Refusal>,
    /// Assets that it could be with equal right, sorted: a person has to decide.
    pub ambiguous: Vec<AssetId>,
    /// Identifiers that no other asset has: they may lead to this one.
    pub claims: BTreeSet<Identifier>,
    /// Values that proved to be shared. They lead nowhere from now on.
    pub lessons: Vec<Lesson>,
    /// What became known of who has whose place.
    pub replacements: Vec<Replacement>,
    /// Assets that turned out to be this one, sorted.
    pub merges: Vec<Merge>,
}

/// A value that several machines share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lesson {
    /// The value.
    pub identifier: Identifier,
    /// How that is known.
    pub reason: &'static str,
}

/// An asset that is the same machine as the one assigned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Merge {
    /// The other asset.
    pub asset: AssetId,
    /// Why.
    pub reason: &'static str,
    /// What both have.
    pub identifiers: Vec<Identifier>,
}

/// Takes an observation in. Pure: the same arrival gives the same answer, whatever the order of `known`.
pub fn assign(arrival: &Arrival<'_>) -> Assignment {
    let observation = usable(arrival);
    let all = valid(arrival);
    let known = rivals(&all, &observation);
    let home = arrival.home.and_then(|home| known.iter().find(|known| known.asset == *home));
    let left = home
        .filter(|_| !arrival.pinned)
        .and_then(|home| contradiction(&observation, home).or_else(|| passed_on(arrival, home)));
    let stays = home.filter(|_| left.is_none());
    let candidates: Cow<'_, [Known]> = match &left {
        None => Cow::Borrowed(&known),
        Some(left) => known.iter().filter(|known| known.asset != left.asset).cloned().collect(),
    };
    let mut correlation = correlate(&observation, &candidates);
    if let Outcome::Ambiguous { candidates: equal } = &correlation.outcome
        && let Some(joined) = made_one(&observation, equal, &candidates)
    {
        correlation = joined;
    }
    if let Some(home) = stays {
        if correlation.outcome != (Outcome::Join { asset: home.asset.clone() }) {
            RULE_NATIVE.clone_into(&mut correlation.rule);
            correlation.confidence = NATIVE_CONFIDENCE;
            correlation.agreeing = observation.identifiers.intersection(&home.identifiers).cloned().collect();
            correlation.outcome = Outcome::Join { asset: home.asset.clone() };
        }
        correlation.refused.retain(|refusal| refusal.asset != home.asset);
    }
    let claims = claimable(&observation, &correlation, &known);
    let (asset, ambiguous) = match &correlation.outcome {
        Outcome::Join { asset } => (Some(asset.clone()), Vec::new()),
        Outcome::New => (None, Vec::new()),
        Outcome::Ambiguous { candidates } => (None, candidates.clone()),
    };
    let founder = asset.as_ref().and_then(|id| known.iter().find(|known| known.asset == *id));
    let (own, others): (Vec<&Known>, Vec<&Known>) =
        all.iter().partition(|known| asset.as_ref() == Some(&known.asset));
    let replacements = replace::replacements(&observation, own.first().copied(), left.as_ref(), &others);
    let lessons = lessons(&observation, founder, &known, arrival.told);
    let merges = if asset.is_some() {
        let learned: BTreeSet<&Identifier> = lessons.iter().map(|lesson| &lesson.identifier).collect();
        merges(&observation, founder, &candidates, &learned)
    } else {
        Vec::new()
    };
    let at = observation.observed_at.map(|at| at.to_string()).unwrap_or_default();
    let ids = [
        seed(&claims, arrival.sighting),
        format!("sighting|{}", arrival.sighting),
        format!("sighting|{}|{at}", arrival.sighting),
    ];
    let mut refused = correlation.refused;
    refused.extend(left);
    Assignment {
        asset,
        ids: ids.map(|seed| AssetId::derive(&seed)),
        rule: correlation.rule,
        confidence: correlation.confidence,
        agreeing: correlation.agreeing,
        refused,
        ambiguous,
        claims,
        lessons,
        replacements,
        merges,
    }
}

/// The match with one of several assets that have the same right to the observation, if with it they are one machine: had it
/// come first, each of them would have joined it.
fn made_one(observation: &Observation, equal: &[AssetId], known: &[Known]) -> Option<Correlation> {
    let equal: Vec<Known> = known.iter().filter(|known| equal.contains(&known.asset)).cloned().collect();
    let learned = BTreeSet::new();
    let founder = equal
        .iter()
        .find(|founder| merges(observation, Some(founder), &equal, &learned).len() + 1 == equal.len())?;
    let others = known.iter().filter(|known| equal.iter().all(|one| one.asset != known.asset));
    let rest: Vec<Known> = others.chain([founder]).cloned().collect();
    let joined = correlate(observation, &rest);
    (joined.outcome == Outcome::Join { asset: founder.asset.clone() }).then_some(joined)
}

/// The observation without what is shared, and without public addresses that a cloud lends to its instances.
fn usable(arrival: &Arrival<'_>) -> Observation {
    let lent = |id: &Identifier| {
        id.kind == IdentifierKind::Ip
            && id.value.parse().is_ok_and(stop::is_public)
            && arrival.known.iter().any(|known| {
                known.identifiers.contains(id)
                    && known.identifiers.iter().any(|other| other.kind == IdentifierKind::Cloud)
            })
    };
    let mut observation = arrival.observation.clone();
    observation.identifiers.retain(|id| !arrival.shared.contains(id) && !lent(id));
    observation
}

/// What is known, without what is shared.
fn valid(arrival: &Arrival<'_>) -> Vec<Known> {
    let mut known: Vec<Known> = arrival.known.to_vec();
    known.sort_by(|a, b| a.asset.cmp(&b.asset));
    known.dedup_by(|a, b| a.asset == b.asset);
    for asset in &mut known {
        asset.identifiers.retain(|id| !arrival.shared.contains(id));
    }
    known
}

/// The assets that may be meant, each without what was another one's when this was seen: a full name or an address is one
/// machine's at a time, and leads to the one that was seen with it nearest to that time.
fn rivals(all: &[Known], observation: &Observation) -> Vec<Known> {
    let mut known = all.to_vec();
    let lendable = |id: &&Identifier| matches!(id.kind, IdentifierKind::Fqdn | IdentifierKind::Ip);
    for id in observation.identifiers.iter().filter(lendable) {
        let holds = |asset: &&Known| asset.is_identified() && asset.identifiers.contains(id);
        let taken =
            |asset: &Known| asset.seen.get(id).map(|span| span.sure().nearness(observation.observed_at));
        let Some(owner) = known.iter().filter(holds).filter_map(taken).min() else { continue };
        for asset in &mut known {
            if asset.is_identified() && taken(asset).is_some_and(|other| other != owner) {
                asset.identifiers.remove(id);
            }
        }
    }
    known
}

/// An address of which nothing else is known, at a machine of which nothing else is known either: it has been handed from
/// one machine to another since it was seen there.
fn passed_on(arrival: &Arrival<'_>, home: &Known) -> Option<Refusal> {
    let addresses = &arrival.observation.identifiers;
    if home.is_identified() || addresses.iter().any(|id| id.kind != IdentifierKind::Ip) {
        return None;
    }
    let handed = |id: &&Identifier| {
        let Some(last) = home.seen.get(*id).map(|span| span.last) else { return false };
        let spans = arrival
            .known
            .iter()
            .filter(|known| known.is_identified())
            .filter_map(|known| known.seen.get(*id));
        let (before, since): (Vec<&Span>, Vec<&Span>) = spans.partition(|span| span.first <= last);
        !before.is_empty() && !since.is_empty()
    };
    let identifiers: Vec<Identifier> = addresses.iter().filter(handed).cloned().collect();
    (!identifiers.is_empty()).then(|| Refusal {
        asset: home.asset.clone(),
        rule: "stay".to_owned(),
        reason: "the address has passed to another machine since".to_owned(),
        identifiers,
    })
}

/// Which values two machines that are not one have both shown, and may not.
fn lessons(
    observation: &Observation,
    founder: Option<&Known>,
    known: &[Known],
    told: &[Telling],
) -> Vec<Lesson> {
    let shows_itself = |ids: &BTreeSet<Identifier>| ids.iter().any(Identifier::is_own);
    let mut all = BTreeSet::new();
    let mut learn = |identifier: &Identifier, reason| {
        all.insert(Lesson { identifier: identifier.clone(), reason });
    };
    let named = observation.identifiers.iter().any(|id| id.kind != IdentifierKind::Ip);
    let others = known.iter().filter(|other| founder.is_none_or(|founder| founder.asset != other.asset));
    for other in others {
        // Also where a stronger tier has settled whose the observation is.
        let c = Comparison::new(observation, other);
        let Some(Err(objection)) = TIERS.iter().find_map(|(_, judge)| judge(&c)) else { continue };
        let refusal = refusal(&c, &objection);
        for id in refusal.identifiers.iter().filter(|id| observation.identifiers.contains(id)) {
            match id.kind {
                IdentifierKind::Agent | IdentifierKind::BiosUuid | IdentifierKind::Serial => {
                    learn(id, "two machines show it");
                }
                IdentifierKind::Mac if id.is_strong() && is_recent(observation, other, id) => {
                    learn(id, "two machines show it");
                }
                IdentifierKind::Fqdn
                    if refusal.reason == OTHER_INSTANCE
                        && other.certain(id).is_some()
                        && is_recent(observation, other, id) =>
                {
                    learn(id, "instances show it one after another");
                }
                // Where neither shows itself, it is told by their sightings.
                IdentifierKind::Fqdn
                    if (shows_itself(&observation.identifiers) || shows_itself(&other.identifiers))
                        && alternates(observation, founder, other, id, VALIDITY) =>
                {
                    learn(id, "two machines show it in turn");
                }
                IdentifierKind::Ip
                    if named
                        && other.is_identified()
                        && alternates(observation, founder, other, id, ADDRESS_WINDOW) =>
                {
                    learn(id, "two machines show it in turn");
                }
                _ => {}
            }
        }
    }
    for id in &observation.identifiers {
        let holders = || {
            known.iter().filter(|known| known.identifiers.contains(id) && is_recent(observation, known, id))
        };
        // What shows nothing of the machine itself may still turn out to be one of the others.
        let own = holders().filter(|known| known.identifiers.iter().any(Identifier::is_own)).count();
        let too_many = own > MOST_HOLDERS || (own == 0 && holders().count() >= HOLDERS);
        if too_many && !matches!(id.kind, IdentifierKind::Cloud | IdentifierKind::Ip) {
            learn(id, "more assets show it than one machine can be");
        }
    }
    if !founder.is_some_and(|founder| shows_itself(&founder.identifiers)) {
        let is_name = |id: &&Identifier| id.kind == IdentifierKind::Fqdn;
        for name in observation.identifiers.iter().filter(is_name) {
            if let Some(reason) = names::shared(name, told) {
                learn(name, reason);
            }
        }
    }
    all.into_iter().collect()
}

fn is_recent(observation: &Observation, other: &Known, id: &Identifier) -> bool {
    other.span(id).zip(observation.observed_at).is_none_or(|(span, at)| span.sure().is_near(at, VALIDITY))
}

/// Whether this asset had the value before the other one took it, and has it now, all within `window`, and that is certain
/// of both.
fn alternates(
    observation: &Observation,
    founder: Option<&Known>,
    other: &Known,
    id: &Identifier,
    window: SignedDuration,
) -> bool {
    let Some((at, theirs)) = observation.observed_at.zip(other.certain(id)) else { return false };
    let shows_itself = observation.identifiers.iter().any(Identifier::is_own);
    if !shows_itself && founder.is_some_and(|founder| founder.identifiers.iter().any(Identifier::is_own)) {
        return false;
    }
    let ours = founder.and_then(|founder| founder.certain(id));
    let ours = ours.map_or(Span::at(at), |ours| ours.with(Span::at(at)));
    ours.first <= theirs.last && theirs.first <= ours.last && theirs.is_near(at, window)
}

/// Which of the other candidates are the same machine as the asset with this observation added.
fn merges(
    observation: &Observation,
    founder: Option<&Known>,
    candidates: &[Known],
    learned: &BTreeSet<&Identifier>,
) -> Vec<Merge> {
    let Some(founder) = founder else { return Vec::new() };
    if candidates.iter().all(|known| known.asset == founder.asset) {
        return Vec::new();
    }
    let without = |ids: &BTreeSet<Identifier>| -> BTreeSet<Identifier> {
        ids.iter().filter(|id| !learned.contains(id)).cloned().collect()
    };
    let mut one = founder.clone();
    one.see(observation);
    one.identifiers = without(&one.identifiers);
    let mut rest: Vec<Known> =
        candidates.iter().filter(|known| known.asset != founder.asset).cloned().collect();
    rest.iter_mut().for_each(|known| known.identifiers = without(&known.identifiers));
    let mut merges: BTreeMap<AssetId, Merge> = BTreeMap::new();
    // What one of them adds may settle another.
    while let Some((at, merge)) =
        rest.iter().enumerate().find_map(|(at, other)| Some((at, unite(&one, other)?)))
    {
        one.absorb(rest.remove(at));
        merges.insert(merge.asset.clone(), merge);
    }
    merges.into_values().collect()
}

/// Whether two assets are one machine: they share what decides by itself, or two values that do not come from one
/// another, or one of them has nothing that the other has not, so that its sightings would have joined the other had
/// they come later. Nothing may contradict.
pub(super) fn unite(one: &Known, other: &Known) -> Option<Merge> {
    if one.asset == other.asset
        || one.apart.contains(&other.asset)
        || other.apart.contains(&one.asset)
        || one.superseded_by.is_some()
        || other.superseded_by.is_some()
    {
        return None;
    }
    let neither_is_identified = !one.is_identified() && !other.is_identified();
    let as_seen = Observation {
        // Of the addresses only the latest: what it had long ago says nothing of what it is now.
        identifiers: other
            .identifiers
            .iter()
            .filter(|id| {
                id.kind != IdentifierKind::Ip || neither_is_identified || other.had(id, other.last_seen)
            })
            .cloned()
            .collect(),
        os: other.os.clone(),
        // Of an address alone it does not matter which of them had it first.
        observed_at: if neither_is_identified { nearest(one, other) } else { other.last_seen },
    };
    let c = Comparison::new(&as_seen, one);
    if c.cloud == Relation::Differ {
        return None;
    }
    let (tier, verdict) = TIERS.iter().find_map(|(tier, judge)| Some((*tier, judge(&c)?)))?;
    let matched = verdict.ok()?;
    let lacks = |mine: &Known, theirs: &Known| {
        theirs.identifiers.iter().all(|id| id.kind == IdentifierKind::Ip || mine.identifiers.contains(id))
    };
    // What is no more than an address has been so only while the other one had it.
    let within = |one: &Known, other: &Known| {
        neither_is_identified
            || other.identifiers.iter().all(|id| {
                let spans = one.seen.get(id).zip(other.seen.get(id));
                spans.is_some_and(|(mine, theirs)| mine.is_near(theirs.first, ADDRESS_WINDOW))
            })
    };
    let reason = if tier <= 2 {
        "they share an identifier of the machine itself"
    } else if c.independent() >= 2 {
        "they share two values that are independent of each other"
    } else if matched.rule == BY_SYSTEM {
        // A name and a system that many machines run may do for a sighting, not for two assets.
        return None;
    } else if (tier <= 5 || within(one, other)) && (lacks(one, other) || lacks(other, one)) {
        "one of them has nothing of its own"
    } else {
        return None;
    };
    Some(Merge {
        asset: other.asset.clone(),
        reason,
        identifiers: c.agreeing.iter().map(|id| (*id).clone()).collect(),
    })
}

/// When the other was seen at an address of both, as near as possible to when the one was.
fn nearest(one: &Known, other: &Known) -> Option<Timestamp> {
    let spans =
        other.identifiers.intersection(&one.identifiers).filter_map(|id| one.span(id).zip(other.span(id)));
    let times = spans.map(|(mine, theirs)| {
        let time = mine.first.clamp(theirs.first, theirs.last);
        (mine.first.duration_since(time).max(time.duration_since(mine.last)), time)
    });
    times.min().map(|(_, time)| time)
}
