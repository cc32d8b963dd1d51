//! Imported firewall rules: who is let in to which addresses. The first rule that matches wins; what none matches is
//! refused.
//!
//! **What a list cannot say.** A firewall does not see what passes inside of a network. That an address is refused to
//! everybody does therefore not make a machine isolated: only a rule that refuses it to the internal network by name does.

mod read;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Networks, PortReach, Ports, Protocol, Reach, ReachSource};
use crate::policy::Network;
use crate::vulnerability::Exposure;

pub use read::{COLUMNS, RowError};

/// Most rules of one list.
pub const MOST_RULES: usize = 5_000;

/// The rules of one network scope, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleList {
    /// The rules.
    pub rules: Vec<FirewallRule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallRule {
    /// Its place: rules are tried from the lowest to the highest.
    pub order: u32,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whose traffic.
    pub sources: Vec<Sender>,
    /// To where; none: everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<Network>,
    /// Which.
    pub ports: Vec<Ports>,
    /// Whether it is let through.
    pub allow: bool,
}

/// Whose traffic a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// Everybody's.
    Any,
    /// That of everybody out there, of partners, or of the internal network.
    Zone(Exposure),
    /// That of a network.
    Network(Network),
}

/// A part of whose traffic a rule is about, which other rules may cover.
struct Part {
    exposure: Exposure,
    /// `None`: everybody of that sort.
    network: Option<Network>,
}

impl Sender {
    /// Its parts, one for each sort of sender.
    fn parts(&self, networks: Networks<'_>) -> Vec<Part> {
        let zone = |exposure| Part { exposure, network: None };
        match self {
            Self::Any => [Exposure::Internet, Exposure::Partner, Exposure::Internal].map(zone).into(),
            Self::Zone(exposure) => vec![zone(*exposure)],
            Self::Network(network) if network.is_everything() => Self::Any.parts(networks),
            Self::Network(network) => {
                let origins = networks.origins(*network, |_| false).into_iter();
                origins.map(|o| Part { exposure: o.exposure, network: Some(*network) }).collect()
            }
        }
    }

    /// Whether all traffic of the part is its own too.
    fn covers(&self, part: &Part) -> bool {
        match self {
            Self::Any => true,
            Self::Zone(exposure) => *exposure == part.exposure,
            Self::Network(network) if network.is_everything() => true,
            Self::Network(network) => part.network.is_some_and(|of| network.covers(&of)),
        }
    }

    /// Whether its traffic can go to this address: a network sends to its own family.
    fn speaks_with(&self, address: IpAddr) -> bool {
        match self {
            Self::Any | Self::Zone(_) => true,
            Self::Network(network) => network.is_v4() == address.to_canonical().is_ipv4(),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Any => "anybody".to_owned(),
            Self::Zone(exposure) => zone_of(*exposure).to_owned(),
            Self::Network(network) => network.to_string(),
        }
    }

    /// Whether it names the internal network, and does not merely have it in it.
    fn is_internal(&self, networks: Networks<'_>) -> bool {
        match self {
            Self::Any => false,
            Self::Zone(exposure) => *exposure == Exposure::Internal,
            Self::Network(_) => self.parts(networks).iter().all(|part| part.exposure == Exposure::Internal),
        }
    }
}

/// The words for a zone, as a list writes them.
fn zone_of(exposure: Exposure) -> &'static str {
    match exposure {
        Exposure::Internet => "internet",
        Exposure::Partner => "partner",
        Exposure::Internal => "internal",
        Exposure::Isolated => "nobody",
    }
}

impl FirewallRule {
    fn leads_to(&self, address: IpAddr) -> bool {
        self.destinations.is_empty() || self.destinations.iter().any(|network| network.contains(address))
    }

    fn words(&self) -> String {
        let name = if self.name.is_empty() { String::new() } else { format!(" \"{}\"", self.name) };
        format!("firewall rule {}{name}", self.order)
    }
}

