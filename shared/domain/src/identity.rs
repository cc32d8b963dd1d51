//! Which sightings are one machine.
//!
//! An observation is compared with the assets that share an identifier with it, from the strongest sort of identifier
//! to the weakest. The first sort that settles it decides; an asset that contradicts in a sort of the same strength or
//! a stronger one is refused, with the reason. Two machines taken for one hide a weakness, one taken for two only
//! repeats it: so doubt never joins.
//!
//! | tier | identifier | joins |
//! | --- | --- | --- |
//! | 1 | cloud instance id, agent id | by itself |
//! | 2 | BIOS UUID, serial number | unless it looks like the copy of a machine |
//! | 3 | hardware addresses | if nothing above contradicts |
//! | 4 | fully qualified name | if no hardware address contradicts either |
//! | 5 | host name, NetBIOS name | if an address of hardware or network, or the operating system supports it |
//! | 6 | network address | if neither side has anything else, within a day; a machine that has kept it for a week |
//!
//! The rules and the stop lists follow those that the vendors of scanners and inventories document: Tenable's network
//! scopes and refusal by a stronger attribute, runZero's comparison of new data with existing only, ServiceNow's
//! distrust of addresses. Where this module leaves the plain order of tiers, the reason stands at the rule:
//!
//! * A new agent id alone does not part a machine from itself: agents are installed again.
//! * An address alone joins a machine that has other identifiers, if that one has kept the address for a week.
//! * Nor does a new agent id outweigh hardware address and name together.
//! * A serial number or UUID does not outweigh other hardware addresses unless a name agrees: copies keep them.
//!
//! [`assign()`] is the one step that takes an observation in. Beside the asset it tells what else follows: values that
//! proved to be shared by several machines and lead nowhere from then on, assets that turned out to be one, and assets
//! that this machine has replaced. One observation by itself never unites two assets: they must have enough in common.
//! [`Index`] keeps all of it in memory.

mod assign;
mod carry;
mod change;
mod compare;
mod doubt;
mod identifier;
mod index;
mod line;
mod names;
mod observe;
mod preview;
mod replace;
mod stop;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ids::AssetId;
use crate::vulnerability::Asset;
pub use assign::{Arrival, Assignment, HOLDERS, Lesson, Merge, assign};
pub use carry::{MOST_HELD, Parted, United, part, split, take, unite};
pub use change::{Happened, IdentityChange};
use compare::{Comparison, Relation};
pub use doubt::{Reconsidered, reconsider};
pub use identifier::{Identifier, IdentifierKind};
pub use index::{Index, Placement};
pub use line::{LineError, SightingLine};
pub use names::{Telling, is_name_alone};
pub use observe::{Observation, observe, observe_agents_of};
pub use preview::{Consequences, Regrouped, Sightings, preview};
pub use replace::{Place, Replacement};

/// Rule name of a sighting that founded its asset.
pub const RULE_NEW: &str = "new";
/// Rule name of a sighting that several assets could claim.
pub const RULE_AMBIGUOUS: &str = "ambiguous";

/// Rule name of a sighting that its scanner knows by an id that was seen before.
pub const RULE_NATIVE: &str = "native-id";

/// How far apart two sightings of one address may be: a lease of DHCP is rarely shorter.
const ADDRESS_WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// The same for an address that a machine keeps.
const STATIC_WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a hardware address or a name counts for the asset that was last seen with it, when another one shows it.
const VALIDITY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Who has had an address for so long keeps it.
const STATIC_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// From when to when something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
    /// The first and the last time that it was seen together with something of the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sure: Option<(Timestamp, Timestamp)>,
}

impl Span {
    /// A single time.
    pub fn at(time: Timestamp) -> Self {
        Self { first: time, last: time, sure: None }
    }

    /// When an observation was made.
    pub fn of(observation: &Observation) -> Option<Self> {
        let is_sure = observation.shows_machine();
        observation.observed_at.map(|at| Self { sure: is_sure.then_some((at, at)), ..Self::at(at) })
    }

