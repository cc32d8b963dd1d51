//! One element of an asset chunk. Version 1 of the export is what we ask for; version 2 has the same facts in nested
//! blocks and is read as well.
//!
//! | ours | Tenable |
//! | --- | --- |
//! | cloud `aws` | `aws_ec2_instance_id` with `aws_owner_id`, `aws_region` |
//! | cloud `azure` | `azure_vm_id` with the subscription out of `azure_resource_id` |
//! | cloud `gcp` | `gcp_instance_id` with `gcp_project_id`, `gcp_zone` |
//! | criticality 1 to 5 | ACR 1 to 10, halved and rounded up |
//! | `gone_at` | the earlier of `terminated_at`, `deleted_at` |
//! | network | `network_id`, `network_name`, `network_interfaces` |
//! | software | `installed_software`, CPE names |

use std::borrow::Cow;

use domain::host::{self, OpenPort, Software};
use domain::{CloudId, Host, Tag};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sync::BadRecord;
use sync::split::json::{brief, element};

use super::lenient::{Field, FromScalar, List, Part, Scalar};
use super::names;

/// Times of one scan lie within this.
const ONE_SCAN: SignedDuration = SignedDuration::from_hours(24);

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    id: Field<'a>,
    agent_uuid: Field<'a>,
    bios_uuid: Field<'a>,
    serial_number: Field<'a>,
    operating_systems: List<Field<'a>>,
    tags: List<WireTag<'a>>,
    resource_tags: List<WireTag<'a>>,
    acr_score: Field<'a>,
    ratings: Part<Ratings<'a>>,
    installed_software: List<Field<'a>>,
    has_agent: Field<'a>,
    sources: List<Source<'a>>,

    // Version 1
    ipv4s: List<Field<'a>>,
    ipv6s: List<Field<'a>>,
    fqdns: List<Field<'a>>,
    hostnames: List<Field<'a>>,
    netbios_names: List<Field<'a>>,
    mac_addresses: List<Field<'a>>,
    network_interfaces: List<Interface<'a>>,
    network_id: Field<'a>,
    network_name: Field<'a>,
    open_ports: List<Port<'a>>,
    aws_ec2_instance_id: Field<'a>,
    aws_owner_id: Field<'a>,
    aws_region: Field<'a>,
    azure_vm_id: Field<'a>,
    azure_resource_id: Field<'a>,
    gcp_instance_id: Field<'a>,
    gcp_project_id: Field<'a>,
    gcp_zone: Field<'a>,
    last_scan_time: Field<'a>,
    last_authenticated_scan_date: Field<'a>,
    last_authentication_scan_status: Field<'a>,
    deleted_at: Field<'a>,
    terminated_at: Field<'a>,

    // Version 2
    network_device_serial_identifier: Field<'a>,
    network: Part<Network<'a>>,
    scan: Part<Scan<'a>>,
    timestamps: Part<Timestamps<'a>>,
    cloud: Part<Cloud<'a>>,
}

/// Objects of which a bare value tells nothing.
macro_rules! plain_parts {
    ($($name:ident),*) => {$(
        impl<'a> FromScalar for $name<'a> {
            type Text = Cow<'a, str>;
        }
    )*};
}
plain_parts!(Ratings, Rating, Interface, Port, Network, Scan, Timestamps, Cloud, Aws, Azure, Gcp);

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireTag<'a> {
    key: Field<'a>,
    value: Field<'a>,
}

impl<'a> FromScalar for WireTag<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(key: Field<'a>) -> Self {
        Self { key, value: Scalar::Absent }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Ratings<'a> {
    acr: Part<Rating<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Rating<'a> {
    score: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Interface<'a> {
    name: Field<'a>,
    mac_addresses: List<Field<'a>>,
    ipv4s: List<Field<'a>>,
    ipv6s: List<Field<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Port<'a> {
    port: Field<'a>,
    protocol: Field<'a>,
    service_names: List<Field<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Network<'a> {
    ipv4s: List<Field<'a>>,
    ipv6s: List<Field<'a>>,
    fqdns: List<Field<'a>>,
    hostnames: List<Field<'a>>,
    netbios_names: List<Field<'a>>,
    mac_addresses: List<Field<'a>>,
    network_interfaces: List<Interface<'a>>,
    network_id: Field<'a>,
    network_name: Field<'a>,
    open_ports: List<Port<'a>>,
    bios_uuid: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Source<'a> {
    name: Field<'a>,
}

