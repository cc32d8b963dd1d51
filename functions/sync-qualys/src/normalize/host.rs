//! `HOST` of the host list and of host detections, and `HostAsset` of the asset search.

use domain::host::{Interface, Network, OpenPort, Software};
use domain::{CloudId, Host, Tag};
use jiff::Timestamp;

use super::{add, some, time};
use crate::document::Marks;
use crate::xml::{Element, Xml};

/// What is gathered before it can be put together.
#[derive(Default)]
struct Gathered {
    host: Host,
    marks: Marks,
    dns: String,
    fqdn: String,
    hostname: String,
    tracking: String,
    provider: String,
    resource: String,
    clouds: Vec<Cloud>,
    name: String,
    value: String,
    scanned: Option<Timestamp>,
    scanned_otherwise: Option<Timestamp>,
    authenticated: Option<Timestamp>,
}

/// What the attributes of one cloud provider say.
#[derive(Default)]
struct Cloud {
    provider: &'static str,
    account: Option<String>,
    region: Option<String>,
    id: Option<String>,
}

/// Reads one `HOST` element of the host list, of a detection page, or of an asset data report (which knows no host id:
/// there the address is the key).
pub fn host(xml: &Xml<'_>) -> Result<(Host, Marks), String> {
    let mut all = Gathered::default();
    xml.walk(|path, element| all.take(path, element))?;
    let marks = std::mem::take(&mut all.marks);
    Ok((all.finish()?, marks))
}

impl Gathered {
    fn take(&mut self, path: &str, element: &Element<'_, '_>) {
        let text = element.text;
        let host = &mut self.host;
        match path {
            "ID" => {
                host.native = text.to_owned();
                self.marks.is_scanned = true;
            }
            "TAGS/TAG/TAG_ID" => self.marks.tags.extend(text.parse::<u64>()),
            "ASSET_GROUP_IDS" => {
                self.marks.groups.extend(text.split(',').filter_map(|id| id.trim().parse::<u64>().ok()));
            }
            "IP" | "IPV6" => add(&mut host.ips, text),
            "DNS" => self.dns = text.to_owned(),
            "DNS_DATA/HOSTNAME" => self.hostname = text.to_owned(),
            "DNS_DATA/FQDN" => self.fqdn = text.to_owned(),
            "NETBIOS" => add(&mut host.netbios, text),
            "QG_HOSTID" => add(&mut host.agent_ids, text),
            "OS" | "OPERATING_SYSTEM" => host.os = some(text),
            "SERIAL_NUMBER" => host.serial = some(text),
            "HARDWARE_UUID" => host.bios_uuid = some(text),
            "TRACKING_METHOD" => self.tracking = text.to_ascii_uppercase(),
            "ASSET_CRITICALITY_SCORE" => host.criticality = text.parse().ok().filter(|c| (1..=5).contains(c)),
            "TAGS/TAG/NAME" if !text.is_empty() => host.tags.push(Tag::parse(text)),
            "CLOUD_PROVIDER" => self.provider = text.to_ascii_lowercase(),
            "CLOUD_RESOURCE_ID" => self.resource = text.to_owned(),
            "EC2_INSTANCE_ID" if !text.is_empty() => self.cloud("aws").id = Some(text.to_owned()),
            "LAST_VM_SCANNED_DATE" => self.scanned = time(text),
            "LAST_VULN_SCAN_DATETIME" | "LAST_SCAN_DATETIME" => {
                self.scanned_otherwise = self.scanned_otherwise.max(time(text));
            }
            "LAST_VM_AUTH_SCANNED_DATE" => self.authenticated = time(text),
            "METADATA/EC2/ATTRIBUTE/NAME"
            | "METADATA/AZURE/ATTRIBUTE/NAME"
            | "METADATA/GOOGLE/ATTRIBUTE/NAME"
            | "CLOUD_PROVIDER_TAGS/CLOUD_TAG/NAME" => self.name = text.to_owned(),
            "METADATA/EC2/ATTRIBUTE/VALUE"
            | "METADATA/AZURE/ATTRIBUTE/VALUE"
            | "METADATA/GOOGLE/ATTRIBUTE/VALUE"
            | "CLOUD_PROVIDER_TAGS/CLOUD_TAG/VALUE" => self.value = text.to_owned(),
            "METADATA/EC2/ATTRIBUTE" => self.attribute("aws"),
            "METADATA/AZURE/ATTRIBUTE" => self.attribute("azure"),
            "METADATA/GOOGLE/ATTRIBUTE" => self.attribute("gcp"),
            "CLOUD_PROVIDER_TAGS/CLOUD_TAG" => {
                let (key, value) = (std::mem::take(&mut self.name), std::mem::take(&mut self.value));
                if !key.is_empty() {
                    self.host.tags.push(Tag { key, value });
                }
            }
            _ => {}
        }
    }

