//! The export of findings: filters and wire format.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes};
use futures::stream;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::jobs::{self, Slice};
use crate::estate::catalogue::{self, Kind};
use crate::estate::{Host, HostKind, Known, Scanner, Sighting, State, Weakness, iso};
use crate::{World, dice};

/// Hosts whose findings are mixed with each other in a chunk.
const GROUP: usize = 5;
const DAY: i64 = 86_400;

/// Which findings are asked for.
pub struct Filters {
    since: Option<i64>,
    first_found: Option<i64>,
    last_found: Option<i64>,
    last_fixed: Option<i64>,
    indexed_at: Option<i64>,
    resurfaced: Option<i64>,
    states: Vec<State>,
    severities: Vec<u8>,
    plugins: Vec<u32>,
    families: Vec<String>,
    cves: Vec<String>,
    tags: Vec<(String, Vec<String>)>,
}

const KNOWN: &[&str] = &[
    "since",
    "first_found",
    "first_seen",
    "last_found",
    "last_seen",
    "last_fixed",
    "indexed_at",
    "resurfaced_date",
    "state",
    "severity",
    "plugin_id",
    "plugin_family",
    "cve_id",
];
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

impl Filters {
    /// Reads the filters of a request made at `now`, with the defaults of the real system.
    pub fn parse(wanted: &Map<String, Value>, now: Timestamp) -> Result<Self, String> {
        if let Some(name) =
            wanted.keys().find(|name| !KNOWN.contains(&name.as_str()) && !name.starts_with("tag."))
        {
            return Err(format!("filter {name} is not simulated"));
        }
        let time = |name: &str| jobs::time(wanted, name);
        let either = |one: &str, two: &str| Ok::<_, String>(time(one)?.or(time(two)?));
        let mut filters = Self {
            since: time("since")?,
            first_found: either("first_found", "first_seen")?,
            last_found: either("last_found", "last_seen")?,
            last_fixed: time("last_fixed")?,
            indexed_at: time("indexed_at")?,
            resurfaced: time("resurfaced_date")?,
            states: Vec::new(),
            severities: Vec::new(),
            plugins: Vec::new(),
            families: jobs::list(wanted, "plugin_family")?,
            cves: jobs::list(wanted, "cve_id")?,
            tags: jobs::tags(wanted)?,
        };
        for name in jobs::list(wanted, "state")? {
            filters.states.push(match name.to_uppercase().as_str() {
                "OPEN" => State::Open,
                "REOPENED" => State::Reopened,
                "FIXED" => State::Fixed,
                _ => return Err(format!("state {name} is unknown")),
            });
        }
        for name in jobs::list(wanted, "severity")? {
            let level = SEVERITIES.iter().position(|level| level.eq_ignore_ascii_case(&name));
            filters.severities.push(level.ok_or_else(|| format!("severity {name} is unknown"))? as u8);
        }
        for id in jobs::list(wanted, "plugin_id")? {
            filters.plugins.push(id.parse().map_err(|_| format!("plugin_id {id} is not a number"))?);
        }
        if filters.cves.len() > 200 {
            return Err("cve_id takes at most 200 ids".into());
        }
        filters.with_defaults(now)
    }

    fn with_defaults(mut self, now: Timestamp) -> Result<Self, String> {
        let windows = [self.first_found, self.last_found, self.last_fixed];
        let windowed = windows.iter().any(Option::is_some);
        if windowed && self.since.is_some() {
            return Err("since cannot be combined with first_found, last_found or last_fixed".into());
        }
        if windowed && self.states.is_empty() {
            return Err("state is required with first_found, last_found or last_fixed".into());
        }
        if self.states.is_empty() {
            self.states = vec![State::Open, State::Reopened];
            if self.since.is_some() {
                self.states.push(State::Fixed);
            }
        }
        if !windowed && self.since.is_none() && self.indexed_at.is_none() && self.resurfaced.is_none() {
            self.since = Some(now.as_second() - 30 * DAY);
        }
        Ok(self)
    }

    /// The filters as the status of a job repeats them.
    pub fn echo(&self) -> Value {
        let states: Vec<&str> = self.states.iter().copied().map(state).collect();
        let tags: Map<String, Value> =
            self.tags.iter().map(|(key, values)| (format!("tag.{key}"), json!(values))).collect();
        json!({
            "state": states,
            "tags": tags,
            "since": self.since.unwrap_or(0),
            "first_found": self.first_found.unwrap_or(0),
            "last_found": self.last_found.unwrap_or(0),
            "last_fixed": self.last_fixed.unwrap_or(0),
            "first_seen": 0,
            "last_seen": 0,
            "indexed_at": self.indexed_at.unwrap_or(0),
        })
    }

