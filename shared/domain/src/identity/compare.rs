//! What two sets of identifiers say of each other, kind by kind.

use std::collections::{BTreeMap, BTreeSet};

use super::identifier::{Identifier, IdentifierKind};
use super::stop;
use super::{Known, Observation};

/// What one kind of identifier says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// One side has none, or the two are of different scopes and cannot be compared.
    Unknown,
    /// They share one.
    Agree,
    /// Both have some and share none.
    Differ,
}

/// A family of operating systems; two families are two installations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OsFamily {
    Windows,
    Linux,
    Mac,
    Bsd,
    Esx,
    Unix,
    Network,
}

/// An observation held against one asset.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    /// The asset.
    pub known: &'a Known,
    /// Identifiers that both have.
    pub agreeing: BTreeSet<&'a Identifier>,
    pub cloud: Relation,
    /// The same instance id, in another account or region.
    pub foreign_twin: bool,
    pub agent: Relation,
    pub bios: Relation,
    pub serial: Relation,
    /// Strong hardware addresses.
    pub mac: Relation,
    /// Both have strong hardware addresses that the other lacks.
    pub macs_beyond: bool,
    /// Strong hardware addresses on both sides, all of hypervisors, and none in common.
    pub other_virtual_macs: bool,
    /// One side is a virtual machine, as its serial number or its hardware addresses tell.
    pub is_virtual: bool,
    /// A locally administered hardware address in common.
    pub weak_mac: bool,
    pub fqdn: Relation,
    /// Host names, and what NetBIOS left of them.
    pub name: Relation,
    /// The name in common is what NetBIOS left of a longer one; other names may begin like that.
    pub name_is_cut: bool,
    /// An address in common, whenever that was.
    pub address: bool,
    /// An address in common that may stand for a machine: seen at about the same time, not moved by a cloud.
    pub address_in_window: bool,
    /// Nothing but addresses was observed, and one of them the asset has had for long.
    pub kept_address: bool,
    pub os: Relation,
    /// Neither side has anything but addresses.
    pub addresses_only: bool,
}

impl<'a> Comparison<'a> {
    pub fn new(seen: &'a Observation, known: &'a Known) -> Self {
        let (ours, theirs) = (&seen.identifiers, &known.identifiers);
        let clouds = Clouds::compare(ours, theirs);
        let agreeing: BTreeSet<&Identifier> = ours
            .intersection(theirs)
            .filter(|id| id.kind != IdentifierKind::Cloud || clouds.agreeing.contains(id.value.as_str()))
            .collect();
        let of = |kind| by(ours, theirs, |id| id.kind == kind && id.is_strong());
        let beyond = |mine: &BTreeSet<Identifier>, other: &BTreeSet<Identifier>| {
            mine.difference(other).any(|id| id.kind == IdentifierKind::Mac && id.is_strong())
        };
        let in_cloud = |side: &BTreeSet<Identifier>| side.iter().any(|id| id.kind == IdentifierKind::Cloud);
        let cloud_is_known = in_cloud(ours) || in_cloud(theirs);
        let fixed = |id: &Identifier| !cloud_is_known || !id.value.parse().is_ok_and(stop::is_public);
        let addresses = || agreeing.iter().filter(|id| id.kind == IdentifierKind::Ip);
        let only_addresses =
            |side: &BTreeSet<Identifier>| side.iter().all(|id| id.kind == IdentifierKind::Ip);
        let mac = of(IdentifierKind::Mac);
        let name = names(ours, theirs);
        let only_virtual = |side: &BTreeSet<Identifier>| {
            side.iter()
                .filter(|id| id.kind == IdentifierKind::Mac && id.is_strong())
                .all(Identifier::is_virtual)
        };
        Self {
            known,
            cloud: clouds.relation,
            foreign_twin: clouds.foreign_twin,
            agent: agents(ours, theirs),
            bios: of(IdentifierKind::BiosUuid),
            serial: of(IdentifierKind::Serial),
            mac,
            macs_beyond: beyond(ours, theirs) && beyond(theirs, ours),
            other_virtual_macs: mac == Relation::Differ && only_virtual(ours) && only_virtual(theirs),
            is_virtual: ours.iter().chain(theirs).any(Identifier::is_virtual),
            weak_mac: agreeing.iter().any(|id| id.kind == IdentifierKind::Mac && !id.is_strong()),
            fqdn: of(IdentifierKind::Fqdn),
            name,
            name_is_cut: name == Relation::Agree && of(IdentifierKind::Hostname) != Relation::Agree,
            address: addresses().next().is_some(),
            address_in_window: addresses().any(|id| fixed(id) && known.had(id, seen.observed_at)),
            kept_address: only_addresses(ours)
                && addresses().any(|id| {
                    !id.value.parse().is_ok_and(stop::is_public) && known.kept(id, seen.observed_at)
                }),
            os: os_families(seen.os.as_deref(), known.os.as_deref()),
            addresses_only: only_addresses(ours) && only_addresses(theirs),
            agreeing,
        }
    }

