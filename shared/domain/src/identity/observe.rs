//! From what a scanner says of a host to normalised identifiers, without those that identify nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::identifier::{Identifier, IdentifierKind};
use super::stop;
use crate::host::{CloudId, Host};
use crate::policy::KnownIdentifiers;
use crate::scanner::Scanner;

/// Length at which NetBIOS cuts a name.
const NETBIOS_LENGTH: usize = 15;

/// One host as one scanner sees it, reduced to what can identify it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Normalised identifiers; what identifies nothing is left out.
    pub identifiers: BTreeSet<Identifier>,
    /// Operating system as the scanner words it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// When the scanner saw it. Addresses count only within a window around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

impl Observation {
    /// Tells whether two observations identify the same: of everything but the time, and of what people have `said` of
    /// the identifiers. What shows nothing of the machine itself may be at the next one where its own `is_replaced`: there
    /// the time counts too. Never 0.
    pub fn digest(&self, said: &KnownIdentifiers, is_replaced: bool) -> u64 {
        let known = |id: &Identifier| match (said.never_shared.contains(id), said.shared.contains(id)) {
            (true, _) => " never shared",
            (_, true) => " shared",
            _ => "",
        };
        let ids: Vec<String> = self.identifiers.iter().map(|id| format!("{id}{}", known(id))).collect();
        let mut text = format!("{}\n{}", ids.join("\n"), self.os.as_deref().unwrap_or_default());
        if let Some(at) = self.observed_at.filter(|_| is_replaced && !self.shows_machine()) {
            text.push_str(&format!("\n{at}"));
        }
        crate::digest(text.as_bytes()).max(1)
    }

    /// Whether it shows something of the machine itself.
    pub fn shows_machine(&self) -> bool {
        self.identifiers.iter().any(Identifier::is_own)
    }
}

/// Reads the identifiers of `host`, seen by a connector of `scanner` in the network scope `scope`.
pub fn observe(host: &Host, scope: &str, scanner: Scanner) -> Observation {
    observe_agents_of(host, scope, scanner.kind().agents)
}

/// Like [`observe`], where the vendor of the agents is known by name alone. Agent ids of two vendors are never compared.
pub fn observe_agents_of(host: &Host, scope: &str, vendor: &str) -> Observation {
    let scope = scope.trim();
    let mut all = BTreeSet::new();
    for cloud in &host.cloud {
        all.extend(cloud_identifiers(cloud));
    }
    all.extend(
        host.agent_ids
            .iter()
            .filter_map(|id| agent(id))
            .map(|id| Identifier::new(IdentifierKind::Agent, vendor, id)),
    );
    let bios = host.bios_uuid.as_deref().and_then(bios_uuid);
    all.extend(bios.map(|uuid| Identifier::new(IdentifierKind::BiosUuid, "", uuid)));
    let serial = host.serial.as_deref().and_then(serial);
    all.extend(serial.map(|serial| Identifier::new(IdentifierKind::Serial, scope, serial)));
    let macs = host.macs.iter().filter_map(|text| mac(text));
    all.extend(macs.map(|mac| Identifier::new(IdentifierKind::Mac, scope, mac)));
    for text in host.fqdns.iter().chain(&host.hostnames) {
        all.extend(name_identifiers(text, scope));
    }
    for text in &host.netbios {
        all.extend(netbios_identifiers(text, scope));
    }
    // A container engine derives the hardware address from the address: both are the same on every host.
    let in_container = |address: &IpAddr| match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            let derived = format!("0242{a:02x}{b:02x}{c:02x}{d:02x}");
            let bridge = a == 172 && b == 17;
            host.macs
                .iter()
                .filter_map(|text| mac_digits(text))
                .any(|mac| mac == derived || (bridge && mac.starts_with("0242")))
        }
        IpAddr::V6(_) => false,
    };
    let addresses = host.ips.iter().filter_map(|text| address(text)).filter(|ip| !in_container(ip));
    all.extend(addresses.map(|ip| Identifier::new(IdentifierKind::Ip, scope, ip.to_string())));
    Observation { identifiers: all, os: host.os.clone(), observed_at: host.last_scanned_at }
}