impl<'a> FromScalar for Source<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(name: Field<'a>) -> Self {
        Self { name }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Scan<'a> {
    last_scan_time: Field<'a>,
    last_authenticated_scan_date: Field<'a>,
    last_authentication_scan_status: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Timestamps<'a> {
    deleted_at: Field<'a>,
    terminated_at: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Cloud<'a> {
    aws: Part<Aws<'a>>,
    azure: Part<Azure<'a>>,
    gcp: Part<Gcp<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Aws<'a> {
    ec2_instance_id: Field<'a>,
    owner_id: Field<'a>,
    region: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Azure<'a> {
    vm_id: Field<'a>,
    resource_id: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Gcp<'a> {
    instance_id: Field<'a>,
    project_id: Field<'a>,
    zone: Field<'a>,
}

/// Reads the element of an asset chunk that `bytes` begin with, which stands at `offset`, and answers how many bytes it
/// has.
pub fn asset(offset: u64, bytes: &[u8]) -> Result<(Host, usize), BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let (record, length): (Record<'_>, _) =
        element(bytes).map_err(|error| bad(format!("it is no asset: {}", brief(&error))))?;
    let native = record.id.clone().text().ok_or_else(|| bad("it has no id".into()))?;
    let (network, scan, times) = (record.network.0, record.scan.0, record.timestamps.0);

    let last_scanned_at = either(record.last_scan_time, scan.last_scan_time).time();
    let login_date = either(record.last_authenticated_scan_date, scan.last_authenticated_scan_date).time();
    let login_status =
        either(record.last_authentication_scan_status, scan.last_authentication_scan_status).text();
    let agent_told =
        |source: &Source<'_>| matches!(&source.name, Scalar::Text(name) if name == "NESSUS_AGENT");
    let has_agent = record.has_agent.truth() == Some(true) || record.sources.0.iter().any(agent_told);
    let gone = [record.deleted_at, record.terminated_at, times.deleted_at, times.terminated_at];

    let mut host = Host {
        native,
        netbios: lists(record.netbios_names, network.netbios_names),
        macs: names::macs(lists(record.mac_addresses, network.mac_addresses)),
        cloud: cloud_ids(
            Aws {
                ec2_instance_id: either(record.aws_ec2_instance_id, record.cloud.0.aws.0.ec2_instance_id),
                owner_id: either(record.aws_owner_id, record.cloud.0.aws.0.owner_id),
                region: either(record.aws_region, record.cloud.0.aws.0.region),
            },
            Azure {
                vm_id: either(record.azure_vm_id, record.cloud.0.azure.0.vm_id),
                resource_id: either(record.azure_resource_id, record.cloud.0.azure.0.resource_id),
            },
            Gcp {
                instance_id: either(record.gcp_instance_id, record.cloud.0.gcp.0.instance_id),
                project_id: either(record.gcp_project_id, record.cloud.0.gcp.0.project_id),
                zone: either(record.gcp_zone, record.cloud.0.gcp.0.zone),
            },
        ),
        agent_ids: record.agent_uuid.text().into_iter().collect(),
        bios_uuid: either(record.bios_uuid, network.bios_uuid).text(),
        serial: either(record.serial_number, record.network_device_serial_identifier).text(),
        os: record.operating_systems.texts().into_iter().next(),
        tags: tags(record.tags, record.resource_tags),
        criticality: criticality(&record.acr_score).or_else(|| criticality(&record.ratings.0.acr.0.score)),
        last_scanned_at,
        credentialed: if has_agent {
            Some(true)
        } else {
            credentialed(login_status.as_deref(), last_scanned_at, login_date)
        },
        gone_at: gone.iter().filter_map(Scalar::time).min(),
        ..Host::default()
    };
    let place = place(
        either(record.network_id, network.network_id),
        either(record.network_name, network.network_name),
        record.network_interfaces.0.into_iter().chain(network.network_interfaces.0),
    );
    if host.macs.is_empty() {
        for mac in place.interfaces.iter().flat_map(|interface| &interface.macs) {
            if !host.macs.contains(mac) {
                host.macs.push(mac.clone());
            }
        }
    }
    host.network = Some(place).filter(|place| *place != host::Network::default());
    host.open_ports =
        record.open_ports.0.into_iter().chain(network.open_ports.0).filter_map(open_port).collect();
    host.software = software(&record.installed_software);
    let addresses = [record.ipv4s, network.ipv4s, record.ipv6s, network.ipv6s];
    names::sort_into(
        &mut host,
        addresses.into_iter().flat_map(List::texts).collect(),
        lists(record.hostnames, network.hostnames),
        lists(record.fqdns, network.fqdns),
    );
    Ok((host, length))
}