/// A list with more rules than are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} rules are more than the {MOST_RULES} of one list: leave out what does not lead to machines")]
pub struct TooMany(usize);

/// Rows that cannot be read, by their place, with what is wrong.
pub type Refused = Vec<(u64, String)>;

impl RuleList {
    /// Reads rows, each with its place, and puts the rules into their order. A row that cannot be read fails alone.
    pub fn read(rows: Vec<(u64, Result<Value, String>)>) -> Result<(Self, Refused), TooMany> {
        if rows.len() > MOST_RULES {
            return Err(TooMany(rows.len()));
        }
        let (mut rules, mut refused) = (Vec::new(), Vec::new());
        for ((place, row), number) in rows.into_iter().zip(1..) {
            let read = |row: Value| FirewallRule::read(&row, number).map_err(|error| error.to_string());
            match row.and_then(read) {
                Ok(rule) => rules.push(rule),
                Err(problem) => refused.push((place, problem)),
            }
        }
        Ok((Self::new(rules), refused))
    }

    /// Puts rules into their order.
    pub fn new(mut rules: Vec<FirewallRule>) -> Self {
        rules.sort_by_key(|rule| rule.order);
        Self { rules }
    }

    /// These rules and the other's, in their order.
    pub fn with(mut self, other: Self) -> Result<Self, TooMany> {
        self.rules.extend(other.rules);
        if self.rules.len() > MOST_RULES { Err(TooMany(self.rules.len())) } else { Ok(Self::new(self.rules)) }
    }

    /// Who can reach a machine with these addresses. `None`: the rules say nothing of it.
    pub fn reach(
        &self,
        scope: &str,
        addresses: impl IntoIterator<Item = IpAddr>,
        networks: Networks<'_>,
        at: Timestamp,
    ) -> Option<Reach> {
        let (mut openings, mut refused) = (Vec::new(), None);
        for address in addresses {
            let rules: Vec<_> = self.rules.iter().filter(|rule| rule.leads_to(address)).collect();
            for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.allow) {
                openings.extend(open(rule, &rules[..place], address, networks));
            }
            let isolates = |rule: &&&FirewallRule| {
                let all = Ports::all(Protocol::Any);
                !rule.allow
                    && rule.ports.contains(&all)
                    && rule.sources.iter().any(|s| s.is_internal(networks))
            };
            let words =
                |rule: &&FirewallRule| format!("{} refuses {address} to the internal network", rule.words());
            refused = refused.or_else(|| rules.iter().find(isolates).map(words));
        }
        let source = ReachSource::Firewall { scope: scope.to_owned() };
        match (openings.is_empty(), refused) {
            (false, _) => Some(Reach::of(source, openings, "", at)),
            (true, Some(words)) => Some(Reach::of(source, openings, &words, at)),
            (true, None) => None,
        }
    }
}

/// What a rule lets through to an address, without what rules before it refuse.
fn open(
    rule: &FirewallRule,
    before: &[&FirewallRule],
    address: IpAddr,
    networks: Networks<'_>,
) -> Vec<PortReach> {
    let mut all = Vec::new();
    for sender in rule.sources.iter().filter(|sender| sender.speaks_with(address)) {
        for part in sender.parts(networks) {
            let refusing = || {
                let denies = before.iter().filter(|rule| !rule.allow);
                let covers = |sender: &Sender| sender.speaks_with(address) && sender.covers(&part);
                denies.filter(move |rule| rule.sources.iter().any(covers))
            };
            for ports in &rule.ports {
                let refused = refusing().flat_map(|rule| rule.ports.iter().copied());
                all.extend(ports.without(refused).into_iter().map(|ports| PortReach {
                    ports,
                    exposure: part.exposure,
                    path: format!(
                        "{} -> {address}, {ports}; {} allows it from {}",
                        zone_of(part.exposure),
                        rule.words(),
                        sender.words()
                    ),
                }));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