    /// The same, and this time too.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let sure = match (self.sure, other.sure) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
        Self { first: self.first.min(other.first), last: self.last.max(other.last), sure }
    }

    /// The same without what may turn out to be another machine's: sightings that show nothing of the machine itself say
    /// nothing where others do, whichever came first.
    fn sure(self) -> Self {
        self.sure.map_or(self, |(first, last)| Self { first, last, ..self })
    }

    /// How far `time` is from it; of two equally far ones first the one that had begun by then, and the later one.
    fn nearness(self, time: Option<Timestamp>) -> (SignedDuration, bool, Reverse<Timestamp>) {
        let away = |time: Timestamp| self.first.duration_since(time).max(time.duration_since(self.last));
        let away = time.map_or(SignedDuration::ZERO, away).max(SignedDuration::ZERO);
        (away, time.is_some_and(|time| self.first > time), Reverse(self.first))
    }

    /// Whether it is long enough for an address not to be lent.
    fn is_lasting(self) -> bool {
        self.last.duration_since(self.first) >= STATIC_AFTER
    }

    /// Whether `time` is no further away from it than `window`.
    fn is_near(self, time: Timestamp, window: SignedDuration) -> bool {
        time.duration_since(self.last) <= window && self.first.duration_since(time) <= window
    }
}

/// Notes that an identifier was seen at that time too.
fn widen(seen: &mut BTreeMap<Identifier, Span>, id: &Identifier, at: Span) {
    seen.entry(id.clone()).and_modify(|span| *span = span.with(at)).or_insert(at);
}

/// An asset that may be the observed machine: one that shares an identifier with the observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The asset.
    pub asset: AssetId,
    /// All that its sightings say of it, also what another asset owns: that leads nobody here, and it still
    /// contradicts. Only addresses that it has lost should not be among them, unless `seen` tells when it had them.
    pub identifiers: BTreeSet<Identifier>,
    /// When each of them was seen at it, where that is known one by one; `last_seen` stands for the others.
    pub seen: BTreeMap<Identifier, Span>,
    /// Operating system as a scanner words it.
    pub os: Option<String>,
    /// When a scanner last saw it.
    pub last_seen: Option<Timestamp>,
    /// The machine that has taken its place: what is not the machine's own leads to it no more, but for a full name or an
    /// address that it had at the time.
    pub superseded_by: Option<AssetId>,
    /// Assets that it must never be united with.
    pub apart: BTreeSet<AssetId>,
}

impl Known {
    /// An asset that nothing is known of.
    pub fn new(asset: AssetId) -> Self {
        Self {
            asset,
            identifiers: BTreeSet::new(),
            seen: BTreeMap::new(),
            os: None,
            last_seen: None,
            superseded_by: None,
            apart: BTreeSet::new(),
        }
    }

    /// Adds what was observed of it.
    pub fn see(&mut self, observation: &Observation) {
        self.identifiers.extend(observation.identifiers.iter().cloned());
        self.os = self.os.take().or_else(|| observation.os.clone());
        self.last_seen = self.last_seen.max(observation.observed_at);
        let Some(at) = Span::of(observation) else { return };
        for id in &observation.identifiers {
            widen(&mut self.seen, id, at);
        }
    }

    /// Adds what is known of an asset that turned out to be the same.
    fn absorb(&mut self, other: Self) {
        self.identifiers.extend(other.identifiers);
        self.apart.extend(other.apart);
        self.os = self.os.take().or(other.os);
        self.last_seen = self.last_seen.max(other.last_seen);
        for (id, span) in &other.seen {
            widen(&mut self.seen, id, *span);
        }
    }

    /// When it was seen with this identifier.
    fn span(&self, id: &Identifier) -> Option<Span> {
        self.seen.get(id).copied().or_else(|| self.last_seen.map(Span::at))
    }

    /// When it was seen with this identifier, if that is certain: a sighting that shows nothing of the machine itself may
    /// turn out to be of another one, but where nothing more is known of any.
    fn certain(&self, id: &Identifier) -> Option<Span> {
        let span = *self.seen.get(id)?;
        let is_certain = span.sure.is_some() || !self.identifiers.iter().any(Identifier::is_own);
        is_certain.then(|| span.sure())
    }

    /// Whether an address that it was seen with may have been its own at this time.
    fn had(&self, address: &Identifier, at: Option<Timestamp>) -> bool {
        let Some((span, at)) = self.span(address).map(Span::sure).zip(at) else { return false };
        span.is_near(at, if span.is_lasting() { STATIC_WINDOW } else { ADDRESS_WINDOW })
    }

