//! What one scanner says of one host.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The identity that a cloud gives to a machine. Compared as a whole: the same instance id in two accounts is two machines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CloudId {
    /// `aws`, `azure` or `gcp`.
    pub provider: String,
    /// Account, subscription or project, where the scanner tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Region or zone, where the scanner tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Instance or virtual machine id.
    pub id: String,
}

/// A key and a value that somebody attached to the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// The key, or the whole tag where the scanner knows no values.
    pub key: String,
    /// The value; empty where the scanner knows none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

impl Tag {
    /// A tag from its text: `team=payments`, `team:payments`, or just `payments`.
    pub fn parse(text: &str) -> Self {
        let (key, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
        Self { key: key.trim().to_owned(), value: value.trim().to_owned() }
    }
}

/// A network card, or what the scanner takes for one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// Its hardware addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<String>,
}

/// Where the host is in the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// The scanner's id of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What people call the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The host's cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
}

/// A port that answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpenPort {
    /// Its number.
    pub port: u16,
    /// `tcp`, `udp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Something installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Software {
    /// What it is called.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
}

impl Software {
    /// Reads a CPE name, `cpe:/a:openbsd:openssh:8.0` or `cpe:2.3:a:openbsd:openssh:8.0:*:…`. Another text is the name.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fields = text.strip_prefix("cpe:/").or_else(|| text.strip_prefix("cpe:2.3:"));
        let Some(fields) = fields else {
            return (!text.is_empty()).then(|| Self {
                name: text.to_owned(),
                version: None,
                publisher: None,
            });
        };
        let mut fields = fields.split(':').skip(1).map(|field| {
            let plain: Cow<'_, str> = match field.bytes().any(|b| matches!(b, b'\\' | b'_')) {
                true => field.replace(['\\', '_'], " ").into(),
                false => field.into(),
            };
            Some(plain.trim()).filter(|field| !matches!(*field, "" | "*" | "-")).map(str::to_owned)
        });
        let publisher = fields.next().flatten();
        let name = fields.next().flatten()?;
        Some(Self { name, version: fields.next().flatten(), publisher })
    }
}

