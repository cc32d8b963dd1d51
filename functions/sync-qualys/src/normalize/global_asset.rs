//! An asset of Global AssetView: JSON of the gateway.

use std::borrow::Cow;

use domain::host::{Interface, Network, OpenPort, Software};
use domain::{CloudId, Host, Tag};
use serde::Deserialize;
use sync::BadRecord;
use sync::lenient::{Field, FromScalar, List, Object, Part};
use sync::split::json::{brief, element};

use super::add;

/// A part of an asset: its fields, each of which may be missing or of another type than usual.
macro_rules! parts {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
        struct $name<'a> {
            $($(#[$attribute])* $field: $type,)*
        }

        impl<'a> FromScalar for $name<'a> {
            type Text = Cow<'a, str>;
        }
    )*};
}

parts! {
    Asset {
        host_id: Field<'a>,
        #[serde(rename = "hwUUID")]
        hardware: Field<'a>,
        bios_serial_number: Field<'a>,
        operating_system: Part<System<'a>>,
        agent_id: Field<'a>,
        netbios_name: Field<'a>,
        #[serde(rename = "netBIOSName")]
        net_bios_name: Field<'a>,
        criticality: Part<Criticality<'a>>,
        address: Field<'a>,
        dns_name: Field<'a>,
        tag_list: Part<Tags<'a>>,
        network_interface_list_data: Part<Cards<'a>>,
        open_port_list_data: Part<Ports<'a>>,
        software_list_data: Part<Installed<'a>>,
        cloud_provider: Part<Cloud<'a>>,
    }
    System { os_name: Field<'a>, full_name: Field<'a>, }
    Criticality { score: Field<'a>, is_default: Field<'a>, }
    Tags { tag: List<OneTag<'a>>, }
    OneTag { tag_name: Field<'a>, }
    Cards { network_interface: List<Card<'a>>, }
    Card {
        interface_name: Field<'a>,
        address_ip_v4: Field<'a>,
        address_ip_v6: Field<'a>,
        mac_address: Field<'a>,
    }
    Ports { open_port: List<Port<'a>>, }
    Port { port: Field<'a>, protocol: Field<'a>, detected_service: Field<'a>, }
    Installed { software: List<Product<'a>>, }
    Product { product_name: Field<'a>, full_name: Field<'a>, version: Field<'a>, publisher: Field<'a>, }
    Cloud { aws: Part<Aws<'a>>, azure: Part<Azure<'a>>, gcp: Part<Gcp<'a>>, }
    Aws { ec2: Part<Ec2<'a>>, }
    Ec2 { account_id: Field<'a>, region: Part<Region<'a>>, instance_id: Field<'a>, }
    Azure { vm: Part<Vm<'a>>, }
    Vm { subscription_id: Field<'a>, location: Field<'a>, vm_id: Field<'a>, }
    Gcp { compute: Part<Compute<'a>>, }
    Compute { project_id: Field<'a>, zone: Field<'a>, instance_id: Field<'a>, }
}

/// A region: its code, or an object with code and name.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Region<'a> {
    code: Field<'a>,
}

impl<'a> FromScalar for Region<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(code: Field<'a>) -> Self {
        Self { code }
    }
}

/// Reads the asset that `bytes` begin with, which stands at `offset`, and answers how many bytes it has. No host if it has
/// no id in the host list: it was never scanned.
pub fn global_asset(offset: u64, bytes: &[u8]) -> Result<(Option<Host>, usize), BadRecord> {
    let (Object(asset), length): (Object<Asset<'_>>, _) = element(bytes)
        .map_err(|error| BadRecord { offset, problem: format!("it is no asset: {}", brief(&error)) })?;
    Ok((host(asset), length))
}

fn host(asset: Asset<'_>) -> Option<Host> {
    let native = text(asset.host_id).filter(|id| id.bytes().all(|b| b.is_ascii_digit()))?;
    let system = asset.operating_system.0;
    let mut host = Host {
        native,
        bios_uuid: text(asset.hardware),
        serial: text(asset.bios_serial_number),
        os: text(system.os_name).or_else(|| text(system.full_name)),
        agent_ids: text(asset.agent_id).into_iter().collect(),
        netbios: text(asset.netbios_name).or_else(|| text(asset.net_bios_name)).into_iter().collect(),
        // What nobody has rated has a score all the same.
        criticality: number(&asset.criticality.0.score)
            .filter(|_| asset.criticality.0.is_default.truth() != Some(true))
            .and_then(|score| u8::try_from(score).ok())
            .filter(|score| (1..=5).contains(score)),
        ..Host::default()
    };
    if let Some(address) = text(asset.address) {
        add(&mut host.ips, &address);
    }
    if let Some(name) = text(asset.dns_name) {
        add(if name.contains('.') { &mut host.fqdns } else { &mut host.hostnames }, &name);
    }
    host.tags
        .extend(asset.tag_list.0.tag.0.into_iter().filter_map(|tag| Some(Tag::parse(&text(tag.tag_name)?))));
    network(asset.network_interface_list_data.0, &mut host);
    for port in asset.open_port_list_data.0.open_port.0 {
        if let Some(number) = number(&port.port).and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0) {
            host.open_ports.push(OpenPort {
                port: number,
                protocol: text(port.protocol).map(|protocol| protocol.to_ascii_lowercase()),
                service: text(port.detected_service),
            });
        }
    }
    for software in asset.software_list_data.0.software.0 {
        if let Some(name) = text(software.product_name).or_else(|| text(software.full_name)) {
            host.software.push(Software {
                name,
                version: text(software.version),
                publisher: text(software.publisher),
            });
        }
    }
    host.cloud.extend(cloud(asset.cloud_provider.0));
    Some(host)
}

fn network(cards: Cards<'_>, host: &mut Host) {
    let mut network = Network::default();
    for card in cards.network_interface.0 {
        let mut interface = Interface { name: text(card.interface_name), ..Interface::default() };
        for addresses in [text(card.address_ip_v4), text(card.address_ip_v6)].into_iter().flatten() {
            for address in addresses.split(',').map(str::trim) {
                add(&mut interface.ips, address);
                add(&mut host.ips, address);
            }
        }
        if let Some(mac) = text(card.mac_address) {
            add(&mut interface.macs, &mac);
            add(&mut host.macs, &mac);
        }
        if interface != Interface::default() {
            network.interfaces.push(interface);
        }
    }
    host.network = Some(network).filter(|network| *network != Network::default());
}

fn cloud(provider: Cloud<'_>) -> Option<CloudId> {
    let found = |provider: &str, account: Field<'_>, region: Field<'_>, id: Field<'_>| {
        let (account, region) = (text(account), text(region));
        Some(CloudId { provider: provider.to_owned(), account, region, id: text(id)? })
    };
    let (aws, azure, gcp) = (provider.aws.0.ec2.0, provider.azure.0.vm.0, provider.gcp.0.compute.0);
    found("aws", aws.account_id, aws.region.0.code, aws.instance_id)
        .or_else(|| found("azure", azure.subscription_id, azure.location, azure.vm_id))
        .or_else(|| found("gcp", gcp.project_id, gcp.zone, gcp.instance_id))
}

/// Text that says something; numbers as text.
fn text(field: Field<'_>) -> Option<String> {
    let words = field.words()?;
    let plain = words.trim();
    match (plain, words.len() == plain.len()) {
        ("," | ",,", _) => None,
        (_, true) => Some(words.into_owned()),
        _ => Some(plain.to_owned()),
    }
}

fn number(field: &Field<'_>) -> Option<u64> {
    match field {
        Field::Whole(number) => u64::try_from(*number).ok(),
        Field::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_mapped() {
        let asset = serde_json::json!({
            "assetId": 9, "hostId": 42, "address": "10.0.0.1", "dnsName": "a.example.com", "netbiosName": "A",
            "agentId": "2e68", "hwUUID": "ec2ab1c2", "biosSerialNumber": "SN1", "criticality": {"score": 4, "isDefault": false},
            "operatingSystem": {"osName": "Ubuntu 22.04", "fullName": "Canonical Ubuntu 22.04"}, "riskScore": 700,
            "tagList": {"tag": [{"tagId": 1, "tagName": "team=payments"}]},
            "networkInterfaceListData": {"networkInterface": [{"interfaceName": "eth0", "addressIpV4": "10.0.0.1,10.0.0.2",
                "macAddress": "00:11:22:33:44:55"}]},
            "openPortListData": {"openPort": {"port": 22, "protocol": "TCP", "detectedService": "ssh"}},
            "softwareListData": {"software": [{"productName": "OpenSSH", "version": "8.0", "publisher": "OpenBSD"}, {}]},
            "cloudProvider": {"aws": {"ec2": {"accountId": "123", "region": "eu-west-1", "instanceId": "i-1"}}},
        });
        let host = global_asset(0, asset.to_string().as_bytes()).unwrap().0.unwrap();
        assert_eq!((host.native.as_str(), host.criticality), ("42", Some(4)));
        assert_eq!(host.ips, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(
            (&host.fqdns[..], &host.netbios[..]),
            (&["a.example.com".to_owned()][..], &["A".to_owned()][..])
        );
        assert_eq!(host.tags, [Tag::parse("team=payments")]);
        assert_eq!(host.cloud[0].account.as_deref(), Some("123"));
        assert_eq!((host.open_ports[0].port, host.software.len()), (22, 1));
        assert_eq!(host.software[0].publisher.as_deref(), Some("OpenBSD"));
        assert_eq!(host.network.unwrap().interfaces[0].name.as_deref(), Some("eth0"));
        assert_eq!(host.macs, ["00:11:22:33:44:55"]);
    }

    #[test]
    fn what_nobody_has_rated_has_no_criticality_and_a_region_may_be_an_object() {
        let asset = serde_json::json!({
            "hostId": 42, "criticality": {"score": 2, "isDefault": true},
            "cloudProvider": {"aws": {"ec2": {"instanceId": "i-1", "region": {"code": "eu-west-1", "name": "Ireland"}}}},
        });
        let host = global_asset(0, asset.to_string().as_bytes()).unwrap().0.unwrap();
        assert_eq!((host.criticality, host.cloud[0].region.as_deref()), (None, Some("eu-west-1")));
    }

    #[test]
    fn hostile_assets_do_no_harm() {
        let read = |json: &str| global_asset(0, json.as_bytes()).map(|(host, _)| host);
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"hostId": null}"#), Ok(None));
        assert_eq!(read(r#"{"hostId": "../x"}"#), Ok(None));
        let odd = r#"{"hostId": "7", "criticality": 5, "tagList": [], "openPortListData": {"openPort": [{"port": "x"}]}, "cloudProvider": null}"#;
        assert_eq!(read(odd), Ok(Some(Host { native: "7".into(), ..Host::default() })));
        for bad in ["", "[]", "7", "{"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
