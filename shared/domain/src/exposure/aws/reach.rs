//! From the snapshot to who can reach each instance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;

use super::front::Fronts;
use super::{Interface, SecurityGroup, Snapshot, Source};
use crate::exposure::origin::Origin;
use crate::exposure::{Networks, PortReach, Ports, Protocol, Reach, ReachSource};
use crate::policy::Network;
use crate::vulnerability::Exposure;

/// Words for an instance that nobody can reach.
const CLOSED: &str = "no security group of it lets anybody in, and no load balancer leads to it";

/// Who can reach each instance, by its id.
pub fn reach(snapshot: &Snapshot, networks: Networks<'_>, at: Timestamp) -> BTreeMap<String, Reach> {
    let rules = Rules::new(snapshot, networks);
    let fronts = Fronts::new(&rules);
    let mut openings: BTreeMap<&str, Vec<PortReach>> =
        snapshot.instances.iter().map(|id| (id.as_str(), Vec::new())).collect();
    for interface in &snapshot.interfaces {
        let Some(instance) = interface.instance.as_deref() else { continue };
        let Some(known) = openings.get_mut(instance) else { continue };
        known.extend(rules.direct(interface, instance));
        known.extend(fronts.behind(interface, instance));
    }
    let source = ReachSource::Aws { account: snapshot.account.clone(), region: snapshot.region.clone() };
    openings
        .into_iter()
        .map(|(id, openings)| (id.to_owned(), Reach::of(source.clone(), openings, CLOSED, at)))
        .collect()
}

/// Which addresses something has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Addressed {
    pub private_v4: bool,
    pub public_v4: bool,
    pub v6: bool,
}

impl Addressed {
    fn of(interface: &Interface) -> Self {
        Self {
            private_v4: !interface.private.is_empty(),
            public_v4: !interface.public.is_empty(),
            v6: !interface.v6.is_empty(),
        }
    }

    /// Whether there is an address here that the sender can send to.
    fn answers(self, origin: &Origin) -> bool {
        match (origin.network.is_v4(), origin.is_public) {
            (false, _) => self.v6,
            (true, true) => self.public_v4,
            (true, false) => self.private_v4,
        }
    }
}

/// Somebody who is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub ports: Ports,
    pub exposure: Exposure,
    /// Who: `internet`, `members of sg-1 (web)`.
    pub who: String,
    /// The rule: `security group sg-1 (web) allows tcp 22 from 0.0.0.0/0`.
    pub rule: String,
}