/// The id under no scope, under its account and under its region.
fn cloud_identifiers(cloud: &CloudId) -> Vec<Identifier> {
    let told = |text: &Option<String>| {
        text.as_deref().map(|text| text.trim().to_lowercase()).filter(|text| !stop::is_void(text))
    };
    let provider = match cloud.provider.trim().to_lowercase().as_str() {
        "" => return Vec::new(),
        "aws" | "ec2" | "amazon" | "amazon web services" => "aws".to_owned(),
        "azure" | "microsoft azure" | "microsoft" => "azure".to_owned(),
        "gcp" | "google" | "google cloud" | "google cloud platform" => "gcp".to_owned(),
        other => other.to_owned(),
    };
    let text = cloud.id.trim().trim_end_matches('/').to_lowercase();
    let (mut account, mut region) = (told(&cloud.account), told(&cloud.region));
    let mut id = text.as_str();
    if let Some(rest) = text.strip_prefix("arn:") {
        // arn:partition:ec2:region:account:instance/i-0abc
        let fields: Vec<&str> = rest.splitn(5, ':').collect();
        if let [_, _, in_region, in_account, resource] = fields[..] {
            id = resource.rsplit('/').next().unwrap_or(resource);
            account = account.or_else(|| Some(in_account.to_owned()).filter(|text| !text.is_empty()));
            region = region.or_else(|| Some(in_region.to_owned()).filter(|text| !text.is_empty()));
        }
    } else if text.contains('/') {
        // Azure: /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/NAME, kept whole.
        // Google: //compute.googleapis.com/projects/P/zones/Z/instances/ID
        let segments: Vec<&str> = text.split('/').collect();
        let after = |word: &str| {
            segments.iter().position(|segment| *segment == word).and_then(|at| segments.get(at + 1).copied())
        };
        account = account.or_else(|| after("subscriptions").or_else(|| after("projects")).map(str::to_owned));
        region = region.or_else(|| after("zones").map(str::to_owned));
        // An instance's name is unique in its project and zone alone, so that only a number stands for itself.
        if let Some(number) = after("instances").filter(|id| id.bytes().all(|b| b.is_ascii_digit())) {
            id = number;
        }
    }
    if stop::is_void(id) || id == "0" || id.starts_with("ami-") {
        return Vec::new();
    }
    let value = format!("{provider}:{id}");
    // Amazon prints account numbers with dashes now and then; elsewhere a dash is part of the name.
    let account = account.map(|account| if provider == "aws" { account.replace('-', "") } else { account });
    let region = region.map(|region| format!("@{}", region_of_zone(&region)));
    [Some(String::new()), account, region]
        .into_iter()
        .flatten()
        .map(|scope| Identifier::new(IdentifierKind::Cloud, scope, value.clone()))
        .collect()
}

/// `us-east-1a` and `us-central1-a` are zones of `us-east-1` and `us-central1`; `East US` is `eastus`.
fn region_of_zone(zone: &str) -> String {
    let zone: String = zone.chars().filter(|c| !c.is_whitespace()).collect();
    let without_letter = zone.strip_suffix(|c: char| c.is_ascii_lowercase());
    match without_letter {
        Some(rest) if rest.ends_with(|c: char| c.is_ascii_digit()) => rest.to_owned(),
        Some(rest) if rest.strip_suffix('-').is_some_and(|r| r.ends_with(|c: char| c.is_ascii_digit())) => {
            rest.trim_end_matches('-').to_owned()
        }
        _ => zone,
    }
}

