//! Everything known of an estate, in memory: what [`assign()`] asks for, and what it decides carried out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use jiff::Timestamp;

use super::assign::{Arrival, Assignment, HOLDERS, assign, unite};
use super::carry::MOST_HELD;
use super::{Identifier, IdentifierKind, Known, Observation, Place, Span, Telling, is_name_alone};
use crate::ids::AssetId;

/// Sightings of one full name whose tellings are kept.
const TELLINGS: usize = 50;

/// Where a sighting was placed. The number stays valid when assets are united.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    asset: u32,
    rule: u32,
    /// 0 to 100.
    pub confidence: u8,
}

/// All assets, what leads to them, and which values lead nowhere.
#[derive(Debug, Default)]
pub struct Index {
    numbers: HashMap<Rc<Identifier>, u32>,
    values: Vec<Value>,
    assets: Vec<Record>,
    by_id: HashMap<AssetId, u32>,
    homes: HashMap<String, u32>,
    rules: Vec<String>,
    never_shared: HashSet<Identifier>,
    /// By full name that is not known to be shared, what sightings tell of it that show nothing of the machine itself.
    told: HashMap<u32, Vec<(String, Telling)>>,
}

#[derive(Debug)]
struct Value {
    identifier: Rc<Identifier>,
    /// Assets that were seen with it, the last one last.
    holders: Vec<u32>,
    shared: Option<&'static str>,
}

#[derive(Debug)]
struct Record {
    id: AssetId,
    held: Vec<(u32, Span)>,
    os: Option<String>,
    last_seen: Option<Timestamp>,
    superseded_by: Option<u32>,
    /// The asset that it turned out to be.
    united: Option<u32>,
    apart: BTreeSet<u32>,
}

impl Index {
    /// An index of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// An index of nothing that knows already which values are shared: what was learned late was so from the start.
    #[must_use]
    pub fn relearned(&self) -> Self {
        let mut index = Self { never_shared: self.never_shared.clone(), ..Self::default() };
        for value in &self.values {
            if let Some(reason) = value.shared {
                let number = index.number(&value.identifier);
                index.values[number as usize].shared = Some(reason);
            }
        }
        index
    }

    /// Says that a value is shared, before that is seen.
    pub fn shared_from_now_on(&mut self, identifier: &Identifier) {
        let number = self.number(identifier);
        self.share(number, "said to be shared");
    }

    /// Says that a value is not shared whatever it looks like, and takes back that it was. What was placed meanwhile
    /// stays; see [`Self::relearned`].
    pub fn never_shared(&mut self, identifier: Identifier) {
        if let Some(number) = self.numbers.get(&identifier) {
            self.values[*number as usize].shared = None;
        }
        self.never_shared.insert(identifier);
    }