    /// Whether it has had an address for long, and at this time.
    fn kept(&self, address: &Identifier, at: Option<Timestamp>) -> bool {
        let Some((span, at)) = self.span(address).zip(at) else { return false };
        span.is_lasting() && span.is_near(at, ADDRESS_WINDOW)
    }

    /// When it was first seen, by what shows something of the machine itself where there is such.
    fn first_seen(&self) -> Option<Timestamp> {
        self.seen.values().map(|span| span.sure().first).min()
    }

    /// When it was last seen, likewise: what shows a name and an address alone may have seen another one.
    fn last_seen_itself(&self) -> Option<Timestamp> {
        let sure = self.seen.values().filter_map(|span| span.sure).map(|(_, last)| last);
        sure.max().or(self.last_seen)
    }

    /// Whether anything but addresses is known of it.
    fn is_identified(&self) -> bool {
        self.identifiers.iter().any(|id| id.kind != IdentifierKind::Ip)
    }
}

impl From<&Asset> for Known {
    fn from(asset: &Asset) -> Self {
        Self {
            identifiers: asset.identifiers.clone(),
            seen: asset.seen.clone(),
            os: asset.host.os.clone(),
            last_seen: asset.host.last_scanned_at,
            superseded_by: asset.superseded_by.clone(),
            apart: asset.apart.clone(),
            ..Self::new(asset.id.clone())
        }
    }
}

/// Whose the observation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is this asset.
    Join {
        /// The asset.
        asset: AssetId,
    },
    /// It is a machine that was not known.
    New,
    /// It could be any of these with equal right. It gets an asset of its own until a person decides.
    Ambiguous {
        /// Sorted.
        candidates: Vec<AssetId>,
    },
}

/// An asset that shares an identifier with the observation and still is another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The asset.
    pub asset: AssetId,
    /// The rule that would have joined it.
    pub rule: String,
    /// What speaks against it.
    pub reason: String,
    /// What both have in common.
    pub identifiers: Vec<Identifier>,
}

/// The answer, with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correlation {
    /// Whose the observation is.
    pub outcome: Outcome,
    /// The rule that decided: `cloud-id`, `agent-id`, `bios-uuid`, `serial`, `mac`, `fqdn`, `hostname+mac`,
    /// `hostname+ip`, `hostname+os`, `ip`, `new` or `ambiguous`.
    pub rule: String,
    /// 0 to 100: how sure the rule is of the outcome.
    pub confidence: u8,
    /// What the observation and the asset have in common.
    pub agreeing: Vec<Identifier>,
    /// Assets that were considered and refused, sorted.
    pub refused: Vec<Refusal>,
}

/// What a tier says of one asset.
type Verdict = Option<Result<Match, Objection>>;

/// A rule joins.
struct Match {
    rule: &'static str,
    confidence: u8,
}

/// A rule would join, and something speaks against it.
struct Objection {
    rule: &'static str,
    reason: &'static str,
}

fn joins(rule: &'static str, confidence: u8) -> Verdict {
    Some(Ok(Match { rule, confidence }))
}

fn refuses(rule: &'static str, reason: &'static str) -> Verdict {
    Some(Err(Objection { rule, reason }))
}

/// A tier's rule.
type Judge = fn(&Comparison) -> Verdict;

/// The tiers, the strongest first.
const TIERS: [(u8, Judge); 6] =
    [(1, by_cloud_or_agent), (2, by_hardware_id), (3, by_mac), (4, by_fqdn), (5, by_name), (6, by_address)];

