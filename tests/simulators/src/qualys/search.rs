//! The searches of asset management: host assets and tags, in XML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::hosts::{id as host_id, tag_id, tag_names};
use crate::World;
use crate::estate::{Known, Scanner, iso};
use crate::faults::Mode;

/// Ids of assets begin here; the host list has its own.
pub const FIRST_ASSET: u64 = 90_000_001;

/// What is asked for.
pub struct Wanted {
    limit: usize,
    after: u64,
    updated: Option<i64>,
}

impl Wanted {
    /// The id behind which the page begins.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// Reads a `ServiceRequest`.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(body);
        if !text.trim_start().starts_with("<ServiceRequest") && !text.trim().is_empty() {
            return Err("the body is no ServiceRequest".into());
        }
        let between =
            |open: &str, close: &str| Some(text.split_once(open)?.1.split_once(close)?.0.trim().to_owned());
        let mut wanted = Self { limit: 100, after: 0, updated: None };
        if let Some(limit) = between("<limitResults>", "</limitResults>") {
            wanted.limit =
                limit.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or("limitResults is 1 to 1000")?;
        }
        for criterion in text.split("<Criteria ").skip(1) {
            let attribute =
                |name: &str| Some(criterion.split_once(&format!("{name}=\""))?.1.split_once('"')?.0);
            let value = criterion
                .split_once('>')
                .and_then(|(_, rest)| rest.split_once('<'))
                .map_or("", |(v, _)| v.trim());
            match (attribute("field"), attribute("operator")) {
                (Some("id"), Some("GREATER")) => {
                    wanted.after = value.parse().map_err(|_| "id is no number")?
                }
                (Some("updated"), Some("GREATER")) => {
                    let time: jiff::Timestamp = value.parse().map_err(|_| "updated is no time")?;
                    wanted.updated = Some(time.as_second());
                }
                other => return Err(format!("{other:?} is not simulated")),
            }
        }
        Ok(wanted)
    }
}