/// Whether the last scan could log in. An agent looks from inside, and neither date nor status is told of its scans. `N/A`
/// is the status where no login was tried. A scan without a login some time after one with it is one without.
fn credentialed(
    status: Option<&str>,
    scanned_at: Option<Timestamp>,
    logged_in_at: Option<Timestamp>,
) -> Option<bool> {
    match status.map(|status| status.trim().to_ascii_lowercase()).as_deref() {
        Some("success") => return Some(true),
        Some("failure") => return Some(false),
        _ => {}
    }
    match (scanned_at, logged_in_at) {
        (None, None) => None,
        (Some(_), None) => Some(false),
        (None, Some(_)) => Some(true),
        (Some(scanned_at), Some(logged_in_at)) => Some(scanned_at.duration_since(logged_in_at) <= ONE_SCAN),
    }
}

fn either<'a>(first: Field<'a>, second: Field<'a>) -> Field<'a> {
    if matches!(first, Scalar::Absent) { second } else { first }
}

/// Where the asset is in the network. Of interfaces that nobody could name only the addresses are told.
fn place<'a>(
    id: Field<'a>,
    name: Field<'a>,
    interfaces: impl Iterator<Item = Interface<'a>>,
) -> host::Network {
    let unnamed = |name: &String| !matches!(name.as_str(), "UNKNOWN" | "catch_all_interface");
    let interfaces = interfaces.map(|wire| host::Interface {
        name: wire.name.text().filter(unnamed),
        ips: wire.ipv4s.texts().into_iter().chain(wire.ipv6s.texts()).collect(),
        macs: names::macs(wire.mac_addresses.texts()),
    });
    host::Network {
        id: id.text(),
        name: name.text(),
        interfaces: interfaces.filter(|interface| *interface != host::Interface::default()).collect(),
    }
}

/// Each once.
fn software(told: &List<Field<'_>>) -> Vec<Software> {
    let mut texts: Vec<&str> = Vec::with_capacity(told.0.len());
    for field in &told.0 {
        if let Scalar::Text(text) = field
            && !texts.contains(&&**text)
        {
            texts.push(text);
        }
    }
    texts.into_iter().filter_map(Software::parse).collect()
}

fn open_port(wire: Port<'_>) -> Option<OpenPort> {
    let number = wire.port.number().filter(|n| n.fract() == 0.0 && (1.0..=65_535.0).contains(n))?;
    // The range check makes the cast exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let port = number as u16;
    let services = wire.service_names.texts();
    Some(OpenPort {
        port,
        protocol: wire.protocol.text().map(|protocol| protocol.trim().to_ascii_lowercase()),
        service: (!services.is_empty()).then(|| services.join(", ")),
    })
}

fn lists(v1: List<Field<'_>>, v2: List<Field<'_>>) -> Vec<String> {
    v1.texts().into_iter().chain(v2.texts()).collect()
}

fn cloud_ids(aws: Aws<'_>, azure: Azure<'_>, gcp: Gcp<'_>) -> Vec<CloudId> {
    let mut ids = Vec::new();
    if let Some(id) = aws.ec2_instance_id.text() {
        let (account, region) = (aws.owner_id.text(), aws.region.text());
        ids.push(CloudId { provider: "aws".into(), account, region, id });
    }
    let resource = azure.resource_id.text();
    if let Some(id) =
        azure.vm_id.text().or_else(|| resource.as_ref().map(|resource| resource.to_ascii_lowercase()))
    {
        let account = resource.as_deref().and_then(subscription);
        ids.push(CloudId { provider: "azure".into(), account, region: None, id });
    }
    if let Some(id) = gcp.instance_id.text() {
        let (account, region) = (gcp.project_id.text(), gcp.zone.text());
        ids.push(CloudId { provider: "gcp".into(), account, region, id });
    }
    ids
}

