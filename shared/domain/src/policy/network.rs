//! A part of a network.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Addresses that begin alike: `10.1.0.0/16`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
        format!("{}/{}", network.address, network.bits)
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
        assert_eq!(String::from(network("10.1.0.0/16").unwrap()), "10.1.0.0/16");
    }
}
