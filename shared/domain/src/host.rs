//! What one scanner says of one host.

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
    /// How many checks that scan had switched on, where the scanner tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<u32>,
    /// Set when the scanner says that the host was deleted or terminated. Not a fix of anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
}

impl Host {
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
        self.credentialed = self.credentialed.or(other.credentialed);
        self.checks = self.checks.or(other.checks);
        self.last_scanned_at = self.last_scanned_at.max(other.last_scanned_at);
        self.gone_at = self.gone_at.or(other.gone_at);
        self
    }

    /// A digest of everything but the scan time, which changes with every scan, and the number of checks, which grows
    /// with every update of the scanner.
    pub fn digest(&self) -> u64 {
        let mut still = self.clone();
        still.last_scanned_at = None;
        still.checks = None;
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
    fn tags_split_at_the_first_mark() {
        assert_eq!(Tag::parse("team=payments"), Tag { key: "team".into(), value: "payments".into() });
        assert_eq!(Tag::parse("Cloud Agent"), Tag { key: "Cloud Agent".into(), value: String::new() });
    }
}
