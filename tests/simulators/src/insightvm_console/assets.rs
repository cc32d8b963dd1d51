//! Assets, sites and tags.

use serde_json::{Value, json};

use super::{Console, findings};
use crate::estate::{Host, Known, iso};

/// A tag of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Number.
    pub id: u32,
    /// `custom`, `location`, `criticality`.
    pub kind: &'static str,
    /// What it says.
    pub name: String,
}

const CRITICALITY: [&str; 5] = ["Very Low", "Low", "Medium", "High", "Very High"];
const CUSTOM: [&str; 10] = [
    "env=prod",
    "env=staging",
    "env=dev",
    "team=payments",
    "team=platform",
    "team=identity",
    "team=data",
    "team=web",
    "exposure=internet",
    "exposure=internal",
];
const LOCATIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-1", "ap-southeast-2"];

/// Every tag, in the order of their numbers.
pub fn all_tags() -> Vec<Tag> {
    let named = CRITICALITY.iter().map(|name| ("criticality", *name));
    let custom = CUSTOM.iter().map(|name| ("custom", *name));
    let locations = LOCATIONS.iter().map(|name| ("location", *name));
    let all = named.chain(custom).chain(locations).enumerate();
    all.map(|(at, (kind, name))| Tag { id: at as u32 + 1, kind, name: name.to_owned() }).collect()
}

/// The tags of a host.
pub fn tags_of(host: &Host) -> Vec<Tag> {
    let wanted = |tag: &Tag| match tag.kind {
        "criticality" => CRITICALITY[usize::from(host.criticality.clamp(1, 5)) - 1] == tag.name,
        "location" => host.cloud.as_ref().is_some_and(|cloud| cloud.region == tag.name),
        _ => match tag.name.split_once('=') {
            Some(("env", value)) => host.environment == value,
            Some(("team", value)) => host.team == value,
            Some((_, value)) => host.exposure == value,
            None => false,
        },
    };
    all_tags().into_iter().filter(wanted).collect()
}

/// A tag as the API shows it.
pub fn tag(console: &Console, tag: &Tag) -> Value {
    let mut shown = json!({
        "id": tag.id, "name": tag.name, "type": tag.kind, "color": "default",
        "source": if tag.kind == "criticality" { "built-in" } else { "custom" },
        "created": iso(0), "links": [console.link(&format!("tags/{}", tag.id), "self")],
    });
    if tag.kind == "criticality" {
        shown["riskModifier"] = json!(f64::from(tag.id) / 2.0);
    }
    shown
}

/// Number, name and kind of each site: that of every host, one whose scans are aborted, one that nobody has scanned yet, and
/// that of the agents, which no scan looks at.
const SITES: [(u32, &str, &str); 4] = [
    (1, "Offices, data centres", "static"),
    (2, "Branch offices", "static"),
    (3, "Laboratory", "dynamic"),
    (4, "Rapid7 Insight Agents", "agent"),
];

fn is_in(host: &Host, site: u32) -> bool {
    site == 1 || (site == 4 && host.agent.is_some())
}

/// The names of a host's sites.
pub fn sites_of(host: &Host) -> impl Iterator<Item = &'static str> {
    SITES.into_iter().filter(|(id, ..)| is_in(host, *id)).map(|(_, name, _)| name)
}

/// The sites.
pub fn sites(console: &Console) -> Vec<Value> {
    let known = console.assets();
    let last = known.iter().map(Known::last_scan).max().unwrap_or_default();
    let site = |(id, name, kind): (u32, &str, &str)| {
        let assets = known.iter().filter(|known| is_in(&known.host, id)).count();
        let mut site = json!({
            "id": id, "name": name, "type": kind, "importance": "normal", "assets": assets,
            "riskScore": 1000.0 * assets as f64, "scanEngine": 3, "scanTemplate": "full-audit-without-web-spider",
            "links": [console.link(&format!("sites/{id}"), "self")],
        });
        if id == 1 {
            site["lastScanTime"] = iso(last).into();
        }
        site
    };
    SITES.into_iter().map(site).collect()
}