/// An answer in the envelope of the searches.
fn envelope(records: &[String], last: Option<u64>) -> Response {
    let last = last.map_or_else(String::new, |id| format!("  <lastId>{id}</lastId>\n"));
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ServiceResponse xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n  \
         <responseCode>SUCCESS</responseCode>\n  <count>{}</count>\n  <hasMoreRecords>{}</hasMoreRecords>\n{last}  <data>\n{}  \
         </data>\n</ServiceResponse>",
        records.len(),
        !last.is_empty(),
        records.concat()
    );
    ([(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

/// A request that is refused.
pub fn invalid(world: &World, problem: &str) -> Response {
    world.received.refuse(format!("qualys: 400 {problem}"));
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ServiceResponse><responseCode>INVALID_REQUEST</responseCode>\
         <responseErrorDetails><errorMessage>{problem}</errorMessage></responseErrorDetails></ServiceResponse>"
    );
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

/// Tags with their criticality.
pub fn tags(world: &World, wanted: &Wanted, mode: &Mode) -> Response {
    let mut all = BTreeMap::new();
    for known in world.estate.view(Scanner::Qualys, world.clock.now()) {
        for name in tag_names(&known.host) {
            all.insert(tag_id(&name), name);
        }
    }
    let mut rest = all.into_iter().filter(|(id, _)| *id > wanted.after && *mode != Mode::Empty);
    let page: Vec<_> = rest.by_ref().take(wanted.limit).collect();
    let more = rest.next().and(page.last().map(|(id, _)| *id));
    let records: Vec<String> = page
        .iter()
        .map(|(id, name)| {
            let criticality = if name == "env=prod" { "      <criticalityScore>4</criticalityScore>\n" } else { "" };
            format!("    <Tag>\n      <id>{id}</id>\n      <name><![CDATA[{name}]]></name>\n{criticality}    </Tag>\n")
        })
        .collect();
    envelope(&records, more)
}

/// Host assets: all that the host list has, and one that was only discovered.
pub fn host_assets(world: &World, wanted: &Wanted, mode: &Mode) -> Response {
    let changed = |known: &Known| wanted.updated.is_none_or(|time| known.published() > time);
    let mut rest = world
        .estate
        .view(Scanner::Qualys, world.clock.now())
        .filter(|known| known.removed.is_none() && *mode != Mode::Empty)
        .filter(|known| FIRST_ASSET + u64::from(known.host.index) > wanted.after && changed(known));
    let page: Vec<_> = rest.by_ref().take(wanted.limit).collect();
    let more = rest.next().and(page.last()).map(|known| FIRST_ASSET + u64::from(known.host.index));
    let mut records: Vec<String> = page.iter().map(host_asset).collect();
    if wanted.after == 0 && *mode != Mode::Empty {
        records.insert(
            0,
            "    <HostAsset>\n      <id>12</id>\n      <name>printer</name>\n    </HostAsset>\n".into(),
        );
    }
    envelope(&records, more)
}

fn host_asset(known: &Known) -> String {
    let host = &known.host;
    let mut text = format!(
        "    <HostAsset>\n      <id>{}</id>\n      <name><![CDATA[{}]]></name>\n      <modified>{}</modified>\n      <type>HOST</type>\n",
        FIRST_ASSET + u64::from(host.index),
        host.hostname,
        iso(known.published())
    );
    text.push_str("      <tags><list>\n");
    for name in tag_names(host) {
        let _ = writeln!(
            text,
            "        <TagSimple><id>{}</id><name><![CDATA[{name}]]></name></TagSimple>",
            tag_id(&name)
        );
    }
    text.push_str("      </list></tags>\n      <sourceInfo><list>\n");
    if let Some(cloud) = &host.cloud {
        let _ = writeln!(
            text,
            "        <Ec2AssetSourceSimple><type>EC_2</type><ec2InstanceTags><tags><list><EC2Tags><key>Name</key><value>{}</value>\
             </EC2Tags></list></tags></ec2InstanceTags><availabilityZone>{}</availabilityZone><instanceId>{}</instanceId>\
             <instanceType>{}</instanceType><instanceState>RUNNING</instanceState><accountId>{}</accountId><region>{}</region>\
             <zone>VPC</zone></Ec2AssetSourceSimple>",
            host.hostname, cloud.zone, cloud.instance, cloud.size, cloud.account, cloud.region
        );
    }
    let _ = writeln!(
        text,
        "      </list></sourceInfo>\n      <qwebHostId>{}</qwebHostId>\n      <os><![CDATA[{}]]></os>\n      \
         <dnsHostName>{}</dnsHostName>\n      <address>{}</address>\n      <trackingMethod>{}</trackingMethod>",
        host_id(host),
        host.os,
        host.fqdn.as_ref().unwrap_or(&host.hostname),
        host.ip,
        if host.agent.is_some() { "QAGENT" } else { "IP" }
    );
    text.push_str("      <openPort><list>\n");
    for (port, protocol, service) in ports(known) {
        let _ = writeln!(
            text,
            "        <HostAssetOpenPort><port>{port}</port><protocol>{protocol}</protocol><serviceName>{service}</serviceName>\
             </HostAssetOpenPort>"
        );
    }
    text.push_str("      </list></openPort>\n      <software><list>\n");
    for (name, version, _) in software(known) {
        let _ = writeln!(
            text,
            "        <HostAssetSoftware><name><![CDATA[{name}]]></name><version>{version}</version></HostAssetSoftware>"
        );
    }
    text.push_str("      </list></software>\n      <networkInterface><list>\n");
    let mac = host.mac.as_ref().map_or_else(String::new, |mac| format!("<macAddress>{mac}</macAddress>"));
    for address in std::iter::once(&host.ip).chain(&host.public_ip) {
        let _ = writeln!(
            text,
            "        <HostAssetInterface><interfaceName>eth0</interfaceName>{mac}<address>{address}</address></HostAssetInterface>"
        );
    }
    text.push_str("      </list></networkInterface>\n    </HostAsset>\n");
    text
}

/// Ports on which the products of a host listen.
pub fn ports(known: &Known) -> Vec<(u16, &'static str, &'static str)> {
    let infos = known.host.products.iter().map(|product| product.info());
    let mut all: Vec<_> =
        infos.filter(|info| info.port > 0).map(|info| (info.port, info.protocol, info.service)).collect();
    all.sort_unstable();
    all.dedup_by_key(|(port, protocol, _)| (*port, *protocol));
    all
}

/// Name, version and vendor of the products of a host.
pub fn software(known: &Known) -> Vec<(&'static str, String, &'static str)> {
    let host = &known.host;
    host.products
        .iter()
        .map(|product| {
            let info = product.info();
            (info.name, format!("1.{}", *product as u32 % 20), info.vendor)
        })
        .collect()
}