    /// Whether any finding of the host can pass: the cheap test that decides about chunks.
    pub fn host_matters(&self, known: &Known) -> bool {
        let scanned = self.since.or(self.last_found).or(self.last_fixed);
        known.removed.is_none()
            && scanned.is_none_or(|time| known.last_scan() >= time)
            && self.indexed_at.is_none_or(|time| known.published() >= time)
            && tagged(&known.host, &self.tags)
    }

    fn keep(&self, sighting: &Sighting) -> bool {
        let Sighting { weakness, .. } = sighting;
        let since = |time: i64| match sighting.state {
            State::Fixed => sighting.last_fixed.is_some_and(|fixed| fixed >= time),
            State::Open | State::Reopened => sighting.last_found >= time,
        };
        let among = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        self.states.contains(&sighting.state)
            && self.since.is_none_or(since)
            && self.first_found.is_none_or(|time| sighting.first_found >= time)
            && self.last_found.is_none_or(|time| sighting.last_found >= time)
            && self.last_fixed.is_none_or(|time| sighting.last_fixed.is_some_and(|fixed| fixed >= time))
            && self.indexed_at.is_none_or(|time| sighting.indexed >= time)
            && self.resurfaced.is_none_or(|time| sighting.resurfaced.is_some_and(|back| back >= time))
            && (self.severities.is_empty() || self.severities.contains(&weakness.tenable_severity))
            && (self.plugins.is_empty() || self.plugins.contains(&weakness.plugin_id()))
            && among(&self.families, weakness.product.info().family)
            && (self.cves.is_empty()
                || weakness.cves.iter().any(|cve| self.cves.iter().any(|one| one == cve)))
    }
}

/// Whether the tags of a host match every category.
pub fn tagged(host: &Host, wanted: &[(String, Vec<String>)]) -> bool {
    wanted.iter().all(|(category, values)| {
        tags(host)
            .iter()
            .any(|(key, value)| key.eq_ignore_ascii_case(category) && values.iter().any(|v| v == value))
    })
}

/// The tags of a host.
pub fn tags(host: &Host) -> [(&'static str, String); 4] {
    [
        ("env", host.environment.to_owned()),
        ("team", host.team.to_owned()),
        ("exposure", host.exposure.to_owned()),
        ("criticality", host.criticality.to_string()),
    ]
}

/// The id of an asset.
pub fn asset_id(world: &World, host: &Host) -> String {
    dice::uuid(world.options.seed, &[10, u64::from(host.index)])
}

fn state(state: State) -> &'static str {
    match state {
        State::Open => "OPEN",
        State::Reopened => "REOPENED",
        State::Fixed => "FIXED",
    }
}

/// A chunk as a body that is written while it is read.
pub fn stream(world: Arc<World>, slice: Slice) -> Body {
    let pieces = stream::unfold((0, true), move |(from, first)| {
        let piece = piece(&world, &slice, from, first);
        async move { piece }
    });
    Body::from_stream(pieces)
}

type Piece = Result<Bytes, std::convert::Infallible>;

fn piece(world: &World, slice: &Slice, from: usize, first: bool) -> Option<(Piece, (usize, bool))> {
    let jobs::Filters::Vulns(filters) = &*slice.filters else { return None };
    if from > slice.hosts.len() {
        return None;
    }
    let mut text = String::new();
    if from == 0 {
        text.push('[');
    }
    let mut group = Vec::new();
    for index in slice.hosts.iter().skip(from).take(GROUP) {
        let Some(known) = world.estate.known(*index, Scanner::Tenable, slice.at) else { continue };
        let asset = asset(world, &known).to_string();
        let kept = known.sightings().into_iter().filter(|sighting| filters.keep(sighting));
        let order = |s: &Sighting| {
            let parts = [11, u64::from(*index), u64::from(s.weakness.id), u64::from(s.port)];
            dice::hash_numbers(world.options.seed, &parts)
        };
        let asset: Arc<str> = asset.into();
        group.extend(kept.map(|sighting| (order(&sighting), *index, asset.clone(), known.scans, sighting)));
    }
    group.sort_by_key(|entry| entry.0);
    let mut empty = first;
    for (number, index, asset, scans, sighting) in group {
        if !empty {
            text.push(',');
        }
        empty = false;
        finding(&mut text, number, index, &asset, &scans, &sighting);
    }
    let next = if from + GROUP >= slice.hosts.len() {
        text.push(']');
        slice.hosts.len() + 1
    } else {
        from + GROUP
    };
    Some((Ok(Bytes::from(text)), (next, empty)))
}

