//! Who can reach an asset, told from how the network is set up, with the rule or the path that proves it.
//!
//! | module | reads |
//! | --- | --- |
//! | [`aws`] | security groups, addresses and load balancers of one account and region |
//! | [`firewall`] | an imported list of firewall rules |
//! | [`origin`] | which of the world's networks are whose |
//!
//! **Precedence.** What a person said of this machine (its inventory) comes before the rules of the configuration
//! (`impact`), those before what AWS shows, and that before the imported firewall rules: [`told`].
//!
//! **What cannot be known is taken for open.** Routes, network ACLs and the firewall of the machine itself are not looked
//! at, so that an asset may be less exposed than is said here, and is never more exposed than the rules that were read allow.

pub mod aws;
pub mod firewall;
pub mod origin;
mod ports;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::{Config, exposure_rule};
use crate::vulnerability::{Asset, Exposure};

pub use origin::Networks;
pub use ports::{Ports, Protocol};

/// Ports of one asset that are kept, the most exposed first.
const PORTS: usize = 16;

/// Where a [`Reach`] was read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReachSource {
    /// One account and region of AWS.
    Aws {
        /// The account's number.
        account: String,
        /// The region.
        region: String,
    },
    /// The imported firewall rules of one network scope.
    Firewall {
        /// The scope.
        scope: String,
    },
}

impl ReachSource {
    /// Whether it is of the same kind; an asset keeps one of each.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether it is still asked: what a source said that is not configured any more does not count.
    fn is_configured(&self, config: &Config) -> bool {
        match self {
            Self::Aws { account, region } => config
                .exposure
                .accounts
                .iter()
                .any(|configured| configured.account == *account && configured.regions.contains(region)),
            Self::Firewall { scope } => config.connectors.iter().any(|connector| connector.scope == *scope),
        }
    }
}

impl fmt::Display for ReachSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws { account, region } => write!(f, "AWS account {account}, {region}"),
            Self::Firewall { scope } => write!(f, "the firewall rules of {scope}"),
        }
    }
}

/// From where an asset can be reached, as one source shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Who shows it.
    pub source: ReachSource,
    /// The farthest from which any port can be reached.
    pub exposure: Exposure,
    /// The path that proves it, in words.
    pub path: String,
    /// Ports that can be reached, the most exposed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortReach>,
    /// Ports that were left out because there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// Since when the source shows it so.
    pub seen_at: Timestamp,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// From where some ports can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortReach {
    /// The ports.
    #[serde(flatten)]
    pub ports: Ports,
    /// The farthest from which they can be reached.
    pub exposure: Exposure,
    /// The path that proves it.
    pub path: String,
}

impl Reach {
    /// Out of everything that can be reached. `closed`: the words for an asset of which nothing can.
    fn of(source: ReachSource, mut openings: Vec<PortReach>, closed: &str, at: Timestamp) -> Self {
        let mut ports: Vec<PortReach> = Vec::new();
        // Of several paths to the same ports, the one from farthest away is kept; of equals, always the same.
        let width = |ports: Ports| (ports.protocol, ports.from, std::cmp::Reverse(ports.to));
        openings.sort_by(|a, b| {
            let farther = b.exposure.cmp(&a.exposure);
            farther.then(width(a.ports).cmp(&width(b.ports))).then_with(|| a.path.cmp(&b.path))
        });
        for opening in openings {
            if !ports.iter().any(|wider| wider.ports.covers(&opening.ports)) {
                ports.push(opening);
            }
        }
        let left_out = ports.len().saturating_sub(PORTS);
        ports.truncate(PORTS);
        let (exposure, path) = match ports.first() {
            Some(first) => (first.exposure, first.path.clone()),
            None => (Exposure::Isolated, closed.to_owned()),
        };
        Self { source, exposure, path, ports, left_out, seen_at: at }
    }

    /// Whether it says what the other says, whenever that was.
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { seen_at: other.seen_at, ..self.clone() } == *other
    }
}

/// Puts what a source shows now in the place of what it showed; `None`: it has nothing to say any more. `false`: that
/// changes nothing.
pub fn replace(known: &mut Vec<Reach>, source: &ReachSource, now: Option<Reach>) -> bool {
    let before = known.iter().position(|reach| reach.source.is_like(source));
    match (before, now) {
        (None, None) => return false,
        (Some(at), None) => drop(known.remove(at)),
        (None, Some(now)) => {
            known.push(now);
            known.sort_by(|a, b| a.source.cmp(&b.source));
        }
        (Some(at), Some(now)) => {
            if known[at].says_the_same(&now) {
                return false;
            }
            known[at] = now;
        }
    }
    true
}

/// Who says how exposed an asset is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told<'a> {
    /// The imported inventory.
    Inventory(Exposure),
    /// A rule of `impact`, counted from 1.
    Rule(usize, Exposure),
    /// How the network is set up.
    Reach(&'a Reach),
}

impl Told<'_> {
    /// How exposed.
    pub fn exposure(&self) -> Exposure {
        match self {
            Self::Inventory(exposure) | Self::Rule(_, exposure) => *exposure,
            Self::Reach(reach) => reach.exposure,
        }
    }
}

/// Everyone who says how exposed an asset is. The first one counts.
pub fn told<'a>(asset: &'a Asset, config: &Config) -> Vec<Told<'a>> {
    let imported = asset.inventory.as_ref().and_then(|known| known.exposure).map(Told::Inventory);
    let rule = exposure_rule(&config.impact, &asset.host).map(|(number, says)| Told::Rule(number, says));
    // Sorted: AWS before the firewall.
    let shown = asset.reach.iter().filter(|reach| reach.source.is_configured(config)).map(Told::Reach);
    imported.into_iter().chain(rule).chain(shown).collect()
}

#[cfg(test)]
mod tests;
