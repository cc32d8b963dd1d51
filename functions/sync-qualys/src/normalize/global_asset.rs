//! An asset of Global AssetView: JSON of the gateway.

use domain::host::{Interface, Network, OpenPort, Software};
use domain::{CloudId, Host, Tag};
use serde_json::Value;

use super::add;

/// Reads one asset. `None` if it has no id in the host list: it was never scanned.
pub fn global_asset(bytes: &[u8]) -> Result<Option<Host>, String> {
    let asset: Value = serde_json::from_slice(bytes).map_err(|error| format!("broken JSON: {error}"))?;
    if !asset.is_object() {
        return Err("an asset that is no object".to_owned());
    }
    let Some(native) = text(&asset["hostId"]).filter(|id| id.bytes().all(|b| b.is_ascii_digit())) else {
        return Ok(None);
    };
    let mut host = Host {
        native,
        bios_uuid: text(&asset["hwUUID"]),
        serial: text(&asset["biosSerialNumber"]),
        os: text(&asset["operatingSystem"]["osName"]).or_else(|| text(&asset["operatingSystem"]["fullName"])),
        agent_ids: text(&asset["agentId"]).into_iter().collect(),
        netbios: text(&asset["netbiosName"]).or_else(|| text(&asset["netBIOSName"])).into_iter().collect(),
        criticality: number(&asset["criticality"]["score"])
            .and_then(|score| u8::try_from(score).ok())
            .filter(|score| (1..=5).contains(score)),
        ..Host::default()
    };
    if let Some(address) = text(&asset["address"]) {
        add(&mut host.ips, &address);
    }
    if let Some(name) = text(&asset["dnsName"]) {
        add(if name.contains('.') { &mut host.fqdns } else { &mut host.hostnames }, &name);
    }
    for tag in list(&asset["tagList"]["tag"]).filter_map(|tag| text(&tag["tagName"])) {
        host.tags.push(Tag::parse(&tag));
    }
    network(&asset, &mut host);
    for port in list(&asset["openPortListData"]["openPort"]) {
        if let Some(number) = number(&port["port"]).and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0) {
            host.open_ports.push(OpenPort {
                port: number,
                protocol: text(&port["protocol"]).map(|protocol| protocol.to_ascii_lowercase()),
                service: text(&port["detectedService"]),
            });
        }
    }
    for software in list(&asset["softwareListData"]["software"]) {
        if let Some(name) = text(&software["productName"]).or_else(|| text(&software["fullName"])) {
            host.software.push(Software {
                name,
                version: text(&software["version"]),
                publisher: text(&software["publisher"]),
            });
        }
    }
    host.cloud.extend(cloud(&asset["cloudProvider"]));
    Ok(Some(host))
}

fn network(asset: &Value, host: &mut Host) {
    let mut network = Network::default();
    for card in list(&asset["networkInterfaceListData"]["networkInterface"]) {
        let mut interface = Interface { name: text(&card["interfaceName"]), ..Interface::default() };
        for addresses in [text(&card["addressIpV4"]), text(&card["addressIpV6"])].into_iter().flatten() {
            for address in addresses.split(',').map(str::trim) {
                add(&mut interface.ips, address);
                add(&mut host.ips, address);
            }
        }
        if let Some(mac) = text(&card["macAddress"]) {
            add(&mut interface.macs, &mac);
            add(&mut host.macs, &mac);
        }
        if interface != Interface::default() {
            network.interfaces.push(interface);
        }
    }
    host.network = Some(network).filter(|network| *network != Network::default());
}

fn cloud(provider: &Value) -> Option<CloudId> {
    let found = |provider: &str, account: &Value, region: &Value, id: &Value| {
        Some(CloudId {
            provider: provider.to_owned(),
            account: text(account),
            region: text(region),
            id: text(id)?,
        })
    };
    let (aws, azure) = (&provider["aws"]["ec2"], &provider["azure"]["vm"]);
    let gcp = &provider["gcp"]["compute"];
    found("aws", &aws["accountId"], &aws["region"], &aws["instanceId"])
        .or_else(|| found("azure", &azure["subscriptionId"], &azure["location"], &azure["vmId"]))
        .or_else(|| found("gcp", &gcp["projectId"], &gcp["zone"], &gcp["instanceId"]))
}

/// Text that says something; numbers as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            Some(text.trim().to_owned()).filter(|text| !matches!(text.as_str(), "" | "," | ",,"))
        }
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The elements of a list, also where one stands alone.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let one = value.is_object().then_some(value);
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter().chain(one)
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
        let host = global_asset(asset.to_string().as_bytes()).unwrap().unwrap();
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
    fn hostile_assets_do_no_harm() {
        assert_eq!(global_asset(b"{}"), Ok(None));
        assert_eq!(global_asset(br#"{"hostId": null}"#), Ok(None));
        assert_eq!(global_asset(br#"{"hostId": "../x"}"#), Ok(None));
        let odd = br#"{"hostId": "7", "criticality": 5, "tagList": [], "openPortListData": {"openPort": [{"port": "x"}]}, "cloudProvider": null}"#;
        assert_eq!(global_asset(odd), Ok(Some(Host { native: "7".into(), ..Host::default() })));
        for bad in ["", "[]", "7", "{"] {
            assert!(global_asset(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