/// Scans of the sites, newest first: one that runs in the first, or those of the last two days.
pub fn scans(console: &Console, active: bool) -> Vec<Value> {
    let now = console.world.clock.now().as_second();
    let scan = |id: u64, (site, name): (u32, &str), status: &str, (began, ended): (i64, Option<i64>)| {
        let at = |minutes: i64| iso(now - minutes * 60);
        let mut scan = json!({
            "id": id, "siteId": site, "siteName": name, "scanName": format!("{name}, daily"), "scanType": "Scheduled",
            "status": status, "startTime": at(began), "engineId": 3, "engineName": "Local scan engine",
            "links": [console.link(&format!("scans/{id}"), "self")],
        });
        if let Some(ended) = ended {
            scan["endTime"] = at(ended).into();
            scan["duration"] = format!("PT{}M", began - ended).into();
        }
        scan
    };
    let [first, second] = [SITES[0], SITES[1]].map(|(id, name, _)| (id, name));
    if active {
        return vec![scan(15, first, "running", (20, None))];
    }
    vec![
        scan(14, first, "finished", (180, Some(120))),
        scan(13, second, "aborted", (400, Some(390))),
        scan(12, first, "finished", (1_620, Some(1_560))),
        scan(11, second, "finished", (1_840, Some(1_700))),
    ]
}

/// An asset as the API shows it.
pub fn asset(console: &Console, known: &Known) -> Value {
    let host = &known.host;
    let id = host.index + 1;
    let found = findings::of(&console.world, known);
    let count =
        |word: &str| findings::grouped(&found).iter().filter(|g| g[0].severity_word() == word).count();
    let (critical, severe, moderate) = (count("Critical"), count("Severe"), count("Moderate"));
    let mut addresses = vec![match &host.mac {
        Some(mac) => json!({ "ip": host.ip, "mac": mac }),
        None => json!({ "ip": host.ip }),
    }];
    addresses.extend(host.public_ip.iter().map(|ip| json!({ "ip": ip })));
    let name = host.fqdn.as_ref().unwrap_or(&host.hostname);
    let mut names = vec![json!({ "name": name, "source": "dns" })];
    names.extend(host.netbios.iter().map(|name| json!({ "name": name, "source": "netbios" })));
    let mut ids = Vec::new();
    ids.extend(host.bios_uuid.iter().map(|id| json!({ "id": id, "source": "dmidecode" })));
    ids.extend(host.agent.iter().map(|id| json!({ "id": id.replace('-', ""), "source": "R7 Agent" })));
    let kind = if host.agent.is_some() { "AGENT-IMPORT" } else { "SCAN" };
    let event = |date: i64, version: u32| json!({ "date": iso(date), "scanId": date / 86_400, "type": kind, "version": version });
    let mut shown = json!({
        "id": id, "ip": host.ip, "hostName": name, "hostNames": names, "addresses": addresses, "ids": ids,
        "os": host.os, "osFingerprint": { "id": 1, "description": host.os, "systemName": host.os },
        "assessedForVulnerabilities": true, "assessedForPolicies": false,
        "history": [event(known.first_scan(), 1), event(known.last_scan(), 2)],
        "rawRiskScore": 100.5 * found.len() as f64, "riskScore": 100.5 * found.len() as f64,
        "services": [],
        "vulnerabilities": {
            "critical": critical, "severe": severe, "moderate": moderate, "exploits": 0, "malwareKits": 0,
            "total": critical + severe + moderate,
        },
        "links": [
            console.link(&format!("assets/{id}"), "self"),
            console.link(&format!("assets/{id}/tags"), "Tags"),
        ],
    });
    if let Some(mac) = &host.mac {
        shown["mac"] = json!(mac);
    }
    shown
}

/// The first second of what a search asks for.
pub fn search(body: &[u8]) -> Result<Option<i64>, String> {
    let wish: Value = serde_json::from_slice(body).map_err(|_| "the body is no JSON".to_owned())?;
    if !matches!(wish["match"].as_str(), Some("all" | "any")) {
        return Err("match is all or any".into());
    }
    let mut since = None;
    for filter in wish["filters"].as_array().ok_or("filters is a list")? {
        let (field, operator) = (filter["field"].as_str(), filter["operator"].as_str());
        if (field, operator) != (Some("last-scan-date"), Some("is-on-or-after")) {
            return Err(format!("the filter {field:?} {operator:?} is not simulated"));
        }
        let value = filter["value"].as_str().ok_or("value is a date")?;
        let day: jiff::civil::Date =
            value.parse().map_err(|_| format!("{value:?} is no date: write YYYY-MM-DD"))?;
        let begin = day.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
        since = Some(begin.timestamp().as_second());
    }
    Ok(since)
}