/// An agent id, in lower case; a UUID with or without dashes is the same.
fn agent(text: &str) -> Option<String> {
    let id = text.trim().to_lowercase();
    match hex_uuid(&id) {
        Some(hex) => (!stop::is_placeholder_uuid(&hex)).then_some(hex),
        None => (!stop::is_void(&id) && id != "0").then_some(id),
    }
}

/// A BIOS UUID as 32 hexadecimal digits. SMBIOS stores its first three fields little-endian, which some tools undo and
/// some do not: of the two readings the smaller one stands for both.
fn bios_uuid(text: &str) -> Option<String> {
    let hex = hex_uuid(&text.trim().to_lowercase())?;
    let byte = |at: usize| &hex[2 * at..2 * at + 2];
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let swapped: String = order.into_iter().map(byte).collect();
    let placeholder = stop::is_placeholder_uuid(&hex) || stop::is_placeholder_uuid(&swapped);
    (!placeholder).then(|| hex.min(swapped))
}

/// The 32 digits of a UUID in any usual notation.
fn hex_uuid(lower: &str) -> Option<String> {
    let hex: String = lower
        .trim_start_matches("urn:uuid:")
        .chars()
        .filter(|c| !matches!(c, '-' | '{' | '}' | ' '))
        .collect();
    (hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some(hex)
}

/// A serial number in lower case with single blanks.
fn serial(text: &str) -> Option<String> {
    let serial = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    (!stop::is_placeholder_serial(&serial)).then_some(serial)
}

/// A hardware address as 12 lower-case hexadecimal digits.
fn mac(text: &str) -> Option<String> {
    mac_digits(text).filter(|mac| !stop::is_shared_mac(mac))
}

fn mac_digits(text: &str) -> Option<String> {
    let mac: String =
        text.trim().to_lowercase().chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).collect();
    (mac.len() == 12 && mac.bytes().all(|b| b.is_ascii_hexdigit())).then_some(mac)
}

/// A name in lower case without its trailing dot, split into its first label and its domain.
fn name(text: &str) -> Option<(String, Option<String>)> {
    let text = text.trim().trim_end_matches('.').to_lowercase();
    let usable = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && text.split('.').all(|label| !label.is_empty())
        && text.parse::<IpAddr>().is_err();
    let (label, domain) = match text.split_once('.') {
        Some((label, domain)) => (label, Some(domain).filter(|domain| !stop::is_no_domain(domain))),
        None => (text.as_str(), None),
    };
    let reverse_zone =
        domain.is_some_and(|domain| domain.ends_with("in-addr.arpa") || domain.ends_with("ip6.arpa"));
    (usable && !reverse_zone && !stop::is_default_name(label))
        .then(|| (label.to_owned(), domain.map(str::to_owned)))
}

/// The whole name where there is a domain, the host name, and what NetBIOS would leave of a long one.
fn name_identifiers(text: &str, scope: &str) -> Vec<Identifier> {
    let Some((label, domain)) = name(text) else { return Vec::new() };
    let whole =
        domain.map(|domain| Identifier::new(IdentifierKind::Fqdn, scope, format!("{label}.{domain}")));
    let cut: String = label.chars().take(NETBIOS_LENGTH).collect();
    let netbios =
        (cut.chars().count() == NETBIOS_LENGTH).then(|| Identifier::new(IdentifierKind::Netbios, scope, cut));
    whole
        .into_iter()
        .chain(netbios)
        .chain([Identifier::new(IdentifierKind::Hostname, scope, label)])
        .collect()
}

/// A NetBIOS name shorter than the limit is the host name; one at the limit may be the beginning of several.
fn netbios_identifiers(text: &str, scope: &str) -> Option<Identifier> {
    let own = text.rsplit('\\').next().unwrap_or(text);
    let (label, _) = name(own)?;
    let cut: String = label.chars().take(NETBIOS_LENGTH).collect();
    let kind =
        if cut.chars().count() < NETBIOS_LENGTH { IdentifierKind::Hostname } else { IdentifierKind::Netbios };
    Some(Identifier::new(kind, scope, cut))
}