/// Finds the asset of an observation among those that share an identifier with it. The order of `known` is of no
/// consequence, and asking again gives the same answer.
pub fn correlate(observation: &Observation, known: &[Known]) -> Correlation {
    let by_asset: BTreeMap<&AssetId, &Known> = known.iter().map(|known| (&known.asset, known)).collect();
    let compared: Vec<Comparison> =
        by_asset.into_values().map(|known| Comparison::new(observation, known)).collect();
    let namesakes: Vec<&AssetId> =
        compared.iter().filter(|c| c.name == Relation::Agree).map(|c| &c.known.asset).collect();
    let mut refused: BTreeMap<&AssetId, Refusal> = BTreeMap::new();
    for (tier, judge) in TIERS {
        let mut accepted: Vec<(&Comparison, Match)> = Vec::new();
        // Of several that bore a full name or had an address, the one that was seen with it nearest to the time has it here.
        let is_there = |c: &&Comparison| {
            c.known.superseded_by.is_none() || c.address_in_window || c.fqdn == Relation::Agree
        };
        for candidate in compared.iter().filter(|c| tier <= 2 || is_there(c)) {
            let asset = &candidate.known.asset;
            match judge(candidate) {
                // The one that is known bears it, and others may that are not.
                Some(Ok(matched))
                    if matched.rule == BY_SYSTEM && candidate.name_is_cut && namesakes.len() == 1 =>
                {
                    let objection = Objection { rule: BY_SYSTEM, reason: CUT_NAME };
                    refused.entry(asset).or_insert_with(|| refusal(candidate, &objection));
                }
                // What speaks against a strong match speaks against a weaker one too.
                Some(Ok(matched)) if !refused.contains_key(asset) => accepted.push((candidate, matched)),
                Some(Err(objection)) => {
                    refused.entry(asset).or_insert_with(|| refusal(candidate, &objection));
                }
                _ => {}
            }
        }
        let most = accepted.iter().map(|(candidate, _)| candidate.agreeing_below(tier)).max();
        accepted.retain(|(candidate, _)| Some(candidate.agreeing_below(tier)) == most);
        if let Some((candidate, matched)) = accepted.first() {
            let refused = refused.into_values().collect();
            return match &accepted[..] {
                // Where several bear the name, a system that many machines run does not tell which one it is.
                [_] if matched.rule != BY_SYSTEM || namesakes.len() == 1 => Correlation {
                    outcome: Outcome::Join { asset: candidate.known.asset.clone() },
                    rule: matched.rule.to_owned(),
                    confidence: sure(matched.confidence, candidate.agreeing_below(tier)),
                    agreeing: candidate.agreeing.iter().map(|id| (*id).clone()).collect(),
                    refused,
                },
                several => Correlation {
                    outcome: Outcome::Ambiguous {
                        candidates: match several {
                            [_] => namesakes.into_iter().cloned().collect(),
                            _ => several.iter().map(|(candidate, _)| candidate.known.asset.clone()).collect(),
                        },
                    },
                    rule: RULE_AMBIGUOUS.to_owned(),
                    confidence: 0,
                    agreeing: Vec::new(),
                    refused,
                },
            };
        }
    }
    Correlation {
        outcome: Outcome::New,
        rule: RULE_NEW.to_owned(),
        confidence: if refused.is_empty() { 100 } else { 80 },
        agreeing: Vec::new(),
        refused: refused.into_values().collect(),
    }
}

/// Each tier below the deciding one that agrees adds a point.
fn sure(confidence: u8, agreeing_below: usize) -> u8 {
    confidence.saturating_add(u8::try_from(agreeing_below).unwrap_or(u8::MAX)).min(100)
}

fn refusal(candidate: &Comparison, objection: &Objection) -> Refusal {
    let in_common = if candidate.foreign_twin {
        candidate.known.identifiers.iter().filter(|id| id.kind == IdentifierKind::Cloud).cloned().collect()
    } else {
        candidate.agreeing_of(&IdentifierKind::ALL)
    };
    Refusal {
        asset: candidate.known.asset.clone(),
        rule: objection.rule.to_owned(),
        reason: objection.reason.to_owned(),
        identifiers: in_common,
    }
}

const OTHER_INSTANCE: &str = "the cloud instance ids differ";
const OTHER_AGENT: &str = "the agent ids of one vendor differ";
const OTHER_BIOS: &str = "the BIOS UUIDs differ";
const OTHER_SERIAL: &str = "the serial numbers differ";
const OTHER_NAME: &str = "another name, and nothing of the machine itself agrees";
const OTHER_MAC: &str = "no hardware address in common";
/// It holds only while no other machine bears the name.
pub const BY_SYSTEM: &str = "hostname+os";
const CUT_NAME: &str = "a name that NetBIOS cut, and no address in common";
const OTHER_OS: &str = "the operating systems differ";
const OTHER_FQDN: &str = "the fully qualified names differ";