/// `/subscriptions/<id>/resourceGroups/...`
fn subscription(resource: &str) -> Option<String> {
    let mut parts = resource.split('/').skip_while(|part| !part.eq_ignore_ascii_case("subscriptions"));
    parts.nth(1).filter(|id| !id.is_empty()).map(str::to_owned)
}

/// Tenable's own tags, then those that a cloud connector brought along.
fn tags(own: List<WireTag<'_>>, resource: List<WireTag<'_>>) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::with_capacity(own.0.len());
    for wire in own.0.into_iter().chain(resource.0) {
        let Some(key) = wire.key.text() else { continue };
        let tag = Tag { key, value: wire.value.text().unwrap_or_default() };
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// ACR 1 to 10, as text or number, to criticality 1 to 5.
fn criticality(acr: &Field<'_>) -> Option<u8> {
    let acr = acr.number().filter(|acr| (1.0..=10.0).contains(acr))?;
    // The range check makes the cast exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((acr / 2.0).ceil() as u8)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(record: &Value) -> Host {
        asset(0, record.to_string().as_bytes()).unwrap().0
    }

    #[test]
    fn every_field_has_its_place() {
        let host = read(&json!({
            "id": "95c2725c", "has_agent": true, "agent_uuid": "9928ced5", "bios_uuid": "422637a2-75d4",
            "serial_number": "C137B8E58B6", "ipv4s": ["192.0.2.57"], "ipv6s": ["2001:db8::7"],
            "fqdns": ["web.example.com"], "hostnames": ["web"], "netbios_names": ["WEB"],
            "mac_addresses": ["00:50:56:a6:49:2a"], "operating_systems": ["Linux Kernel 5", "Linux"],
            "aws_ec2_instance_id": "i-47b52febd53722cc3", "aws_owner_id": "891474992277", "aws_region": "us-east-1",
            "azure_vm_id": "b1691058", "azure_resource_id": "/subscriptions/d3803fd6/resourcegroups/x/providers/y",
            "gcp_instance_id": 4711, "gcp_project_id": "prj", "gcp_zone": "europe-west3-a",
            "tags": [{"uuid": "u", "key": "Team", "value": "payments"}, {"key": "Team", "value": "web"}],
            "resource_tags": [{"key": "env", "value": "prod"}, {"key": "Team", "value": "web"}],
            "acr_score": "9.0", "exposure_score": "744.0",
            "last_scan_time": "2024-12-16T09:45:50.000Z", "last_authenticated_scan_date": "2024-12-16T09:40:00Z",
            "terminated_at": "2025-01-02T00:00:00Z", "deleted_at": "2025-01-01T00:00:00Z",
            "network_id": "n1", "network_name": "Default", "installed_software": ["cpe:/a:openbsd:openssh:8.0", ""],
            "network_interfaces": [{"name": "eth0", "ipv4s": ["192.0.2.57"], "mac_addresses": ["00:50:56:a6:49:2a"]},
                {"name": "UNKNOWN", "ipv4s": []}],
            "open_ports": [{"port": 22, "protocol": "TCP", "service_names": ["ssh"]}, {"port": "x"}],
        }));
        let tag = |key: &str, value: &str| Tag { key: key.into(), value: value.into() };
        let cloud = |provider: &str, account: &str, region: Option<&str>, id: &str| CloudId {
            provider: provider.into(),
            account: Some(account.into()),
            region: region.map(Into::into),
            id: id.into(),
        };
        let expected = Host {
            native: "95c2725c".into(),
            hostnames: vec!["web".into()],
            fqdns: vec!["web.example.com".into()],
            netbios: vec!["WEB".into()],
            ips: vec!["192.0.2.57".into(), "2001:db8::7".into()],
            macs: vec!["00:50:56:a6:49:2a".into()],
            cloud: vec![
                cloud("aws", "891474992277", Some("us-east-1"), "i-47b52febd53722cc3"),
                cloud("azure", "d3803fd6", None, "b1691058"),
                cloud("gcp", "prj", Some("europe-west3-a"), "4711"),
            ],
            agent_ids: vec!["9928ced5".into()],
            bios_uuid: Some("422637a2-75d4".into()),
            serial: Some("C137B8E58B6".into()),
            os: Some("Linux Kernel 5".into()),
            tags: vec![tag("Team", "payments"), tag("Team", "web"), tag("env", "prod")],
            criticality: Some(5),
            last_scanned_at: Some("2024-12-16T09:45:50Z".parse().unwrap()),
            credentialed: Some(true),
            partly_credentialed: None,
            checks: None,
            port_range: None,
            gone_at: Some("2025-01-01T00:00:00Z".parse().unwrap()),
            network: Some(host::Network {
                id: Some("n1".into()),
                name: Some("Default".into()),
                interfaces: vec![host::Interface {
                    name: Some("eth0".into()),
                    ips: vec!["192.0.2.57".into()],
                    macs: vec!["00:50:56:a6:49:2a".into()],
                }],
            }),
            open_ports: vec![OpenPort {
                port: 22,
                protocol: Some("tcp".into()),
                service: Some("ssh".into()),
            }],
            software: vec![Software {
                name: "openssh".into(),
                version: Some("8.0".into()),
                publisher: Some("openbsd".into()),
            }],
            details_left_out: 0,
        };
        assert_eq!(host, expected);
    }

    #[test]
    fn pitfall_07_a_deleted_asset_is_gone_and_a_renamed_one_is_the_same() {
        let host = |changes: Value| {
            let mut record =
                json!({"id": "a", "hostnames": ["old"], "last_scan_time": "2024-12-16T09:45:50Z"});
            record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            read(&record)
        };
        assert_eq!(host(json!({})).gone_at, None);
        let deleted = host(json!({"deleted_at": "2025-01-01T00:00:00Z", "deleted_by": "someone"}));
        assert_eq!(deleted.gone_at, "2025-01-01T00:00:00Z".parse().ok());
        assert!(host(json!({"terminated_at": "2025-01-01T00:00:00Z"})).gone_at.is_some());
        assert_eq!(host(json!({"hostnames": ["new"]})).native, host(json!({})).native);
    }

    #[test]
    fn absent_is_absent() {
        let nulls = json!({
            "id": "a", "agent_uuid": null, "bios_uuid": "", "ipv4s": null, "fqdns": [], "tags": null,
            "acr_score": null, "ratings": null, "last_scan_time": null, "aws_ec2_instance_id": null, "cloud": null,
        });
        for record in [json!({"id": "a"}), nulls] {
            assert_eq!(read(&record), Host { native: "a".into(), ..Host::default() });
        }
    }

    #[test]
    fn criticality_is_half_of_acr_rounded_up() {
        let of = |acr: Value| read(&json!({"id": "a", "acr_score": acr})).criticality;
        for (acr, ours) in
            [("1", 1), ("2", 1), ("3", 2), ("4.0", 2), ("5", 3), ("7", 4), ("8", 4), ("9.0", 5), ("10", 5)]
        {
            assert_eq!(of(json!(acr)), Some(ours), "{acr}");
        }
        assert_eq!(of(json!(6)), Some(3));
        for none in [json!("0"), json!("11"), json!("high"), json!({}), json!(-1)] {
            assert_eq!(of(none.clone()), None, "{none}");
        }
        assert_eq!(read(&json!({"id": "a", "ratings": {"acr": {"score": 3}}})).criticality, Some(2));
    }

    #[test]
    fn a_login_that_failed_or_never_was_is_not_credentialed() {
        let of = |record: Value| read(&record).credentialed;
        let scanned = "2024-12-16T09:45:50.000Z";
        assert_eq!(
            of(json!({"id": "a", "last_scan_time": scanned, "last_authenticated_scan_date": null})),
            Some(false)
        );
        let failed = json!({"id": "a", "last_scan_time": scanned, "last_authenticated_scan_date": scanned,
            "last_authentication_scan_status": "Failure"});
        assert_eq!(of(failed), Some(false));
        assert_eq!(of(json!({"id": "a"})), None, "never scanned");
        let untold = |logged_in: &str| {
            of(json!({"id": "a", "last_scan_time": scanned, "last_authenticated_scan_date": logged_in,
                "last_authentication_scan_status": "N/A"}))
        };
        assert_eq!(untold("2024-12-16T08:10:00.000Z"), Some(true));
        assert_eq!(untold("2023-01-05T08:10:00.000Z"), Some(false), "none since");
    }

    #[test]
    fn an_agent_needs_no_login() {
        let of = |record: Value| read(&record).credentialed;
        let failed = json!({"id": "a", "has_agent": true, "last_scan_time": "2024-12-16T09:45:50.000Z",
            "last_authentication_scan_status": "Failure"});
        assert_eq!(of(failed), Some(true), "the status is none of the agent's");
        let sources = json!([{"name": "NESSUS_SCAN"}, {"name": "NESSUS_AGENT"}]);
        assert_eq!(of(json!({"id": "a", "sources": sources})), Some(true));
        assert_eq!(of(json!({"id": "a", "has_agent": false, "sources": [{"name": "NESSUS_SCAN"}]})), None);
    }

    #[test]
    fn an_azure_machine_without_vm_id_has_its_resource_id() {
        let host = read(&json!({"id": "a", "azure_resource_id": "/subscriptions/S1/resourceGroups/R/VM"}));
        assert_eq!(host.cloud[0].id, "/subscriptions/s1/resourcegroups/r/vm");
        assert_eq!(host.cloud[0].account.as_deref(), Some("S1"));
    }

    #[test]
    fn interfaces_help_where_the_asset_has_no_hardware_address() {
        let interfaces =
            json!([{"name": "eth0", "mac_addresses": ["00:00:5E:00:53:00", "00:00:5E:00:53:FF"]}]);
        let host = read(&json!({"id": "a", "mac_addresses": [], "network_interfaces": interfaces}));
        assert_eq!(host.macs, ["00:00:5E:00:53:00", "00:00:5E:00:53:FF"]);
        let host = read(
            &json!({"id": "a", "mac_addresses": ["01:2b:07:03:79:3a"], "network_interfaces": interfaces}),
        );
        assert_eq!(host.macs, ["01:2b:07:03:79:3a"]);
    }

    #[test]
    fn version_2_tells_the_same_in_nested_blocks() {
        let host = read(&json!({
            "id": "42231820", "types": ["host"], "operating_systems": ["Oracle Linux 8.4"],
            "scan": {"last_scan_time": "2024-11-10T16:01:31.882Z", "last_authenticated_scan_date": "2024-11-09T22:22:44Z"},
            "network": {"ipv4s": ["192.168.122.1"], "fqdns": ["localhost.localdomain"], "hostnames": ["agent1"],
                "mac_addresses": ["00:50:56:a6:0c:5b"], "bios_uuid": "9b922642-7e01-6c78-e9b3-8618c18f023d"},
            "network_device_serial_identifier": "C137B8E58B6",
            "timestamps": {"deleted_at": "2025-01-01T00:00:00Z"},
            "cloud": {"aws": {"ec2_instance_id": "i-1", "owner_id": "2", "region": "eu-central-1"}},
            "ratings": {"acr": {"score": 9}},
        }));
        assert_eq!(host.ips, ["192.168.122.1"]);
        assert_eq!(host.fqdns, ["localhost.localdomain"]);
        assert_eq!(host.hostnames, ["agent1"]);
        assert_eq!(host.macs, ["00:50:56:a6:0c:5b"]);
        assert_eq!(
            (host.cloud[0].id.as_str(), host.criticality, host.credentialed),
            ("i-1", Some(5), Some(true))
        );
        assert!(host.last_scanned_at.is_some() && host.gone_at.is_some());
        assert_eq!(host.bios_uuid.as_deref(), Some("9b922642-7e01-6c78-e9b3-8618c18f023d"));
        assert_eq!(host.serial.as_deref(), Some("C137B8E58B6"));
    }

    #[test]
    fn a_record_without_identity_is_refused_with_its_place() {
        for record in ["{}", "[]", "7", "{\"id\":\"\"}", "{\"id\":", "{\"id\":\"\u{1}\"}"] {
            let error = asset(77, record.as_bytes()).unwrap_err();
            assert_eq!(error.offset, 77, "{record}");
        }
    }
}