    fn cloud(&mut self, provider: &'static str) -> &mut Cloud {
        let at = self.clouds.iter().position(|cloud| cloud.provider == provider).unwrap_or_else(|| {
            self.clouds.push(Cloud { provider, ..Cloud::default() });
            self.clouds.len() - 1
        });
        &mut self.clouds[at]
    }

    /// A metadata attribute: `latest/dynamic/instance-identity/document/accountId` and its like.
    fn attribute(&mut self, provider: &'static str) {
        let (name, value) = (std::mem::take(&mut self.name), std::mem::take(&mut self.value));
        if value.is_empty() {
            return;
        }
        let last = name.rsplit('/').next().unwrap_or("").to_ascii_lowercase().replace(['-', '_'], "");
        let cloud = self.cloud(provider);
        match (provider, last.as_str()) {
            ("aws", "accountid") | ("azure", "subscriptionid") | ("gcp", "projectid") => {
                cloud.account = Some(value)
            }
            ("aws", "region") | ("azure", "location") | ("gcp", "zone") => cloud.region = Some(value),
            ("aws" | "gcp", "instanceid") | ("azure", "vmid") => cloud.id = Some(value),
            _ => {}
        }
    }

    fn finish(mut self) -> Result<Host, String> {
        if self.host.native.is_empty() {
            let address = self.host.ips.first().ok_or("a host without ID")?;
            self.host.native.clone_from(address);
        }
        for name in [self.hostname, self.fqdn, self.dns] {
            let names = if name.contains('.') { &mut self.host.fqdns } else { &mut self.host.hostnames };
            // A reverse lookup that failed leaves the address in place of the name.
            if name.parse::<std::net::IpAddr>().is_err() {
                add(names, &name);
            }
        }
        let provider = match self.provider.as_str() {
            "ec2" | "aws" => Some("aws"),
            "azure" => Some("azure"),
            "gcp" | "google" => Some("gcp"),
            _ => None,
        };
        if !self.resource.is_empty()
            && let Some(provider) = provider
        {
            let known = self.clouds.iter_mut().find(|cloud| cloud.provider == provider);
            match known {
                Some(cloud) => cloud.id = cloud.id.take().or(Some(self.resource)),
                None => self.clouds.push(Cloud { provider, id: Some(self.resource), ..Cloud::default() }),
            }
        }
        self.host.cloud = self.clouds.into_iter().filter_map(Cloud::id).collect();
        self.host.last_scanned_at = self.scanned.or(self.scanned_otherwise);
        self.host.credentialed = match (self.scanned, self.authenticated) {
            (Some(scanned), Some(authenticated)) => Some(authenticated >= scanned),
            // An agent reads the host from inside.
            _ if self.tracking.contains("AGENT") => Some(true),
            (Some(_), None) => Some(false),
            (None, _) => None,
        };
        Ok(self.host)
    }
}

impl Cloud {
    fn id(self) -> Option<CloudId> {
        let Self { provider, account, region, id } = self;
        Some(CloudId { provider: provider.to_owned(), account, region, id: id? })
    }
}

/// Reads one `HostAsset` of the asset search. Its key is the host id that detections use, where it has one.
pub fn host_asset(xml: &Xml<'_>) -> Result<(Host, Marks), String> {
    let mut all = Asset::default();
    xml.walk(|path, element| {
        all.take(path, element.text);
        all.take_source(path, element.text);
    })?;
    all.finish()
}

/// What an asset of the search says.
#[derive(Default)]
struct Asset {
    host: Host,
    own: String,
    name: String,
    fqdn: String,
    tracking: String,
    cloud: Cloud,
    key: String,
    value: String,
    network: Network,
    interface: Interface,
    port: String,
    protocol: String,
    service: String,
    software: String,
    version: String,
}