/// Tier 1. The instance id outweighs the agent's: an instance keeps its id for life, an agent gets a new one when it is
/// installed again, and an image that contains an agent gives one id to many instances.
fn by_cloud_or_agent(c: &Comparison) -> Verdict {
    if c.cloud == Relation::Agree {
        return joins("cloud-id", 99);
    }
    if c.foreign_twin {
        return refuses("cloud-id", "the same instance id in another account or region");
    }
    if c.agent != Relation::Agree {
        return None;
    }
    if c.cloud == Relation::Differ {
        return refuses("agent-id", OTHER_INSTANCE);
    }
    // The same agent on other hardware: moved there if it kept its name, installed from one image if not.
    if c.bios == Relation::Differ && c.mac == Relation::Differ && !c.name_agrees() {
        return refuses("agent-id", "BIOS UUID, hardware addresses and name differ: the agent was copied");
    }
    joins("agent-id", 97)
}

/// Tier 2. The copy of a virtual machine keeps UUID and serial number and gets new hardware addresses and, sooner or
/// later, another name. A laptop changes its hardware addresses with the dock and keeps its name; installed anew, it
/// changes its name and its agent and keeps its hardware addresses. Where no hardware address can be compared, a UUID
/// alone does not outweigh another name: it is copied with the disk's image, the serial number of a physical machine is
/// not.
fn by_hardware_id(c: &Comparison) -> Verdict {
    let rule = match (c.bios, c.serial) {
        (Relation::Agree, _) => "bios-uuid",
        (_, Relation::Agree) => "serial",
        _ => return None,
    };
    if c.cloud == Relation::Differ {
        return refuses(rule, OTHER_INSTANCE);
    }
    // Physical machines are seen through docks and adapters, virtual ones through their own.
    if c.other_virtual_macs && !c.address_in_window {
        return refuses(rule, "other hardware addresses of a hypervisor: a copy of the machine");
    }
    if c.mac != Relation::Agree {
        match (c.bios, c.serial) {
            (_, Relation::Differ) => return refuses(rule, OTHER_SERIAL),
            (Relation::Differ, _) => return refuses(rule, OTHER_BIOS),
            _ => {}
        }
        if c.mac == Relation::Differ && !c.name_agrees() {
            return refuses(rule, "no hardware address and no name in common: a copy of the machine");
        }
        if c.agent == Relation::Differ && c.name_differs() {
            return refuses(rule, "agent and name differ: a copy of the machine");
        }
        if c.mac == Relation::Unknown && c.agent != Relation::Agree && c.name_differs() {
            if c.is_virtual {
                return refuses(rule, "a virtual machine of another name: a copy of the machine");
            }
            if c.serial != Relation::Agree {
                return refuses(rule, "a UUID in common and another name");
            }
        }
    }
    joins(rule, if rule == "serial" { 92 } else { 95 })
}

/// What speaks against anything weaker than tier 2.
fn stronger_conflict(c: &Comparison) -> Option<&'static str> {
    [(c.cloud, OTHER_INSTANCE), (c.agent, OTHER_AGENT), (c.bios, OTHER_BIOS), (c.serial, OTHER_SERIAL)]
        .into_iter()
        .find_map(|(relation, reason)| (relation == Relation::Differ).then_some(reason))
}

/// Tier 3. Docks and VPN adapters wander: if each side has further hardware addresses of its own and another name, the
/// shared one is the dock's.
fn by_mac(c: &Comparison) -> Verdict {
    if c.mac != Relation::Agree {
        return None;
    }
    match stronger_conflict(c) {
        // Agents are installed again; two machines share neither the hardware address nor the name.
        Some(OTHER_AGENT)
            if c.name_agrees() && c.bios != Relation::Differ && c.serial != Relation::Differ => {}
        Some(reason) => return refuses("mac", reason),
        None => {}
    }
    if c.macs_beyond && c.name_differs() {
        return refuses(
            "mac",
            "other hardware addresses and names differ: the shared one is a dock's or an adapter's",
        );
    }
    joins("mac", 90)
}

/// Tier 4. A name alone is enough where no hardware address contradicts.
fn by_fqdn(c: &Comparison) -> Verdict {
    if c.fqdn != Relation::Agree {
        return None;
    }
    match stronger_conflict(c) {
        Some(reason) => refuses("fqdn", reason),
        None if c.mac == Relation::Differ => refuses("fqdn", OTHER_MAC),
        // One name for a whole network of addresses, as some reverse zones have it.
        None if c.os == Relation::Differ && !c.address_in_window => refuses("fqdn", OTHER_OS),
        None => joins("fqdn", 80),
    }
}