fn asset(world: &World, known: &Known) -> Value {
    let host = &known.host;
    let optional = |value: &Option<String>| value.as_ref().map(|text| json!(text));
    let mac = host.mac.as_ref().map(|mac| json!(mac));
    let fields = [
        ("agent_uuid", host.agent.as_ref().map(|agent| json!(agent.replace('-', "")))),
        ("bios_uuid", optional(&host.bios_uuid)),
        (
            "device_type",
            Some(json!(if host.kind == HostKind::Appliance { "firewall" } else { "general-purpose" })),
        ),
        ("fqdn", optional(&host.fqdn)),
        (
            "hostname",
            Some(json!(if host.fqdn.is_some() && host.index % 9 == 4 { &host.ip } else { &host.hostname })),
        ),
        ("uuid", Some(json!(asset_id(world, host)))),
        ("ipv4", Some(json!(host.ip))),
        (
            "last_authenticated_results",
            (host.kind != HostKind::Appliance).then(|| json!(iso(known.last_scan()))),
        ),
        ("mac_address", mac),
        ("netbios_name", optional(&host.netbios)),
        ("operating_system", (host.kind != HostKind::Appliance).then(|| json!([host.os]))),
        ("serial_number", optional(&host.serial)),
        ("network_id", Some(json!("00000000-0000-0000-0000-000000000000"))),
        ("tracked", Some(json!(true))),
    ];
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}

fn finding(
    text: &mut String,
    number: u64,
    index: u32,
    asset: &str,
    scans: &crate::estate::Scans,
    sighting: &Sighting,
) {
    let Sighting { weakness, .. } = sighting;
    let info = weakness.product.info();
    let (modification, severity) = match number % 211 {
        7 if !weakness.is_information() => ("ACCEPTED", weakness.tenable_severity),
        8 if weakness.tenable_severity > 1 => ("RECASTED", weakness.tenable_severity - 1),
        _ => ("NONE", weakness.tenable_severity),
    };
    let id = dice::uuid(number, &[12]);
    let scan = dice::uuid(u64::from(index) << 20 | scans.last.unsigned_abs(), &[13]);
    let output = json!(output(sighting));
    let (first, last) = (iso(sighting.first_found), iso(sighting.last_found));
    let mut write = |arguments: std::fmt::Arguments| {
        let _ = text.write_fmt(arguments);
    };
    write(format_args!("{{\"asset\":{asset},\"output\":{output},\"plugin\":{}", PLUGINS[&weakness.id]));
    write(format_args!(",\"port\":{{\"port\":{},\"protocol\":\"{}\"", sighting.port, info.protocol));
    if !info.service.is_empty() {
        write(format_args!(",\"service\":\"{}\"", info.service));
    }
    write(format_args!(
        "}},\"scan\":{{\"schedule_uuid\":\"template-5ca1ab1e-0000-4000-8000-000000000001\",\"started_at\":\"{}\",\
         \"uuid\":\"{scan}\"}}",
        iso(sighting.last_found - 1_200)
    ));
    write(format_args!(
        ",\"severity\":\"{}\",\"severity_id\":{severity},\"severity_default_id\":{},\
         \"severity_modification_type\":\"{modification}\"",
        SEVERITIES[usize::from(severity)],
        weakness.tenable_severity
    ));
    if modification != "NONE" {
        write(format_args!(
            ",\"recast_reason\":\"agreed with the owner\",\"recast_rule_uuid\":\"{}\"",
            dice::uuid(number, &[14])
        ));
    }
    write(format_args!(",\"first_found\":\"{first}\",\"last_found\":\"{last}\""));
    if let Some(fixed) = sighting.last_fixed.filter(|_| sighting.state == State::Fixed) {
        let taken = fixed - sighting.resurfaced.unwrap_or(sighting.first_found);
        write(format_args!(",\"last_fixed\":\"{}\",\"time_taken_to_fix\":{taken}", iso(fixed)));
    }
    if let Some(back) = sighting.resurfaced {
        write(format_args!(",\"resurfaced_date\":\"{}\"", iso(back)));
    }
    write(format_args!(
        ",\"indexed\":\"{}\",\"state\":\"{}\",\"source\":\"{}\",\"finding_id\":\"{id}\"}}",
        iso(sighting.indexed),
        state(sighting.state),
        if asset.contains("agent_uuid") { "AGENT" } else { "NESSUS" }
    ));
}