/// What is long, changes seldom and decides nothing: kept apart from the host, so that a rescan does not pay for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// Where the host is in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Ports that answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_ports: Vec<OpenPort>,
    /// What is installed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub software: Vec<Software>,
    /// How many entries of these lists were left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Details {
    /// Entries of each list that are kept.
    pub const LIMIT: usize = 1_000;

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same with each list in one order, without repetitions, and cut at [`Self::LIMIT`]; `left_out` says so.
    #[must_use]
    pub fn capped(mut self) -> Self {
        fn cap<T: Ord>(list: &mut Vec<T>) -> usize {
            list.sort();
            list.dedup();
            let over = list.len().saturating_sub(Details::LIMIT);
            list.truncate(Details::LIMIT);
            over
        }
        let mut over = cap(&mut self.open_ports) + cap(&mut self.software);
        if let Some(network) = &mut self.network {
            over += cap(&mut network.interfaces);
        }
        self.left_out = self.left_out.saturating_add(u32::try_from(over).unwrap_or(u32::MAX));
        self
    }

    /// A digest of all of it.
    pub fn digest(&self) -> u64 {
        crate::digest(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A normalised host. Lists keep the scanner's order; absent is empty or `None`, never a made-up value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// The scanner's own id of the host.
    #[serde(rename = "asset_key")]
    pub native: String,
    /// Short names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Fully qualified names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fqdns: Vec<String>,
    /// NetBIOS names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub netbios: Vec<String>,
    /// IPv4 and IPv6 addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// Hardware addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<String>,
    /// Cloud identities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cloud: Vec<CloudId>,
    /// Ids that scanner agents gave to the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agent_ids: Vec<String>,
    /// SMBIOS system UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios_uuid: Option<String>,
    /// Serial number of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Operating system as the scanner words it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Criticality 1 (least) to 5 (most), from the scanner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<u8>,
    /// The end of the last vulnerability scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scanned_at: Option<Timestamp>,
    /// Whether that scan could log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentialed: Option<bool>,
    /// Whether only some of its logins worked, where the scanner tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partly_credentialed: Option<bool>,
    /// How many checks that scan had switched on, where the scanner tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<u32>,
    /// Digest of the ports that the scan's policy names, where the scanner tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range: Option<u64>,
    /// Set when the scanner says that the host was deleted or terminated. Not a fix of anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
    /// Where it is in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Ports that answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_ports: Vec<OpenPort>,
    /// What is installed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub software: Vec<Software>,
    /// Entries of the last three that were left out because there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub details_left_out: u32,
}

impl Host {
    /// Takes the details out of the host.
    pub fn take_details(&mut self) -> Details {
        Details {
            network: self.network.take(),
            open_ports: std::mem::take(&mut self.open_ports),
            software: std::mem::take(&mut self.software),
            left_out: std::mem::take(&mut self.details_left_out),
        }
    }

    /// Puts details back where the host has none.
    #[must_use]
    pub fn with_details(self, details: Details) -> Self {
        let Details { network, open_ports, software, left_out } = details;
        self.completed_with(&Self {
            network,
            open_ports,
            software,
            details_left_out: left_out,
            ..Self::default()
        })
    }

    /// This host completed with what `other`, a poorer description of the same host, knows beyond it.
    /// The later scan time of the two counts.
    #[must_use]
    pub fn completed_with(mut self, other: &Self) -> Self {
        fn fill<T: Clone>(mine: &mut Vec<T>, theirs: &[T]) {
            if mine.is_empty() {
                mine.extend_from_slice(theirs);
            }
        }
        fill(&mut self.hostnames, &other.hostnames);
        fill(&mut self.fqdns, &other.fqdns);
        fill(&mut self.netbios, &other.netbios);
        fill(&mut self.ips, &other.ips);
        fill(&mut self.macs, &other.macs);
        fill(&mut self.cloud, &other.cloud);
        fill(&mut self.agent_ids, &other.agent_ids);
        fill(&mut self.tags, &other.tags);
        self.bios_uuid = self.bios_uuid.or_else(|| other.bios_uuid.clone());
        self.serial = self.serial.or_else(|| other.serial.clone());
        self.os = self.os.or_else(|| other.os.clone());
        self.criticality = self.criticality.or(other.criticality);
        if self.credentialed.is_none() {
            (self.credentialed, self.partly_credentialed) = (other.credentialed, other.partly_credentialed);
        }
        self.checks = self.checks.or(other.checks);
        self.port_range = self.port_range.or(other.port_range);
        self.last_scanned_at = self.last_scanned_at.max(other.last_scanned_at);
        self.gone_at = self.gone_at.or(other.gone_at);
        fill(&mut self.open_ports, &other.open_ports);
        fill(&mut self.software, &other.software);
        self.network = self.network.or_else(|| other.network.clone());
        self.details_left_out = self.details_left_out.max(other.details_left_out);
        self
    }

    /// A digest of everything but the scan time, which changes with every scan, the number of checks, which grows with
    /// every update of the scanner, and the ports that were looked at.
    pub fn digest(&self) -> u64 {
        let mut still = self.clone();
        still.last_scanned_at = None;
        still.checks = None;
        still.port_range = None;
        crate::digest(&serde_json::to_vec(&still).unwrap_or_default())
    }

    /// The name a person would use: the shortest of FQDN, host name, NetBIOS name, address, native id that exists.
    pub fn display_name(&self) -> &str {
        [&self.fqdns, &self.hostnames, &self.netbios, &self.ips]
            .into_iter()
            .find_map(|names| names.first())
            .map_or(&self.native, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_richer_description_wins_and_the_poorer_fills_gaps() {
        let inventory = Host { native: "1".into(), fqdns: vec!["a.example".into()], ..Host::default() };
        let scan = Host {
            native: "1".into(),
            fqdns: vec!["b.example".into()],
            ips: vec!["10.0.0.1".into()],
            ..Host::default()
        };
        let both = inventory.completed_with(&scan);
        assert_eq!(both.fqdns, ["a.example"]);
        assert_eq!(both.ips, ["10.0.0.1"]);
    }

    #[test]
    fn a_rescan_alone_does_not_change_the_digest() {
        let host = Host { native: "1".into(), ..Host::default() };
        let later = Host { last_scanned_at: Some("2026-11-22T00:00:00Z".parse().unwrap()), ..host.clone() };
        assert_eq!(host.digest(), later.digest());
    }

    #[test]
    fn software_is_read_out_of_cpe_names() {
        let read = |text: &str| {
            let software = Software::parse(text)?;
            Some((
                software.publisher.unwrap_or_default(),
                software.name,
                software.version.unwrap_or_default(),
            ))
        };
        let of = |publisher: &str, name: &str, version: &str| {
            Some((publisher.to_owned(), name.to_owned(), version.to_owned()))
        };
        assert_eq!(read("cpe:/a:openbsd:openssh:8.0"), of("openbsd", "openssh", "8.0"));
        assert_eq!(read("cpe:/a:google:chrome"), of("google", "chrome", ""));
        assert_eq!(
            read("cpe:2.3:a:tenable:nessus_agent:10.7.2:*:*:*"),
            of("tenable", "nessus agent", "10.7.2")
        );
        assert_eq!(read("7-Zip 23.01"), of("", "7-Zip 23.01", ""));
        assert_eq!(read("cpe:/a"), None);
        assert_eq!(read("  "), None);
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let software = |n: usize| Software { name: format!("p{n:05}"), version: None, publisher: None };
        let details = Details { software: (0..1_250).rev().map(software).collect(), ..Details::default() };
        let capped = details.clone().capped();
        assert_eq!((capped.software.len(), capped.left_out), (1_000, 250));
        assert_eq!(capped.software[0].name, "p00000");
        let mut other_order = details;
        other_order.software.reverse();
        assert_eq!(other_order.capped().digest(), capped.digest(), "the order of a scanner changes nothing");
        let mut host = Host { native: "1".into(), ..Host::default() }.with_details(capped.clone());
        assert_eq!(host.details_left_out, 250);
        assert_eq!(host.take_details(), capped);
        assert_eq!(host, Host { native: "1".into(), ..Host::default() });
    }

    #[test]
    fn tags_split_at_the_first_mark() {
        assert_eq!(Tag::parse("team=payments"), Tag { key: "team".into(), value: "payments".into() });
        assert_eq!(Tag::parse("Cloud Agent"), Tag { key: "Cloud Agent".into(), value: String::new() });
    }
}