    /// A name in common, of the fullest kind that both sides have.
    pub fn name_agrees(&self) -> bool {
        match self.fqdn {
            Relation::Agree => true,
            Relation::Differ => false,
            Relation::Unknown => self.name == Relation::Agree,
        }
    }

    /// Names on both sides, none in common.
    pub fn name_differs(&self) -> bool {
        self.fqdn != Relation::Agree && (self.name == Relation::Differ || self.fqdn == Relation::Differ)
    }

    /// Something in common that is a machine's own.
    pub fn has_own_in_common(&self) -> bool {
        [self.cloud, self.agent, self.bios, self.serial, self.mac].contains(&Relation::Agree)
    }

    /// Another name, and nothing of the machine itself agrees.
    pub fn is_of_another_name(&self) -> bool {
        !self.has_own_in_common() && self.name_differs()
    }

    /// Number of tiers below `tier` in which both agree.
    pub fn agreeing_below(&self, tier: u8) -> usize {
        let tiers: BTreeSet<u8> = self
            .agreeing
            .iter()
            .filter(|id| id.kind != IdentifierKind::Ip || self.address_in_window)
            .map(|id| id.kind.tier())
            .filter(|other| *other > tier)
            .collect();
        tiers.len()
    }

    /// Values in common that could not come from one another: each strong hardware address, a full name or, beside a
    /// hardware address, a host name that is not cut, and an address at the time.
    pub fn independent(&self) -> usize {
        let macs = self.agreeing.iter().filter(|id| id.kind == IdentifierKind::Mac && id.is_strong()).count();
        let is_named =
            if macs > 0 { self.name_agrees() && !self.name_is_cut } else { self.fqdn == Relation::Agree };
        macs + usize::from(is_named) + usize::from(self.address_in_window)
    }

    /// What both have of these kinds.
    pub fn agreeing_of(&self, kinds: &[IdentifierKind]) -> Vec<Identifier> {
        self.agreeing.iter().filter(|id| kinds.contains(&id.kind)).map(|id| (*id).clone()).collect()
    }
}

/// The relation of those identifiers that `concerns` picks. Equal values of different scopes neither agree nor differ.
fn by(
    ours: &BTreeSet<Identifier>,
    theirs: &BTreeSet<Identifier>,
    concerns: impl Fn(&Identifier) -> bool,
) -> Relation {
    let mine: Vec<&Identifier> = ours.iter().filter(|id| concerns(id)).collect();
    let others: Vec<&Identifier> = theirs.iter().filter(|id| concerns(id)).collect();
    if mine.is_empty() || others.is_empty() {
        Relation::Unknown
    } else if mine.iter().any(|id| others.contains(id)) {
        Relation::Agree
    } else if mine.iter().any(|id| others.iter().any(|other| other.value == id.value)) {
        Relation::Unknown
    } else {
        Relation::Differ
    }
}

