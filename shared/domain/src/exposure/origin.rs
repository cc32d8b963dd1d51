//! Whose the networks are from which a rule lets traffic come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::policy::Network;
use crate::vulnerability::Exposure;

/// Networks that nobody outside can send from: RFC 1918, 6598, 3927, 4193, 4291.
const PRIVATE: [(IpAddr, u8); 9] = [
    (v4(10, 0), 8),
    (v4(172, 16), 12),
    (v4(192, 168), 16),
    (v4(100, 64), 10),
    (v4(169, 254), 16),
    (v4(127, 0), 8),
    (v6(0xfc00, 0), 7),
    (v6(0xfe80, 0), 10),
    (v6(0, 1), 128),
];

const fn v4(a: u8, b: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, 0, 0))
}

const fn v6(first: u16, last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last))
}

/// Private networks, one after the other.
fn private() -> impl Iterator<Item = Network> {
    PRIVATE.into_iter().map(|(address, bits)| Network::new(address, bits))
}

/// Whether nobody outside can send from this network.
pub fn is_private(network: &Network) -> bool {
    private().any(|private| private.covers(network))
}

/// Which networks are whose. What is neither private nor listed is the internet's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Networks<'a> {
    /// The partners'.
    pub partner: &'a [Network],
    /// The organisation's own, beyond private ones: the public addresses of its offices.
    pub internal: &'a [Network],
}

/// One who may send from a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Who.
    pub exposure: Exposure,
    /// The part of the network that is the sender's.
    pub network: Network,
    /// It sends from public addresses, and so to public ones alone; others send to private ones.
    pub is_public: bool,
}

impl Origin {
    /// The sender in words.
    pub fn words(&self) -> String {
        match self.exposure {
            Exposure::Internet => "internet".to_owned(),
            Exposure::Partner => format!("partner network {}", self.network),
            Exposure::Internal | Exposure::Isolated => "internal network".to_owned(),
        }
    }
}

impl Networks<'_> {
    /// Everyone who may send from this network, the farthest first. `inside`: addresses of machines of ours, which make a
    /// network that has them an internal one, whatever its range.
    pub fn origins(&self, from: Network, inside: impl Fn(&Network) -> bool) -> Vec<Origin> {
        let origin =
            |exposure, network: Network| Origin { exposure, network, is_public: !is_private(&network) };
        let narrower = |listed: &Network| if listed.covers(&from) { from } else { *listed };
        let is_known =
            is_private(&from) || self.partner.iter().chain(self.internal).any(|listed| listed.covers(&from));
        let mut all = Vec::new();
        if !is_known {
            all.push(origin(Exposure::Internet, from));
        }
        let partners = self.partner.iter().filter(|listed| listed.overlaps(&from));
        all.extend(partners.map(|listed| origin(Exposure::Partner, narrower(listed))));
        let own = self.internal.iter().filter(|listed| listed.overlaps(&from));
        all.extend(own.map(|listed| origin(Exposure::Internal, narrower(listed))));
        if let Some(range) = private().find(|range| range.overlaps(&from)) {
            all.push(origin(Exposure::Internal, narrower(&range)));
        } else if inside(&from) {
            all.push(Origin { exposure: Exposure::Internal, network: from, is_public: false });
        }
        all.sort_by_key(|origin| std::cmp::Reverse(origin.exposure));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_of_everyone_who_has_a_part_of_it() {
        let net = |text: &str| Network::try_from(text.to_owned()).unwrap();
        let (partner, internal) = ([net("203.0.113.0/24"), net("10.200.0.0/16")], [net("198.51.100.0/24")]);
        let networks = Networks { partner: &partner, internal: &internal };
        let who = |text: &str| -> Vec<(Exposure, bool)> {
            let origins = networks.origins(net(text), |_| false);
            origins.iter().map(|origin| (origin.exposure, origin.is_public)).collect()
        };
        use Exposure::{Internal, Internet, Partner};
        assert_eq!(who("10.1.0.0/16"), [(Internal, false)]);
        assert_eq!(who("203.0.113.7/32"), [(Partner, true)]);
        assert_eq!(who("10.0.0.0/8"), [(Partner, false), (Internal, false)]);
        assert_eq!(who("198.51.100.9/32"), [(Internal, true)]);
        assert_eq!(who("8.8.8.8/32"), [(Internet, true)]);
        assert_eq!(
            who("0.0.0.0/0"),
            [(Internet, true), (Partner, true), (Partner, false), (Internal, true), (Internal, false)]
        );
        assert_eq!(who("::/0"), [(Internet, true), (Internal, false)]);
        assert_eq!(who("fd00::/8"), [(Internal, false)]);
        let ours = networks.origins(net("172.40.0.0/16"), |_| true);
        assert_eq!(ours.iter().map(|origin| origin.exposure).collect::<Vec<_>>(), [Internet, Internal]);
    }
}