/// An address in its canonical form, IPv4 where it is mapped into IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim().split(['/', '%']).next().unwrap_or_default();
    let address = bare.parse::<IpAddr>().ok()?.to_canonical();
    (!stop::is_shared_address(address)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(host: &Host) -> Vec<String> {
        observe(host, "office", Scanner::Tenable).identifiers.iter().map(ToString::to_string).collect()
    }

    fn cloud_keys(provider: &str, account: Option<&str>, region: Option<&str>, id: &str) -> Vec<String> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let cloud =
            CloudId { provider: provider.into(), account: own(account), region: own(region), id: id.into() };
        keys(&Host { cloud: vec![cloud], ..Host::default() })
    }

    #[test]
    fn a_cloud_id_is_known_with_and_without_its_account_and_region() {
        assert_eq!(cloud_keys("AWS", None, None, "i-0ABC"), ["cloud||aws:i-0abc"]);
        assert_eq!(
            cloud_keys("aws", Some("111122223333"), Some("us-east-1a"), "i-0abc"),
            ["cloud||aws:i-0abc", "cloud|111122223333|aws:i-0abc", "cloud|@us-east-1|aws:i-0abc"]
        );
        assert_eq!(
            cloud_keys("ec2", None, None, "arn:aws:ec2:us-east-1:111122223333:instance/i-0abc"),
            cloud_keys("aws", Some("1111-2222-3333"), Some("us-east-1"), "i-0abc"),
        );
        assert_eq!(
            cloud_keys(
                "gcp",
                None,
                None,
                "//compute.googleapis.com/projects/shop/zones/us-central1-a/instances/42"
            ),
            ["cloud||gcp:42", "cloud|@us-central1|gcp:42", "cloud|shop|gcp:42"]
        );
        assert!(cloud_keys("aws", None, None, "ami-0abc").is_empty());
        assert!(cloud_keys("aws", None, None, "None").is_empty());
    }

    #[test]
    fn agent_ids_of_two_vendors_are_two_things() {
        let host = Host { agent_ids: vec!["7F3C".into()], ..Host::default() };
        let tenable = observe(&host, "office", Scanner::Tenable).identifiers;
        assert!(tenable.is_disjoint(&observe(&host, "office", Scanner::Qualys).identifiers));
    }

    #[test]
    fn notations_of_one_value_become_one() {
        for text in ["00:50:56:A1:B2:C3", "00-50-56-a1-b2-c3", "0050.56a1.b2c3", " 005056A1B2C3 "] {
            assert_eq!(
                keys(&Host { macs: vec![text.into()], ..Host::default() }),
                ["mac|office|005056a1b2c3"]
            );
        }
        let uuid = |text: &str| keys(&Host { bios_uuid: Some(text.into()), ..Host::default() });
        assert_eq!(
            uuid("EC2AE145-D1DC-13B2-94ED-012345678901"),
            uuid("{45e12aec-dcd1-b213-94ed-012345678901}")
        );
        assert_eq!(uuid("EC2AE145-D1DC-13B2-94ED-012345678901").len(), 1);
        let ip = |text: &str| keys(&Host { ips: vec![text.into()], ..Host::default() });
        assert_eq!(ip("::ffff:10.0.0.5"), ["ip|office|10.0.0.5"]);
        assert_eq!(ip("2001:DB8:0::1/64"), ["ip|office|2001:db8::1"]);
    }

    #[test]
    fn names_are_compared_without_case_and_trailing_dot() {
        let host = Host { fqdns: vec!["WEB01.Corp.Example.COM.".into()], ..Host::default() };
        assert_eq!(keys(&host), ["fqdn|office|web01.corp.example.com", "hostname|office|web01"]);
        let host = Host { hostnames: vec!["web01.local".into()], ..Host::default() };
        assert_eq!(keys(&host), ["hostname|office|web01"]);
    }

    #[test]
    fn a_netbios_name_is_the_host_name_unless_it_may_be_cut() {
        let host = |netbios: &str| keys(&Host { netbios: vec![netbios.into()], ..Host::default() });
        assert_eq!(host("CORP\\WEB01"), ["hostname|office|web01"]);
        assert_eq!(host("PAYMENTS-SERVER"), ["netbios|office|payments-server"]);
        let long = Host { hostnames: vec!["payments-server-07".into()], ..Host::default() };
        assert_eq!(keys(&long), ["hostname|office|payments-server-07", "netbios|office|payments-server"]);
    }

    #[test]
    fn shared_and_made_up_hardware_addresses_do_not_identify() {
        let shared = [
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:fb",
            "00:00:5e:00:01:0a",
            "00:00:5e:00:02:0a",
            "00:00:0c:07:ac:01",
            "00:00:0c:9f:f0:01",
            "00:05:73:a0:00:01",
            "00:07:b4:00:01:01",
            "02:42:ac:11:00:02",
            "00:05:9a:3c:7a:00",
            "not a mac",
        ];
        let host = Host { macs: shared.map(str::to_owned).into(), ..Host::default() };
        assert!(keys(&host).is_empty(), "{:?}", keys(&host));
        let random = Host { macs: vec!["da:a1:19:00:00:01".into()], ..Host::default() };
        let observation = observe(&random, "office", Scanner::Tenable);
        assert!(observation.identifiers.iter().all(|id| !id.is_strong()));
        assert_eq!(observation.identifiers.len(), 1);
    }

    #[test]
    fn placeholders_of_makers_do_not_identify() {
        for uuid in [
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "03000200-0400-0500-0006-000700080009",
            "00020003-0004-0005-0006-000700080009",
            "fefefefe-fefe-fefe-fefe-fefefefefefe",
            "None",
            "",
        ] {
            assert!(keys(&Host { bios_uuid: Some(uuid.into()), ..Host::default() }).is_empty(), "{uuid}");
        }
        for serial in [
            "To Be Filled By O.E.M.",
            "None",
            "0",
            "",
            "Default string",
            "0000000000",
            "123456789",
            "N/A",
            "xxxxxxx",
        ] {
            assert!(keys(&Host { serial: Some(serial.into()), ..Host::default() }).is_empty(), "{serial}");
        }
        assert_eq!(keys(&Host { serial: Some(" 5CG 1234 ABC".into()), ..Host::default() }).len(), 1);
    }

    #[test]
    fn default_names_and_names_that_spell_an_address_do_not_identify() {
        for name in [
            "localhost",
            "localhost.localdomain",
            "Ubuntu",
            "raspberrypi.local",
            "android-1f2e3d",
            "Johns.",
            "iPhone",
            "ip-10-0-0-5.ec2.internal",
            "ec2-52-1-2-3.compute-1.amazonaws.com",
            "WIN-ABCDEFGHIJK",
            "5.0.0.10.in-addr.arpa",
            "10.0.0.5",
            "*.example.com",
        ] {
            let host = Host { hostnames: vec![name.into()], ..Host::default() };
            assert_eq!(keys(&host).is_empty(), name != "Johns.", "{name}");
        }
        let host = Host { hostnames: vec!["DESKTOP-4F2A9QX".into()], ..Host::default() };
        assert!(keys(&host).contains(&"hostname|office|desktop-4f2a9qx".to_owned()));
    }

    #[test]
    fn addresses_that_every_machine_has_do_not_identify() {
        let shared = [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "169.254.3.4",
            "224.0.0.1",
            "fe80::1%eth0",
            "ff02::1",
            "172.17.0.1",
        ];
        assert!(keys(&Host { ips: shared.map(str::to_owned).into(), ..Host::default() }).is_empty());
    }
}