    /// Values that lead nowhere because several machines share them, with how that is known; sorted.
    pub fn shared(&self) -> BTreeMap<&Identifier, &'static str> {
        self.values.iter().filter_map(|value| Some((&*value.identifier, value.shared?))).collect()
    }

    /// Takes an observation in. `sighting` is the same text for the same host of the same connector.
    pub fn take(&mut self, sighting: &str, observation: &Observation) -> Placement {
        let numbers: Vec<u32> = observation.identifiers.iter().map(|id| self.number(id)).collect();
        let home = self.homes.get(sighting).map(|home| self.resolve(*home));
        let mut touched: BTreeSet<u32> = home.into_iter().collect();
        let mut shared = BTreeSet::new();
        for number in &numbers {
            let value = &self.values[*number as usize];
            if value.shared.is_some() {
                shared.insert((*value.identifier).clone());
            } else {
                touched.extend(value.holders.iter().map(|holder| self.resolve(*holder)));
            }
        }
        let known: Vec<Known> = touched.iter().map(|number| self.known(*number)).collect();
        let told = self.tell(sighting, observation, &numbers, &shared);
        let arrival = Arrival {
            sighting,
            observation,
            home: home.map(|home| &self.assets[home as usize].id),
            pinned: false,
            known: &known,
            shared: &shared,
            told: &told,
        };
        let assignment = assign(&arrival);
        let asset = match &assignment.asset {
            Some(id) => self.by_id[id],
            None => self.found(&assignment.ids),
        };
        self.hold(asset, &numbers, observation);
        self.follow(asset, &assignment);
        let asset = self.resolve(asset);
        if home != Some(asset) {
            self.homes.insert(sighting.to_owned(), asset);
        }
        let rule = self.rules.iter().position(|rule| *rule == assignment.rule).unwrap_or_else(|| {
            self.rules.push(assignment.rule.clone());
            self.rules.len() - 1
        });
        Placement { asset, rule: rule as u32, confidence: assignment.confidence }
    }

    /// Keeps what a sighting tells of full names, and tells what others do whose assets show nothing of themselves either.
    fn tell(
        &mut self,
        sighting: &str,
        observation: &Observation,
        numbers: &[u32],
        shared: &BTreeSet<Identifier>,
    ) -> Vec<Telling> {
        let mut all = Vec::new();
        let is_alone = is_name_alone(observation, shared);
        for number in numbers {
            let value = &self.values[*number as usize];
            if value.identifier.kind != IdentifierKind::Fqdn || value.shared.is_some() {
                continue;
            }
            let mut told = self.told.remove(number).unwrap_or_default();
            let before = told.iter().position(|(other, _)| other == sighting).map(|at| told.remove(at).1);
            let since = before.map(|telling| telling.first());
            if let Some(telling) = Telling::of(observation, since).filter(|_| is_alone) {
                let is_weak =
                    |other: &str| self.homes.get(other).is_none_or(|home| !self.is_identified(*home));
                all.extend(
                    told.iter().filter(|(other, _)| is_weak(other)).map(|(_, telling)| telling.clone()),
                );
                all.push(telling.clone());
                if told.len() >= TELLINGS {
                    told.remove(0);
                }
                told.push((sighting.to_owned(), telling));
            }
            if !told.is_empty() {
                self.told.insert(*number, told);
            }
        }
        all
    }

    /// Whether something of the machine itself is known of an asset.
    fn is_identified(&self, number: u32) -> bool {
        let held = &self.assets[self.resolve(number) as usize].held;
        let mut values = held.iter().map(|(value, _)| &self.values[*value as usize]);
        values.any(|value| value.shared.is_none() && value.identifier.is_own())
    }

    /// The asset of a placement as of now.
    pub fn asset(&self, placement: Placement) -> &AssetId {
        &self.assets[self.resolve(placement.asset) as usize].id
    }

    /// The rule of a placement.
    pub fn rule(&self, placement: Placement) -> &str {
        &self.rules[placement.rule as usize]
    }

    /// The asset that has taken the place of this one, where it was replaced.
    pub fn superseded_by(&self, asset: &AssetId) -> Option<&AssetId> {
        let record = &self.assets[self.resolve(*self.by_id.get(asset)?) as usize];
        Some(&self.assets[self.resolve(record.superseded_by?) as usize].id)
    }

    /// Every asset as it is known, without those that were united with others.
    pub fn assets(&self) -> impl Iterator<Item = Known> {
        let alive = |number: &u32| self.assets[*number as usize].united.is_none();
        (0..self.assets.len() as u32).filter(alive).map(|number| self.known(number))
    }

    fn number(&mut self, identifier: &Identifier) -> u32 {
        if let Some(number) = self.numbers.get(identifier) {
            return *number;
        }
        let number = self.values.len() as u32;
        let identifier = Rc::new(identifier.clone());
        self.numbers.insert(Rc::clone(&identifier), number);
        self.values.push(Value { identifier, holders: Vec::new(), shared: None });
        number
    }

    fn resolve(&self, mut number: u32) -> u32 {
        while let Some(into) = self.assets[number as usize].united {
            number = into;
        }
        number
    }

    fn known(&self, number: u32) -> Known {
        let record = &self.assets[number as usize];
        let mut known = Known::new(record.id.clone());
        for (value, span) in &record.held {
            let value = &self.values[*value as usize];
            if value.shared.is_none() {
                let kind = value.identifier.kind;
                known.identifiers.insert((*value.identifier).clone());
                if matches!(kind, IdentifierKind::Mac | IdentifierKind::Fqdn | IdentifierKind::Ip) {
                    known.seen.insert((*value.identifier).clone(), *span);
                }
            }
        }
        known.os.clone_from(&record.os);
        known.last_seen = record.last_seen;
        let successor = record.superseded_by.map(|number| self.resolve(number));
        known.superseded_by = successor.map(|number| self.assets[number as usize].id.clone());
        known.apart =
            record.apart.iter().map(|other| self.assets[self.resolve(*other) as usize].id.clone()).collect();
        known
    }

    /// A new asset under the first of these ids that none has or had.
    fn found(&mut self, ids: &[AssetId; 3]) -> u32 {
        let [.., last] = ids;
        let free = ids.iter().find(|id| !self.by_id.contains_key(id)).cloned();
        // The same host at the same time twice, each time another machine: numbered.
        let id = free.unwrap_or_else(|| AssetId::derive(&format!("{last}|{}", self.assets.len())));
        let number = self.assets.len() as u32;
        self.by_id.insert(id.clone(), number);
        self.assets.push(Record {
            id,
            held: Vec::new(),
            os: None,
            last_seen: None,
            superseded_by: None,
            united: None,
            apart: BTreeSet::new(),
        });
        number
    }

    /// Notes that an asset was seen with these values.
    fn hold(&mut self, asset: u32, numbers: &[u32], observation: &Observation) {
        let span = Span::of(observation).unwrap_or(Span::at(Timestamp::UNIX_EPOCH));
        for number in numbers {
            self.hold_one(asset, *number, span);
        }
        let record = &mut self.assets[asset as usize];
        record.last_seen = record.last_seen.max(observation.observed_at);
        if record.os.is_none() {
            record.os.clone_from(&observation.os);
        }
        let values = &self.values;
        let is_address = |number: u32| values[number as usize].identifier.kind == IdentifierKind::Ip;
        if record.held.iter().filter(|(number, _)| is_address(*number)).count() > MOST_HELD {
            let oldest =
                record.held.iter().filter(|(number, _)| is_address(*number)).map(|(_, span)| span.last).min();
            record.held.retain(|(number, span)| !is_address(*number) || Some(span.last) != oldest);
        }
    }

    fn hold_one(&mut self, asset: u32, number: u32, span: Span) {
        let assets = &mut self.assets;
        let value = &mut self.values[number as usize];
        if value.shared.is_some() {
            return;
        }
        let held = &mut assets[asset as usize].held;
        match held.iter_mut().find(|(other, _)| *other == number) {
            Some((_, known)) => *known = known.with(span),
            None => held.push((number, span)),
        }
        if value.holders.last() != Some(&asset) {
            value.holders.retain(|holder| *holder != asset && assets[*holder as usize].united.is_none());
            value.holders.push(asset);
            if value.holders.len() > HOLDERS {
                value.holders.remove(0);
            }
        }
    }

    fn share(&mut self, number: u32, reason: &'static str) {
        let value = &mut self.values[number as usize];
        value.shared = Some(reason);
        value.holders = Vec::new();
        self.told.remove(&number);
    }

    /// Carries out what follows from an assignment.
    fn follow(&mut self, asset: u32, assignment: &Assignment) {
        for lesson in &assignment.lessons {
            if !self.never_shared.contains(&lesson.identifier)
                && let Some(number) = self.numbers.get(&lesson.identifier)
            {
                self.share(*number, lesson.reason);
            }
        }
        for replacement in &assignment.replacements {
            let number = |id: &Option<AssetId>| id.as_ref().map_or(asset, |id| self.resolve(self.by_id[id]));
            let old = number(&replacement.asset);
            let new = match &replacement.place {
                Place::Taken { by, .. } => Some(number(by)),
                Place::Its => None,
            };
            self.assets[old as usize].superseded_by = new;
            self.assets[old as usize].apart.extend(new);
        }
        for merge in &assignment.merges {
            let other = self.resolve(self.by_id[&merge.asset]);
            self.unite(self.resolve(asset), other);
        }
    }

    /// Makes two assets one. The older one's id stays; the other one's leads to it.
    fn unite(&mut self, one: u32, other: u32) {
        // Asked once more as both are now: a lesson or a merge since may speak against it.
        if one == other || unite(&self.known(one), &self.known(other)).is_none() {
            return;
        }
        let (older, younger) = (one.min(other), one.max(other));
        let gone = &mut self.assets[younger as usize];
        gone.united = Some(older);
        let (held, apart) = (std::mem::take(&mut gone.held), std::mem::take(&mut gone.apart));
        let (os, last_seen) = (gone.os.take(), gone.last_seen);
        for (number, span) in held {
            self.hold_one(older, number, span);
        }
        let kept = &mut self.assets[older as usize];
        kept.apart.extend(apart);
        kept.os = kept.os.take().or(os);
        kept.last_seen = kept.last_seen.max(last_seen);
    }
}
