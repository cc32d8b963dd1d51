//! A part of a network.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Addresses that begin alike: `10.1.0.0/16`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it. Addresses of the other family are not.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                shift == 32 || network.to_bits() >> shift == address.to_bits() >> shift
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                shift == 128 || network.to_bits() >> shift == address.to_bits() >> shift
            }
            _ => false,
        }
    }

    /// The addresses that begin with the first `bits` of `address`.
    pub(crate) fn new(address: IpAddr, bits: u8) -> Self {
        Self { address, bits }
    }

    /// One address.
    pub fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether its addresses are those of IPv4.
    pub fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether every address of the other is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    /// Whether the two have an address in common. Two networks never overlap in part: one is in the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Whether it is every address of its family.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no network: write 10.1.0.0/16");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.trim().parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?;
        Ok(Self { address, bits })
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_begin_alike_are_in_it() {
        let network = |text: &str| Network::try_from(text.to_owned());
        let has = |net: &str, address: &str| network(net).unwrap().contains(address.parse().unwrap());
        assert!(has("10.1.0.0/16", "10.1.255.7") && has("10.1.3.4/16", "::ffff:10.1.0.1"));
        assert!(!has("10.1.0.0/16", "10.2.0.1") && !has("10.1.0.0/16", "2001:db8::1"));
        assert!(has("0.0.0.0/0", "8.8.8.8") && has("10.0.0.7/32", "10.0.0.7"));
        assert!(!has("10.0.0.7/32", "10.0.0.8"));
        assert!(has("2001:db8::/32", "2001:db8:1::1") && !has("2001:db8::/32", "2001:db9::1"));
        assert!(has("::/0", "2001:db9::1"));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "ten/8", "::/129", "10.0.0.0/-1"] {
            assert!(network(wrong).unwrap_err().contains("10.1.0.0/16"), "{wrong}");
        }
        let covers = |one: &str, other: &str| network(one).unwrap().covers(&network(other).unwrap());
        assert!(covers("10.0.0.0/8", "10.1.0.0/16") && !covers("10.1.0.0/16", "10.0.0.0/8"));
        assert!(covers("0.0.0.0/0", "0.0.0.0/0") && !covers("0.0.0.0/0", "::/0"));
        let (wide, narrow) = (network("10.0.0.0/8").unwrap(), network("10.1.0.0/16").unwrap());
        assert!(wide.overlaps(&narrow) && narrow.overlaps(&wide));
        assert!(!narrow.overlaps(&network("10.2.0.0/16").unwrap()));
        assert_eq!(Network::host("::ffff:10.0.0.7".parse().unwrap()).to_string(), "10.0.0.7/32");
        assert_eq!(String::from(network("10.1.0.0/16").unwrap()), "10.1.0.0/16");
    }
}
