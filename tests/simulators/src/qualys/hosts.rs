//! The host list, and what it shares with the detections: which hosts a page holds.

use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use futures::stream;
use jiff::Timestamp;

use super::Ask;
use super::params::Params;
use crate::World;
use crate::estate::{Host, HostKind, Known, Scanner, iso};
use crate::faults::Mode;

/// Ids of hosts begin here; host `i` has this plus `i`.
const FIRST_ID: u64 = 40_000_001;
/// Hosts in a page unless told.
const PAGE: u64 = 1000;
/// Hosts written at a time.
const GROUP: usize = 10;

pub type Piece = Result<Bytes, std::convert::Infallible>;

/// The id of a host.
pub fn id(host: &Host) -> u64 {
    FIRST_ID + u64::from(host.index)
}

/// Walks the hosts of one page.
pub struct Page {
    now: Timestamp,
    next: u32,
    end: u32,
    left: u64,
}

impl Page {
    /// The page that a request asks for.
    pub fn new(ask: &Ask) -> Self {
        let now = ask.world.clock.now();
        let least = ask.params.number("id_min").unwrap_or(0).saturating_sub(FIRST_ID);
        let limit = ask.params.number("truncation_limit").unwrap_or(PAGE);
        let end = if ask.mode == Mode::Empty { 0 } else { ask.world.estate.hosts_until(now) };
        Self {
            now,
            next: u32::try_from(least).unwrap_or(u32::MAX),
            end,
            left: if limit == 0 { u64::MAX } else { limit },
        }
    }

    /// The next host of the page that fits the request.
    pub fn next(&mut self, world: &World, params: &Params) -> Option<Known> {
        while self.left > 0 && self.next < self.end {
            let known = self.look(world, params);
            self.next += 1;
            if known.is_some() {
                return known;
            }
        }
        None
    }

    /// One host was written.
    pub fn wrote(&mut self) {
        self.left -= 1;
    }

    /// The id with which the next page begins, if there is one.
    pub fn rest(&mut self, world: &World, params: &Params) -> Option<u64> {
        while self.next < self.end {
            if let Some(known) = self.look(world, params) {
                return Some(id(&known.host));
            }
            self.next += 1;
        }
        None
    }

    fn look(&self, world: &World, params: &Params) -> Option<Known> {
        if !params.wants(FIRST_ID + u64::from(self.next)) {
            return None;
        }
        let known = world.estate.known(self.next, Scanner::Qualys, self.now)?;
        let fits = known.removed.is_none()
            && params.time("vm_processed_after").is_none_or(|time| known.published() >= time)
            && params.time("vm_scan_since").is_none_or(|time| known.last_scan() >= time)
            && params.time("no_vm_scan_since").is_none_or(|time| known.last_scan() < time);
        fits.then_some(known)
    }
}

/// What every answer begins with.
pub fn prologue(ask: &Ask, root: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<!DOCTYPE {root} SYSTEM \"{}/qualys{}{}.dtd\">\n\
         <!-- simulated data //-->\n<{root}>\n  <RESPONSE>\n    <DATETIME>{}</DATETIME>\n",
        ask.world.base_url(),
        ask.path,
        root.to_lowercase(),
        iso(ask.world.clock.now().as_second())
    )
}

/// What every answer ends with.
pub fn epilogue(root: &str) -> String {
    format!("  </RESPONSE>\n</{root}>\n<!-- simulated data, no warranty //-->\n")
}

/// The notice that there is another page, with its address.
pub fn warning(ask: &Ask, id_min: u64) -> String {
    format!(
        "    <WARNING>\n      <CODE>1980</CODE>\n      <TEXT>The page is full; the URL leads to the next one.</TEXT>\n      \
         <URL><![CDATA[{}/qualys{}?{}]]></URL>\n    </WARNING>\n",
        ask.world.base_url(),
        ask.path,
        ask.params.next_page(id_min)
    )
}

/// The tags of a host, by their names.
pub fn tag_names(host: &Host) -> [String; 4] {
    [
        format!("env={}", host.environment),
        format!("team={}", host.team),
        format!("exposure={}", host.exposure),
        format!("criticality={}", host.criticality),
    ]
}