/// Tier 5. A bare host name needs support; a domain in common would have been a match of the tier above.
fn by_name(c: &Comparison) -> Verdict {
    if c.name != Relation::Agree {
        return None;
    }
    match stronger_conflict(c) {
        Some(reason) => refuses("hostname", reason),
        None if c.mac == Relation::Differ => refuses("hostname", OTHER_MAC),
        None if c.fqdn == Relation::Differ => refuses("hostname", OTHER_FQDN),
        None if c.weak_mac => joins("hostname+mac", 75),
        None if c.os == Relation::Differ => refuses("hostname", OTHER_OS),
        None if c.address_in_window => joins("hostname+ip", 70),
        None if c.os == Relation::Agree => joins(BY_SYSTEM, 60),
        None => refuses("hostname", "nothing but the host name in common"),
    }
}

/// Tier 6. Addresses are lent: they identify only what has nothing else, and not for long; or a machine that has kept
/// its address for a week, if nothing but the address was observed.
fn by_address(c: &Comparison) -> Verdict {
    if !c.address {
        return None;
    }
    if !c.addresses_only && !c.kept_address {
        return refuses("ip", "an address identifies only where neither side has anything else");
    }
    match (c.address_in_window, c.os) {
        (false, _) => refuses("ip", "the address was not seen at both within a day"),
        (true, Relation::Differ) => refuses("ip", OTHER_OS),
        (true, _) => joins("ip", 50),
    }
}

/// What now speaks against a sighting staying with the asset it belongs to: another cloud instance, other hardware, or
/// another name or other hardware addresses where nothing of the machine itself agrees. A scanner that knows its hosts by their address keeps the id
/// when the address passes on. An address or an agent that changed does not part a machine from itself.
pub fn contradiction(observation: &Observation, asset: &Known) -> Option<Refusal> {
    let c = Comparison::new(observation, asset);
    let reason = match (c.cloud, c.bios, c.serial) {
        (Relation::Differ, _, _) => OTHER_INSTANCE,
        (Relation::Agree, _, _) => return None,
        _ if c.mac == Relation::Agree => return None,
        (_, Relation::Differ, _) => OTHER_BIOS,
        (_, Relation::Unknown, Relation::Differ) => OTHER_SERIAL,
        _ if c.is_of_another_name() => OTHER_NAME,
        _ if !c.has_own_in_common() && c.mac == Relation::Differ => OTHER_MAC,
        _ => return None,
    };
    Some(refusal(&c, &Objection { rule: "stay", reason }))
}

/// Whether nothing that is a machine's own connects a sighting with the others of its asset, and their names differ: a
/// weak match of before, which would be refused now. A sighting that founded its asset can be the one that is not like the
/// others, too.
pub fn is_stranger(shows: &BTreeSet<Identifier>, others: &BTreeSet<Identifier>) -> bool {
    let observation = Observation { identifiers: shows.clone(), ..Observation::default() };
    let others = Known { identifiers: others.clone(), ..Known::new(AssetId::derive("others")) };
    Comparison::new(&observation, &others).is_of_another_name()
}

/// Which identifiers of the observation its asset may claim as its own, so that they lead to it: those that no other
/// known asset has.
pub fn claimable(
    observation: &Observation,
    correlation: &Correlation,
    known: &[Known],
) -> BTreeSet<Identifier> {
    let own = match &correlation.outcome {
        Outcome::Join { asset } => Some(asset),
        Outcome::New | Outcome::Ambiguous { .. } => None,
    };
    let taken = |id: &&Identifier| {
        known.iter().any(|other| Some(&other.asset) != own && other.identifiers.contains(*id))
    };
    observation.identifiers.iter().filter(|id| !taken(id)).cloned().collect()
}

/// The text that a new asset's id is derived from: the strongest identifier that it may claim, else the sighting.
///
/// It takes what is [`claimable`], not what was observed: a copy that was refused shares its strongest identifier with
/// its origin and must not get its origin's id. Host names and addresses pass on to other machines, so an id is never
/// made of them.
pub fn seed(claimable: &BTreeSet<Identifier>, sighting: &str) -> String {
    claimable
        .iter()
        .find(|id| id.is_strong() && id.kind <= IdentifierKind::Fqdn)
        .map_or_else(|| format!("sighting|{sighting}"), ToString::to_string)
}
