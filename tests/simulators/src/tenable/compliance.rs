//! The export of compliance: filters and wire format.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Map, Value, json};

use super::findings::{asset_id, tags};
use super::jobs::{self, Slice};
use crate::estate::compliance::{BENCHMARK, Check, Outcome};
use crate::estate::{Known, Scanner, iso};
use crate::{World, dice};

/// Hosts written at a time.
const GROUP: usize = 20;

/// Which results are asked for.
pub struct Filters {
    since: Option<i64>,
    last_seen: Option<i64>,
    indexed_at: Option<i64>,
    results: Vec<String>,
    states: Vec<String>,
}

const KNOWN: &[&str] = &["since", "last_seen", "first_seen", "indexed_at", "compliance_results", "state"];
const RESULTS: &[&str] = &["PASSED", "FAILED", "WARNING", "SKIPPED", "ERROR", "UNKNOWN"];

impl Filters {
    /// Reads the filters of a request.
    pub fn parse(wanted: &Map<String, Value>) -> Result<Self, String> {
        if let Some(name) = wanted.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("filter {name} is not simulated"));
        }
        let words = |name: &str, known: &[&str]| {
            let list: Vec<String> =
                jobs::list(wanted, name)?.iter().map(|word| word.to_uppercase()).collect();
            match list.iter().find(|word| !known.contains(&word.as_str())) {
                Some(odd) => Err(format!("{name} {odd} is unknown")),
                None => Ok(list),
            }
        };
        if wanted.contains_key("first_seen") && !wanted.contains_key("last_seen") {
            return Err("first_seen needs last_seen".into());
        }
        Ok(Self {
            since: jobs::time(wanted, "since")?,
            last_seen: jobs::time(wanted, "last_seen")?,
            indexed_at: jobs::time(wanted, "indexed_at")?,
            results: words("compliance_results", RESULTS)?,
            states: words("state", &["OPEN", "REOPENED", "FIXED", "ACTIVE", "NEW"])?,
        })
    }

    /// Whether any result of the host can pass.
    pub fn host_matters(&self, known: &Known) -> bool {
        known.removed.is_none()
            && self.last_seen.is_none_or(|time| known.last_scan() >= time)
            && self.since.is_none_or(|time| known.published() >= time)
            && self.indexed_at.is_none_or(|time| known.published() >= time)
    }

    fn keep(&self, check: &Check) -> bool {
        (self.results.is_empty() || self.results.iter().any(|one| one == status(check)))
            // Every check of the last scan is there: none has gone away.
            && (self.states.is_empty() || self.states.iter().any(|one| one != "FIXED"))
    }
}

fn status(check: &Check) -> &'static str {
    match check.outcome {
        Outcome::Passed => "PASSED",
        Outcome::Failed => "FAILED",
        Outcome::Error => "ERROR",
    }
}

/// A chunk as a body that is written while it is read.
pub fn stream(world: Arc<World>, slice: Slice) -> Body {
    Body::from_stream(stream::unfold((0, true), move |(from, first)| {
        let piece = piece(&world, &slice, from, first);
        async move { piece }
    }))
}

type Piece = Result<Bytes, std::convert::Infallible>;

fn piece(world: &World, slice: &Slice, from: usize, mut first: bool) -> Option<(Piece, (usize, bool))> {
    let jobs::Filters::Compliance(filters) = &*slice.filters else { return None };
    if from > slice.hosts.len() {
        return None;
    }
    let mut text = String::from(if from == 0 { "[" } else { "" });
    for index in slice.hosts.iter().skip(from).take(GROUP) {
        let Some(known) = world.estate.known(*index, Scanner::Tenable, slice.at) else { continue };
        for check in known.checks(world.options.seed).iter().filter(|check| filters.keep(check)) {
            if !std::mem::replace(&mut first, false) {
                text.push(',');
            }
            text.push_str(&result(world, &known, check).to_string());
        }
    }
    let last = from + GROUP >= slice.hosts.len();
    if last {
        text.push(']');
    }
    Some((Ok(Bytes::from(text)), (if last { slice.hosts.len() + 1 } else { from + GROUP }, first)))
}

fn result(world: &World, known: &Known, check: &Check) -> Value {
    let host = &known.host;
    let control = check.control;
    let id = |what: u64| {
        format!("{:016x}{:048x}", dice::hash_numbers(7, &[u64::from(control.id), what]), control.id)
    };
    let (first, last) = (iso(known.first_scan()), iso(known.last_scan()));
    let labels: Vec<Value> =
        tags(host).iter().map(|(key, value)| json!({ "category": key, "values": [value] })).collect();
    let mut result = json!({
        "asset_uuid": asset_id(world, host),
        "first_seen": first,
        "last_seen": last,
        "last_observed": last,
        "audit_file": format!("{BENCHMARK}.audit"),
        "check_id": id(1),
        "check_name": format!("{} {}", control.id, control.title),
        "check_info": control.reason,
        "expected_value": "on",
        "actual_value": if check.outcome == Outcome::Passed { "on" } else { "off" },
        "status": status(check),
        "reference": [{ "framework": "800-53", "control": "CM-6" }],
        "see_also": "https://benchmark.example.com",
        "solution": control.remedy,
        "plugin_id": 21157,
        "plugin_name": "Unix Compliance Checks",
        "state": "OPEN",
        "description": format!("\"{}: [{}]\"", control.title, status(check)),
        "compliance_benchmark_name": BENCHMARK,
        "compliance_benchmark_version": "1.0.0",
        "compliance_control_id": id(2),
        "compliance_full_id": id(3),
        "compliance_functional_id": id(4)[..10],
        "compliance_informational_id": id(5),
        "synopsis": "Compliance checks of hosts.",
        "indexed_at": iso(known.published()),
        "asset": {
            "id": asset_id(world, host),
            "ipv4_addresses": [host.ip],
            "fqdns": host.fqdn.iter().collect::<Vec<_>>(),
            "name": host.fqdn.as_ref().unwrap_or(&host.hostname),
            "operating_systems": [host.os],
            "system_type": "general-purpose",
            "network_id": "00000000-0000-0000-0000-000000000000",
            "tags": labels,
        },
    });
    if let Some(mac) = &host.mac {
        result["asset"]["mac_addresses"] = json!([mac]);
    }
    if check.outcome == Outcome::Passed && check.first_failed.is_some() {
        result["last_fixed"] = iso(check.changed).into();
    }
    result
}