/// The id of a tag.
pub fn tag_id(name: &str) -> u64 {
    7_000_000 + crate::dice::hash(0, &[name]) % 1_000_000
}

/// The tags of a host, as an element.
pub fn tags(host: &Host) -> String {
    let tags = tag_names(host);
    let mut text = String::from("        <TAGS>\n");
    for tag in tags {
        let id = tag_id(&tag);
        let _ = writeln!(text, "          <TAG><TAG_ID>{id}</TAG_ID><NAME><![CDATA[{tag}]]></NAME></TAG>");
    }
    text + "        </TAGS>\n"
}

/// The elements that say who a host is, the same in both lists.
pub fn identity(ask: &Ask, known: &Known) -> String {
    let host = &known.host;
    let mut text = String::with_capacity(1024);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "        <{name}>{value}</{name}>");
    };
    let cdata = |value: &str| format!("<![CDATA[{value}]]>");
    line("ID", &id(host).to_string());
    if ask.params.on("show_asset_id") {
        line("ASSET_ID", &(90_000_001 + u64::from(host.index)).to_string());
    }
    line("IP", &host.ip);
    line(
        "TRACKING_METHOD",
        match (host.agent.is_some(), host.kind) {
            (true, _) => "AGENT",
            (false, HostKind::CloudLinux) => "EC2",
            (false, HostKind::Appliance) => "DNS",
            (false, _) => "IP",
        },
    );
    if host.kind != HostKind::Appliance {
        line("OS", &cdata(host.os));
    }
    line("DNS", &cdata(host.fqdn.as_deref().unwrap_or(&host.hostname)));
    let (domain, fqdn) = match &host.fqdn {
        Some(fqdn) => (fqdn.split_once('.').map_or("", |(_, domain)| domain), fqdn.as_str()),
        None => ("", ""),
    };
    let _ = writeln!(
        text,
        "        <DNS_DATA><HOSTNAME>{}</HOSTNAME><DOMAIN>{}</DOMAIN><FQDN>{}</FQDN></DNS_DATA>",
        cdata(&host.hostname),
        cdata(domain),
        cdata(fqdn)
    );
    if let Some(cloud) = &host.cloud {
        let _ = writeln!(
            text,
            "        <CLOUD_PROVIDER>AWS</CLOUD_PROVIDER>\n        <CLOUD_SERVICE>EC2</CLOUD_SERVICE>\n        \
             <CLOUD_RESOURCE_ID>{0}</CLOUD_RESOURCE_ID>\n        <EC2_INSTANCE_ID>{0}</EC2_INSTANCE_ID>",
            cdata(&cloud.instance)
        );
    }
    if let Some(netbios) = &host.netbios {
        let _ = writeln!(text, "        <NETBIOS>{}</NETBIOS>", cdata(netbios));
    }
    if let Some(agent) = &host.agent {
        let _ = writeln!(text, "        <QG_HOSTID>{}</QG_HOSTID>", cdata(agent));
    }
    let scanned = iso(known.last_scan());
    let _ = writeln!(
        text,
        "        <LAST_SCAN_DATETIME>{scanned}</LAST_SCAN_DATETIME>\n        \
         <LAST_VM_SCANNED_DATE>{scanned}</LAST_VM_SCANNED_DATE>"
    );
    if host.kind != HostKind::Appliance {
        let _ = writeln!(text, "        <LAST_VM_AUTH_SCANNED_DATE>{scanned}</LAST_VM_AUTH_SCANNED_DATE>");
    }
    if ask.params.on("show_tags") {
        text.push_str(&tags(host));
    }
    if ask.params.text("host_metadata").is_some_and(|what| matches!(what, "all" | "ec2")) {
        text.push_str(&metadata(known));
    }
    text
}

fn metadata(known: &Known) -> String {
    let Some(cloud) = &known.host.cloud else { return String::new() };
    let attributes = [
        ("instance-id", cloud.instance.as_str()),
        ("accountId", cloud.account),
        ("placement/region", cloud.region),
        ("placement/availability-zone", cloud.zone.as_str()),
        ("instance-type", cloud.size),
        ("local-ipv4", known.host.ip.as_str()),
    ];
    let mut text = String::from("        <METADATA>\n          <EC2>\n");
    for (name, value) in attributes {
        let _ = writeln!(
            text,
            "            <ATTRIBUTE><NAME><![CDATA[{name}]]></NAME><LAST_STATUS>Success</LAST_STATUS>\
             <VALUE><![CDATA[{value}]]></VALUE></ATTRIBUTE>"
        );
    }
    text + "          </EC2>\n        </METADATA>\n"
}