impl Asset {
    fn take(&mut self, path: &str, text: &str) {
        let host = &mut self.host;
        match path {
            "id" => self.own = text.to_owned(),
            "qwebHostId" => host.native = text.to_owned(),
            "os" => host.os = some(text),
            "dnsHostName" => self.name = text.to_owned(),
            "fqdn" => self.fqdn = text.to_owned(),
            "netbiosName" => add(&mut host.netbios, text),
            "networkGuid" => self.network.id = some(text),
            "address" => add(&mut host.ips, text),
            "networkInterface/list/HostAssetInterface/interfaceName"
            | "networkInterface/list/HostAssetInterface/interfaceId"
                // The name, where there is one, and else the id.
                if !text.is_empty() && (self.interface.name.is_none() || path.ends_with("Name")) =>
            {
                self.interface.name = Some(text.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            "networkInterface/list/HostAssetInterface/address" => {
                add(&mut host.ips, text);
                add(&mut self.interface.ips, text);
            }
            "networkInterface/list/HostAssetInterface/macAddress" => {
                add(&mut host.macs, text);
                add(&mut self.interface.macs, text);
            }
            "networkInterface/list/HostAssetInterface" => {
                let interface = std::mem::take(&mut self.interface);
                // Addresses of one card come as an element each.
                let known = self
                    .network
                    .interfaces
                    .iter_mut()
                    .find(|known| known.name.is_some() && known.name == interface.name);
                match known {
                    Some(known) => {
                        interface.ips.iter().for_each(|ip| add(&mut known.ips, ip));
                        interface.macs.iter().for_each(|mac| add(&mut known.macs, mac));
                    }
                    None if interface != Interface::default() => self.network.interfaces.push(interface),
                    None => {}
                }
            }
            "openPort/list/HostAssetOpenPort/port" => self.port = text.to_owned(),
            "openPort/list/HostAssetOpenPort/protocol" => self.protocol = text.to_ascii_lowercase(),
            "openPort/list/HostAssetOpenPort/serviceName" => self.service = text.to_owned(),
            "openPort/list/HostAssetOpenPort" => {
                let (port, protocol, service) = (
                    std::mem::take(&mut self.port),
                    std::mem::take(&mut self.protocol),
                    std::mem::take(&mut self.service),
                );
                if let Some(port) = port.parse().ok().filter(|port| *port != 0) {
                    host.open_ports.push(OpenPort {
                        port,
                        protocol: some(&protocol),
                        service: some(&service),
                    });
                }
            }
            "software/list/HostAssetSoftware/name" => self.software = text.to_owned(),
            "software/list/HostAssetSoftware/version" => self.version = text.to_owned(),
            "software/list/HostAssetSoftware" => {
                let name = std::mem::take(&mut self.software);
                let version = some(&std::mem::take(&mut self.version));
                if !name.is_empty() {
                    host.software.push(Software { name, version, publisher: None });
                }
            }
            "trackingMethod" => self.tracking = text.to_ascii_uppercase(),
            // Printed examples break long ids over two lines.
            "agentInfo/agentId" => {
                add(&mut host.agent_ids, &text.split_whitespace().collect::<String>());
            }
            "tags/list/TagSimple/name" if !text.is_empty() => host.tags.push(Tag::parse(text)),
            "criticalityScore" => host.criticality = text.parse().ok().filter(|c| (1..=5).contains(c)),
            "lastVulnScan" => host.last_scanned_at = time(text),
            _ => {}
        }
    }

    fn take_source(&mut self, path: &str, text: &str) {
        let source = path.strip_prefix("sourceInfo/list/");
        let (provider, field) = match source.and_then(|source| source.split_once('/')) {
            Some(("Ec2AssetSourceSimple", field)) => ("aws", field),
            Some(("AzureAssetSourceSimple", field)) => ("azure", field),
            Some(("GcpAssetSourceSimple", field)) => ("gcp", field),
            _ => return,
        };
        let cloud = &mut self.cloud;
        cloud.provider = provider;
        match field {
            "accountId" | "subscriptionId" | "projectId" => cloud.account = some(text),
            "region" | "location" => cloud.region = some(text),
            "zone" if provider == "gcp" => cloud.region = some(text),
            "instanceId" | "vmId" => cloud.id = some(text),
            "ec2InstanceTags/tags/list/EC2Tags/key" => self.key = text.to_owned(),
            "ec2InstanceTags/tags/list/EC2Tags/value" => self.value = text.to_owned(),
            "ec2InstanceTags/tags/list/EC2Tags" if !self.key.is_empty() => {
                let (key, value) = (std::mem::take(&mut self.key), std::mem::take(&mut self.value));
                self.host.tags.push(Tag { key, value });
            }
            _ => {}
        }
    }

    fn finish(self) -> Result<(Host, Marks), String> {
        let mut host = self.host;
        let marks = Marks {
            asset: self.own.parse().unwrap_or(0),
            is_scanned: !host.native.is_empty(),
            ..Marks::default()
        };
        if host.native.is_empty() {
            host.native = self.own;
        }
        if host.native.is_empty() {
            return Err("an asset without id".to_owned());
        }
        for name in [self.name, self.fqdn] {
            add(if name.contains('.') { &mut host.fqdns } else { &mut host.hostnames }, &name);
        }
        host.cloud.extend(self.cloud.id());
        host.credentialed = self.tracking.contains("AGENT").then_some(true);
        host.network = Some(self.network).filter(|network| *network != Network::default());
        Ok((host, marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Host {
        host(&Xml::alone(&format!("<HOST>{inner}</HOST>"))).unwrap().0
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn every_field_is_mapped() {
        let read = read(
            "<ID>42</ID><ASSET_ID>77</ASSET_ID><IP>10.1.2.3</IP><IPV6>fd00::1</IPV6><TRACKING_METHOD>IP</TRACKING_METHOD>
            <OS><![CDATA[Ubuntu Linux 22.04]]></OS><DNS><![CDATA[web-1.example.com]]></DNS>
            <DNS_DATA><HOSTNAME><![CDATA[web-1]]></HOSTNAME><DOMAIN>example.com</DOMAIN><FQDN>web-1.example.com</FQDN></DNS_DATA>
            <NETBIOS>WEB-1</NETBIOS><QG_HOSTID>6cb1c83a-0000-4000-8000-000000000001</QG_HOSTID>
            <SERIAL_NUMBER>SN-1</SERIAL_NUMBER><HARDWARE_UUID>ec2ab1c2-0001</HARDWARE_UUID>
            <ASSET_CRITICALITY_SCORE>4</ASSET_CRITICALITY_SCORE>
            <LAST_SCAN_DATETIME>2026-11-20T05:00:00Z</LAST_SCAN_DATETIME>
            <LAST_VM_SCANNED_DATE>2026-11-19T05:00:00Z</LAST_VM_SCANNED_DATE>
            <LAST_VM_AUTH_SCANNED_DATE>2026-11-19T05:00:00Z</LAST_VM_AUTH_SCANNED_DATE>
            <TAGS><TAG><TAG_ID>1</TAG_ID><NAME><![CDATA[team=payments]]></NAME></TAG><TAG><NAME>env:prod</NAME></TAG>
            <TAG><NAME>Cloud Agent</NAME></TAG></TAGS>
            <CLOUD_PROVIDER>EC2</CLOUD_PROVIDER><CLOUD_SERVICE>EC2</CLOUD_SERVICE><CLOUD_RESOURCE_ID>i-0abc</CLOUD_RESOURCE_ID>
            <EC2_INSTANCE_ID>i-0abc</EC2_INSTANCE_ID>
            <CLOUD_PROVIDER_TAGS><CLOUD_TAG><NAME>Owner</NAME><VALUE>jo</VALUE></CLOUD_TAG></CLOUD_PROVIDER_TAGS>
            <METADATA><EC2>
            <ATTRIBUTE><NAME>latest/dynamic/instance-identity/document/region</NAME><LAST_STATUS>Success</LAST_STATUS><VALUE>eu-west-1</VALUE></ATTRIBUTE>
            <ATTRIBUTE><NAME>latest/dynamic/instance-identity/document/accountId</NAME><VALUE>123456789012</VALUE></ATTRIBUTE>
            <ATTRIBUTE><NAME>latest/meta-data/instance-id</NAME><VALUE></VALUE></ATTRIBUTE></EC2></METADATA>
            <NEW_ELEMENT>ignored</NEW_ELEMENT>",
        );
        let expected = Host {
            native: "42".into(),
            hostnames: vec!["web-1".into()],
            fqdns: vec!["web-1.example.com".into()],
            netbios: vec!["WEB-1".into()],
            ips: vec!["10.1.2.3".into(), "fd00::1".into()],
            cloud: vec![CloudId {
                provider: "aws".into(),
                account: Some("123456789012".into()),
                region: Some("eu-west-1".into()),
                id: "i-0abc".into(),
            }],
            agent_ids: vec!["6cb1c83a-0000-4000-8000-000000000001".into()],
            bios_uuid: Some("ec2ab1c2-0001".into()),
            serial: Some("SN-1".into()),
            os: Some("Ubuntu Linux 22.04".into()),
            tags: ["team=payments", "env:prod", "Cloud Agent", "Owner=jo"].map(Tag::parse).into(),
            criticality: Some(4),
            last_scanned_at: at("2026-11-19T05:00:00Z"),
            credentialed: Some(true),
            ..Host::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn absent_is_absent() {
        assert_eq!(read("<ID>1</ID><DNS/><TAGS/><OS></OS>"), Host { native: "1".into(), ..Host::default() });
        assert!(host(&Xml::alone("<HOST><OS>x</OS></HOST>")).is_err());
    }

    #[test]
    fn other_clouds_have_their_own_words() {
        let azure = read(
            "<ID>1</ID><CLOUD_PROVIDER>Azure</CLOUD_PROVIDER><METADATA><AZURE>
            <ATTRIBUTE><NAME>latest/compute/vmId</NAME><VALUE>vm-1</VALUE></ATTRIBUTE>
            <ATTRIBUTE><NAME>latest/compute/subscriptionId</NAME><VALUE>sub-1</VALUE></ATTRIBUTE>
            <ATTRIBUTE><NAME>latest/compute/location</NAME><VALUE>westeurope</VALUE></ATTRIBUTE></AZURE></METADATA>",
        );
        let id = |provider: &str, account: Option<&str>, region: Option<&str>, id: &str| CloudId {
            provider: provider.into(),
            account: account.map(str::to_owned),
            region: region.map(str::to_owned),
            id: id.into(),
        };
        assert_eq!(azure.cloud, [id("azure", Some("sub-1"), Some("westeurope"), "vm-1")]);
        let gcp =
            read("<ID>1</ID><CLOUD_PROVIDER>GCP</CLOUD_PROVIDER><CLOUD_RESOURCE_ID>99</CLOUD_RESOURCE_ID>");
        assert_eq!(gcp.cloud, [id("gcp", None, None, "99")]);
        let unknown = read(
            "<ID>1</ID><CLOUD_PROVIDER>Alibaba</CLOUD_PROVIDER><CLOUD_RESOURCE_ID>9</CLOUD_RESOURCE_ID>",
        );
        assert!(unknown.cloud.is_empty(), "a cloud that we do not know identifies nothing");
    }

    #[test]
    fn a_scan_that_could_not_log_in_is_not_credentialed() {
        let dates = |scanned: &str, authenticated: &str, tracking: &str| {
            read(&format!(
                "<ID>1</ID><TRACKING_METHOD>{tracking}</TRACKING_METHOD><LAST_VM_SCANNED_DATE>{scanned}</LAST_VM_SCANNED_DATE>
                <LAST_VM_AUTH_SCANNED_DATE>{authenticated}</LAST_VM_AUTH_SCANNED_DATE>"
            ))
            .credentialed
        };
        assert_eq!(dates("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z", "IP"), Some(false));
        assert_eq!(dates("2026-11-02T00:00:00Z", "", "IP"), Some(false));
        assert_eq!(dates("2026-11-02T00:00:00Z", "", "AGENT"), Some(true));
        assert_eq!(dates("", "", "IP"), None);
    }

    #[test]
    fn hostile_values_do_no_harm() {
        let bytes = b"<HOST><ID>1</ID><DNS>10.0.0.9</DNS><OS>Win\x00dows\xff &lt;b&gt;</OS>\
            <ASSET_CRITICALITY_SCORE>9</ASSET_CRITICALITY_SCORE><LAST_VM_SCANNED_DATE>never</LAST_VM_SCANNED_DATE></HOST>";
        let read = host(&Xml::alone(&crate::xml::clean(bytes))).unwrap().0;
        assert_eq!(read.os.as_deref(), Some("Windows\u{FFFD} <b>"));
        assert_eq!((read.criticality, read.last_scanned_at), (None, None));
        assert!(read.fqdns.is_empty() && read.hostnames.is_empty(), "an address is no name");
    }

    #[test]
    fn assets_of_the_search_are_the_same_hosts() {
        let (read, marks) = host_asset(&Xml::alone("<HostAsset><id>7</id><name>x</name><tags><list><TagSimple><id>1</id><name>Cloud Agent</name></TagSimple></list></tags>
            <sourceInfo><list><Ec2AssetSourceSimple><instanceId>i-1</instanceId><accountId>123</accountId><region>us-east-1</region>
            <zone>VPC</zone><ec2InstanceTags><tags><list><EC2Tags><key>Owner</key><value>Jo</value></EC2Tags></list></tags></ec2InstanceTags>
            </Ec2AssetSourceSimple></list></sourceInfo><qwebHostId>42</qwebHostId><os>Linux</os><fqdn>a.example.com</fqdn>
            <dnsHostName>a</dnsHostName><netbiosName>A</netbiosName><address>10.0.0.1</address><trackingMethod>QAGENT</trackingMethod>
            <agentInfo><agentId>2e68-\n 9bb2</agentId></agentInfo><lastVulnScan>2026-01-02T03:04:05Z</lastVulnScan>
            <networkInterface><list><HostAssetInterface><interfaceId>eni-1</interfaceId><address>3.3.3.3</address>
            <macAddress>00:11:22:33:44:55</macAddress></HostAssetInterface><HostAssetInterface><interfaceId>eni-1</interfaceId>
            <address>10.0.0.1</address></HostAssetInterface></list></networkInterface>
            <openPort><list><HostAssetOpenPort><port>22</port><protocol>TCP</protocol><serviceName>ssh</serviceName></HostAssetOpenPort>
            <HostAssetOpenPort><port>0</port></HostAssetOpenPort></list></openPort>
            <software><list><HostAssetSoftware><name>openssh-server</name><version>8.0p1</version></HostAssetSoftware></list></software>
            </HostAsset>"))
        .unwrap();
        assert_eq!((marks.asset, marks.is_scanned), (7, true));
        assert_eq!(
            read.network.as_ref().map(|network| &network.interfaces[..]),
            Some(
                &[Interface {
                    name: Some("eni-1".into()),
                    ips: vec!["3.3.3.3".into(), "10.0.0.1".into()],
                    macs: vec!["00:11:22:33:44:55".into()],
                }][..]
            )
        );
        assert_eq!(
            read.open_ports,
            [OpenPort { port: 22, protocol: Some("tcp".into()), service: Some("ssh".into()) }]
        );
        assert_eq!(
            read.software,
            [Software { name: "openssh-server".into(), version: Some("8.0p1".into()), publisher: None }]
        );
        assert_eq!(read.native, "42");
        assert_eq!(read.ips, ["10.0.0.1", "3.3.3.3"]);
        assert_eq!(read.cloud[0].region.as_deref(), Some("us-east-1"));
        assert_eq!(read.agent_ids, ["2e68-9bb2"]);
        assert_eq!(read.tags, ["Cloud Agent", "Owner=Jo"].map(Tag::parse));
        assert_eq!(read.credentialed, Some(true));
        assert!(host_asset(&Xml::alone("<HostAsset/>")).is_err());
        let (discovered, marks) = host_asset(&Xml::alone("<HostAsset><id>8</id></HostAsset>")).unwrap();
        assert_eq!((discovered.native.as_str(), marks.is_scanned), ("8", false));
    }

    #[test]
    fn ids_of_tags_and_groups_are_kept_beside_the_host() {
        let (_, marks) = host(&Xml::alone("<HOST><ID>1</ID><TAGS><TAG><TAG_ID>5</TAG_ID><NAME>a</NAME></TAG><TAG><TAG_ID>x</TAG_ID></TAG></TAGS>
            <ASSET_GROUP_IDS>7, 8,</ASSET_GROUP_IDS></HOST>"))
        .unwrap();
        assert_eq!((marks.tags, marks.groups, marks.is_scanned), (vec![5], vec![7, 8], true));
    }
}