/// Agent ids are compared within one vendor; one that agrees outweighs another vendor's that differs.
fn agents(ours: &BTreeSet<Identifier>, theirs: &BTreeSet<Identifier>) -> Relation {
    let of_vendor =
        |vendor: &str| by(ours, theirs, |id| id.kind == IdentifierKind::Agent && id.scope == vendor);
    let vendors: BTreeSet<&str> =
        ours.iter().filter(|id| id.kind == IdentifierKind::Agent).map(|id| id.scope.as_str()).collect();
    strongest(vendors.into_iter().map(of_vendor))
}

/// Host names decide where both sides have them; what NetBIOS left of a name only where one side has no more than that.
fn names(ours: &BTreeSet<Identifier>, theirs: &BTreeSet<Identifier>) -> Relation {
    let whole = by(ours, theirs, |id| id.kind == IdentifierKind::Hostname);
    if whole != Relation::Unknown {
        return whole;
    }
    let cut = by(ours, theirs, |id| id.kind == IdentifierKind::Netbios);
    if cut == Relation::Agree {
        return cut;
    }
    by(ours, theirs, |id| matches!(id.kind, IdentifierKind::Hostname | IdentifierKind::Netbios))
}

fn strongest(relations: impl Iterator<Item = Relation>) -> Relation {
    relations.fold(Relation::Unknown, |all, one| match (all, one) {
        (Relation::Agree, _) | (_, Relation::Agree) => Relation::Agree,
        (Relation::Differ, _) | (_, Relation::Differ) => Relation::Differ,
        _ => Relation::Unknown,
    })
}

/// Whether both are instances of a cloud, and not the same, nor the same id in two accounts.
pub(super) fn are_two_instances(one: &BTreeSet<Identifier>, other: &BTreeSet<Identifier>) -> bool {
    let clouds = Clouds::compare(one, other);
    clouds.relation == Relation::Differ && !clouds.foreign_twin
}

/// Instance ids with the accounts and regions that are told of each.
struct Clouds<'a> {
    relation: Relation,
    foreign_twin: bool,
    agreeing: BTreeSet<&'a str>,
}

#[derive(Default)]
struct Whereabouts<'a> {
    accounts: BTreeSet<&'a str>,
    regions: BTreeSet<&'a str>,
}

impl<'a> Clouds<'a> {
    fn compare(ours: &'a BTreeSet<Identifier>, theirs: &'a BTreeSet<Identifier>) -> Self {
        let (mine, others) = (Self::whereabouts(ours), Self::whereabouts(theirs));
        let common: Vec<(&str, bool)> = mine
            .iter()
            .filter_map(|(id, here)| others.get(id).map(|there| (*id, here.contradicts(there))))
            .collect();
        let agreeing: BTreeSet<&str> =
            common.iter().filter(|(_, contradicted)| !contradicted).map(|(id, _)| *id).collect();
        // Only ids of one form are comparable: a virtual machine of Azure has a UUID and a path.
        let comparable = mine.keys().any(|id| others.keys().any(|other| form(id) == form(other)));
        let relation = match (agreeing.is_empty(), comparable) {
            (false, _) => Relation::Agree,
            (true, true) => Relation::Differ,
            (true, false) => Relation::Unknown,
        };
        Self { relation, foreign_twin: agreeing.is_empty() && !common.is_empty(), agreeing }
    }

    fn whereabouts(side: &'a BTreeSet<Identifier>) -> BTreeMap<&'a str, Whereabouts<'a>> {
        let mut all: BTreeMap<&str, Whereabouts> = BTreeMap::new();
        for id in side.iter().filter(|id| id.kind == IdentifierKind::Cloud) {
            let told = all.entry(&id.value).or_default();
            match id.scope.strip_prefix('@') {
                Some(region) => _ = told.regions.insert(region),
                None if id.scope.is_empty() => {}
                None => _ = told.accounts.insert(&id.scope),
            }
        }
        all
    }
}