/// What the check printed, in our own words.
fn output(sighting: &Sighting) -> String {
    let Sighting { weakness, port, .. } = sighting;
    let info = weakness.product.info();
    match weakness.kind {
        Kind::Information => format!("\n{} : observed\n  Product : {}\n", weakness.name, info.name),
        Kind::Setting => {
            format!("\nThe setting was observed on port {port}.\n  Finding : {}\n", weakness.name)
        }
        _ => format!(
            "\n  Path              : /opt/{}\n  Installed version : 1.{}.{}\n  Fixed version     : 1.{}.0\n",
            info.cpe,
            weakness.id % 20,
            weakness.id % 7,
            weakness.id % 20 + 1
        ),
    }
}

/// The plugin part of a finding is the same on every host, so it is written once.
static PLUGINS: LazyLock<HashMap<u16, String>> =
    LazyLock::new(|| catalogue::all().map(|weakness| (weakness.id, plugin(weakness).to_string())).collect());

fn plugin(weakness: &Weakness) -> Value {
    let info = weakness.product.info();
    let exploited = weakness.exploited;
    let published = format!("{}T00:00:00Z", weakness.published());
    let real = !weakness.cves.is_empty();
    let risk = ["None", "Low", "Medium", "High", "Critical"][usize::from(weakness.tenable_severity)];
    let mut plugin = json!({
        "checks_for_default_account": false,
        "checks_for_malware": false,
        "description": description(weakness),
        "exploit_available": weakness.epss > 0.5,
        "exploit_framework_canvas": false,
        "exploit_framework_core": false,
        "exploit_framework_metasploit": exploited && weakness.epss > 0.8,
        "exploited_by_malware": exploited && weakness.epss > 0.9,
        "family": info.family,
        "family_id": 1 + weakness.product as u32,
        "has_patch": real,
        "id": weakness.plugin_id(),
        "in_the_news": weakness.epss > 0.9,
        "name": weakness.title(),
        "modification_date": published,
        "publication_date": published,
        "risk_factor": risk,
        "solution": if real { format!("Install the fixed version of {}.", info.name) } else { "Change the setting.".into() },
        "synopsis": format!("The host is affected by: {}.", weakness.kind.words()),
        "type": if info.port == 0 { "local" } else { "remote" },
        "unsupported_by_vendor": weakness.name.contains("out of support"),
        "version": "1.4",
    });
    let Value::Object(fields) = &mut plugin else { return plugin };
    let mut add = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    if weakness.cvss > 0.0 {
        add("cvss3_base_score", json!(weakness.cvss));
        add("cvss3_temporal_score", json!((weakness.cvss * 9.0).round() / 10.0));
        add("cvss3_vector", json!({ "raw": weakness.vector }));
    } else {
        add("cvss3_base_score", json!(0));
        add("cvss_base_score", json!(0));
    }
    if real {
        add("cve", json!(weakness.cves));
        add("cpe", json!([format!("cpe:/a:{}:{}", info.vendor, info.cpe)]));
        add("see_also", json!([format!("https://www.cve.org/CVERecord?id={}", weakness.cves[0])]));
        add("vuln_publication_date", json!(published));
        add("patch_publication_date", json!(published));
        // Percent here, a share elsewhere.
        add("epss_score", json!((weakness.epss * 100_000.0).round() / 1_000.0));
        let vpr = vpr(weakness);
        add(
            "vpr",
            json!({
                "score": vpr,
                "drivers": { "exploit_code_maturity": if exploited { "HIGH" } else { "UNPROVEN" } },
                "updated": published,
            }),
        );
        let mut xrefs: Vec<Value> =
            weakness.cves.iter().map(|cve| json!({ "type": "CVE", "id": cve[4..] })).collect();
        if exploited {
            xrefs.push(json!({ "type": "CISA-KNOWN-EXPLOITED", "id": "2025/09/01" }));
        }
        add("xrefs", json!(xrefs));
        if weakness.epss > 0.5 {
            add("exploitability_ease", json!("Exploits are available"));
        }
    }
    plugin
}

/// A priority of 0.1 to 10 in the spirit of the vendor's rating.
fn vpr(weakness: &Weakness) -> f64 {
    let raw = weakness.cvss * 0.55 + weakness.epss * 2.0 + if weakness.exploited { 2.3 } else { 0.0 };
    (raw.clamp(0.1, 10.0) * 10.0).round() / 10.0
}

fn description(weakness: &Weakness) -> String {
    let info = weakness.product.info();
    if weakness.cves.is_empty() {
        return format!("{} was observed on the host. Review whether this is intended.", weakness.name);
    }
    format!(
        "The version of {} on the host is affected by a {} known as {}. It is tracked as {}.\n\nThe result rests on \
         the version that the software reports; no attempt was made to use the weakness.",
        info.name,
        weakness.kind.words(),
        weakness.name,
        weakness.cves.join(", ")
    )
}