/// The rules of a snapshot, with what is asked often.
pub(super) struct Rules<'a> {
    pub snapshot: &'a Snapshot,
    /// Who may send from each network that a rule names, the farthest first.
    origins: BTreeMap<Network, Vec<Origin>>,
    /// Instances, or interfaces of something else, with a security group.
    members: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Rules<'a> {
    fn new(snapshot: &'a Snapshot, networks: Networks<'_>) -> Self {
        let mut members: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for interface in &snapshot.interfaces {
            let member = interface.instance.as_deref().unwrap_or(&interface.id);
            for group in &interface.groups {
                members.entry(group).or_default().insert(member);
            }
        }
        let mut rules = Self { snapshot, origins: BTreeMap::new(), members };
        let named: BTreeSet<Network> = snapshot
            .groups
            .values()
            .flat_map(|group| &group.ingress)
            .flat_map(|rule| &rule.sources)
            .flat_map(|source| rules.networks_of(source))
            .chain(everywhere())
            .collect();
        let ours: Vec<IpAddr> = snapshot.interfaces.iter().flat_map(|i| i.private.iter().copied()).collect();
        let inside = |network: &Network| ours.iter().any(|address| network.contains(*address));
        rules.origins = named.into_iter().map(|net| (net, networks.origins(net, inside))).collect();
        rules
    }

    /// The networks of a source. A prefix list that is not known may have any.
    pub fn networks_of(&self, source: &Source) -> Vec<Network> {
        match source {
            Source::Network(network) => vec![*network],
            Source::PrefixList(id) => {
                self.snapshot.prefix_lists.get(id).cloned().unwrap_or_else(|| everywhere().to_vec())
            }
            Source::Group(_) => Vec::new(),
        }
    }

    /// The security groups of these ids, as far as they are known.
    pub fn named<'g>(
        &'g self,
        groups: &'g [String],
    ) -> impl Iterator<Item = (&'g str, &'g SecurityGroup)> + 'g {
        groups.iter().filter_map(|id| Some((id.as_str(), self.snapshot.groups.get(id)?)))
    }

    /// Everyone whom these security groups let in to something with these addresses. `owner`: who that is, which does
    /// not count as a member of its own groups.
    pub fn openings(&self, groups: &[String], addressed: Addressed, owner: &str) -> Vec<Opening> {
        let mut all = Vec::new();
        for (id, group) in self.named(groups) {
            for rule in &group.ingress {
                for source in &rule.sources {
                    let told = self.sender(source, addressed, owner);
                    all.extend(told.map(|(exposure, who, from)| Opening {
                        ports: rule.ports,
                        exposure,
                        who,
                        rule: format!(
                            "security group {} allows {} from {from}",
                            words(id, group),
                            rule.ports
                        ),
                    }));
                }
            }
        }
        all
    }

    /// Everyone who can send to something that has no security groups at all.
    pub fn unguarded(&self, addressed: Addressed) -> Vec<Opening> {
        let open = |network: &Network| {
            let origin = self.farthest(network, addressed)?;
            Some(Opening {
                ports: Ports::all(Protocol::Any),
                exposure: origin.exposure,
                who: origin.words(),
                rule: "without a security group everybody is let in".to_owned(),
            })
        };
        everywhere().iter().filter_map(open).collect()
    }

    /// The farthest who is let in by a source: how far, who, and the source in words.
    fn sender(
        &self,
        source: &Source,
        addressed: Addressed,
        owner: &str,
    ) -> Option<(Exposure, String, String)> {
        if let Source::Group(id) = source {
            // Of a group of another account nothing is known: it may have members.
            let known = self.snapshot.groups.get(id);
            let members = self.members.get(id.as_str());
            let others = members.is_some_and(|members| members.iter().any(|member| *member != owner));
            let name = known.map_or_else(|| id.clone(), |group| words(id, group));
            let told = || (Exposure::Internal, format!("members of {name}"), id.clone());
            return (known.is_none() || others).then(told);
        }
        let networks = self.networks_of(source);
        let told = networks.iter().filter_map(|network| Some((self.farthest(network, addressed)?, network)));
        let (origin, network) = told.max_by_key(|(origin, _)| origin.exposure)?;
        let from = match source {
            Source::PrefixList(id) if self.snapshot.prefix_lists.contains_key(id) => {
                format!("prefix list {id} with {network}")
            }
            Source::PrefixList(id) => format!("prefix list {id}, whose entries are not known"),
            _ => network.to_string(),
        };
        Some((origin.exposure, origin.words(), from))
    }

    fn farthest(&self, network: &Network, addressed: Addressed) -> Option<&Origin> {
        self.origins.get(network)?.iter().find(|origin| addressed.answers(origin))
    }

    /// What reaches an interface by itself.
    fn direct(&self, interface: &Interface, instance: &str) -> Vec<PortReach> {
        let path = |opening: Opening| {
            let address = match opening.exposure {
                Exposure::Internet => interface.public.first().or(interface.v6.first()),
                _ => None,
            };
            let at = address.map(|address| format!(" at {address}")).unwrap_or_default();
            let path = format!("{} -> {instance}{at}, {}; {}", opening.who, opening.ports, opening.rule);
            PortReach { ports: opening.ports, exposure: opening.exposure, path }
        };
        self.openings(&interface.groups, Addressed::of(interface), instance).into_iter().map(path).collect()
    }
}

/// Every network there is.
fn everywhere() -> [Network; 2] {
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
        .map(|address| Network::new(address, 0))
}

fn words(id: &str, group: &SecurityGroup) -> String {
    if group.name.is_empty() { id.to_owned() } else { format!("{id} ({})", group.name) }
}