const ROOT: &str = "HOST_LIST_OUTPUT";

/// The answer as a body that is written while it is read.
pub fn stream(ask: Ask) -> Body {
    let page = Page::new(&ask);
    let ids_only = ask.params.text("details") == Some("None");
    let state = Some((ask, page, false));
    Body::from_stream(stream::unfold(state, move |state| {
        let piece = state.and_then(
            |(ask, page, began)| {
                if ids_only { ids(ask, page) } else { hosts(ask, page, began) }
            },
        );
        async move { piece }
    }))
}

type Progress = Option<(Ask, Page, bool)>;

/// Ids alone.
fn ids(ask: Ask, mut page: Page) -> Option<(Piece, Progress)> {
    let mut text = prologue(&ask, ROOT);
    let mut any = false;
    while let Some(known) = page.next(&ask.world, &ask.params) {
        page.wrote();
        if !std::mem::replace(&mut any, true) {
            text.push_str("    <ID_SET>\n");
        }
        let _ = writeln!(text, "      <ID>{}</ID>", id(&known.host));
    }
    if any {
        text.push_str("    </ID_SET>\n");
    }
    finish(&ask, &mut page, &mut text);
    text.push_str(&epilogue(ROOT));
    Some((Ok(text.into()), None))
}

fn hosts(ask: Ask, mut page: Page, began: bool) -> Option<(Piece, Progress)> {
    let mut text = if began { String::new() } else { prologue(&ask, ROOT) };
    let mut any = began;
    for _ in 0..GROUP {
        let Some(known) = page.next(&ask.world, &ask.params) else {
            if any {
                text.push_str("    </HOST_LIST>\n");
            }
            finish(&ask, &mut page, &mut text);
            text.push_str(&epilogue(ROOT));
            return Some((Ok(text.into()), None));
        };
        page.wrote();
        if !any {
            text.push_str("    <HOST_LIST>\n");
            any = true;
        }
        text.push_str("      <HOST>\n");
        text.push_str(&identity(&ask, &known));
        text.push_str(&details(&known));
        if ask.params.text("details").is_some_and(|details| details.ends_with("/AGs")) {
            let _ = writeln!(
                text,
                "        <ASSET_GROUP_IDS>{}</ASSET_GROUP_IDS>",
                super::groups::of(&known.host)
            );
        }
        text.push_str("      </HOST>\n");
    }
    Some((Ok(text.into()), Some((ask, page, any))))
}

fn details(known: &Known) -> String {
    let host = &known.host;
    let mut text = format!(
        "        <FIRST_FOUND_DATE>{}</FIRST_FOUND_DATE>\n        <LAST_ACTIVITY>{}</LAST_ACTIVITY>\n        \
         <ASSET_CRITICALITY_SCORE>{}</ASSET_CRITICALITY_SCORE>\n        <TRURISK_SCORE>{}</TRURISK_SCORE>\n",
        iso(known.first_scan()),
        iso(known.published()),
        host.criticality,
        150 + u32::from(host.criticality) * 140
    );
    if let Some(serial) = &host.serial {
        let _ = writeln!(text, "        <SERIAL_NUMBER><![CDATA[{serial}]]></SERIAL_NUMBER>");
    }
    if let Some(uuid) = &host.bios_uuid {
        let _ = writeln!(text, "        <HARDWARE_UUID><![CDATA[{uuid}]]></HARDWARE_UUID>");
    }
    if host.agent.is_some() {
        text.push_str("        <AGENT_STATUS><![CDATA[Active]]></AGENT_STATUS>\n");
    }
    text
}

/// The notice of the next page, if there is one.
pub fn finish(ask: &Ask, page: &mut Page, text: &mut String) {
    if page.left == 0
        && let Some(next) = page.rest(&ask.world, &ask.params)
    {
        text.push_str(&warning(ask, next));
    }
}