impl Whereabouts<'_> {
    /// Both tell an account, or both tell a region, and it is another one.
    fn contradicts(&self, other: &Self) -> bool {
        // A local zone carries its region's name in front.
        let same_region = self
            .regions
            .iter()
            .any(|here| other.regions.iter().any(|there| here.starts_with(there) || there.starts_with(here)));
        let accounts_known = !self.accounts.is_empty() && !other.accounts.is_empty();
        let regions_known = !self.regions.is_empty() && !other.regions.is_empty();
        (accounts_known && self.accounts.is_disjoint(&other.accounts)) || (regions_known && !same_region)
    }
}

/// The provider and the notation of an instance id: `aws:i`, `azure:/`, `azure:uuid`, `gcp:0`.
fn form(value: &str) -> (&str, &str) {
    let (provider, id) = value.split_once(':').unwrap_or(("", value));
    let notation = if id.contains('/') {
        "/"
    } else if id.bytes().all(|b| b.is_ascii_digit()) {
        "0"
    } else if id.len() == 36 && id.bytes().filter(|b| *b == b'-').count() == 4 {
        "uuid"
    } else {
        id.split_once('-').map_or("", |(prefix, _)| prefix)
    };
    (provider, notation)
}

fn os_families(ours: Option<&str>, theirs: Option<&str>) -> Relation {
    match ours.and_then(os_family).zip(theirs.and_then(os_family)) {
        None => Relation::Unknown,
        Some((mine, other)) if mine == other => Relation::Agree,
        Some(_) => Relation::Differ,
    }
}

/// The family of an operating system, where its description names exactly one: scanners that guess list several.
pub(super) fn os_family(text: &str) -> Option<OsFamily> {
    const WORDS: [(OsFamily, &[&str]); 7] = [
        (OsFamily::Windows, &["windows"]),
        (
            OsFamily::Linux,
            &[
                "linux",
                "ubuntu",
                "debian",
                "centos",
                "red hat",
                "rhel",
                "fedora",
                "suse",
                "rocky",
                "android",
                "bottlerocket",
            ],
        ),
        (OsFamily::Mac, &["mac os", "macos", "os x"]),
        (OsFamily::Bsd, &["freebsd", "openbsd", "netbsd"]),
        (OsFamily::Esx, &["esx"]),
        (OsFamily::Unix, &["aix", "solaris", "sunos", "hp-ux"]),
        (OsFamily::Network, &["cisco", "junos", "fortios", "pan-os", "arista", "routeros"]),
    ];
    let text = text.to_lowercase();
    let mut named = WORDS.into_iter().filter(|(_, words)| words.iter().any(|word| text.contains(word)));
    let (family, _) = named.next()?;
    named.next().is_none().then_some(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_that_names_two_systems_names_none() {
        assert_eq!(os_family("Microsoft Windows Server 2022"), Some(OsFamily::Windows));
        assert_eq!(os_family("Ubuntu Linux 22.04"), Some(OsFamily::Linux));
        assert_eq!(os_family("Linux Kernel 2.6 / FreeBSD"), None);
        assert_eq!(os_family("printer"), None);
    }

    #[test]
    fn instance_ids_are_compared_within_one_notation() {
        let azure =
            |id: &str| BTreeSet::from([Identifier::new(IdentifierKind::Cloud, "", format!("azure:{id}"))]);
        let path =
            azure("/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachines/web01");
        let uuid = azure("0f2f5a1e-6f0c-4a86-9f0e-0d2b0f5b7a11");
        assert_eq!(Clouds::compare(&path, &uuid).relation, Relation::Unknown);
        let other = azure("1f2f5a1e-6f0c-4a86-9f0e-0d2b0f5b7a11");
        assert_eq!(Clouds::compare(&other, &uuid).relation, Relation::Differ);
    }
}
