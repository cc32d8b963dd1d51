//! `POST /assets`: pages of assets, each with what is the same, new and remediated.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::definitions;
use crate::estate::{HostKind, Known, Scanner, Sighting, State, iso};
use crate::{World, dice};

/// What is asked for.
pub struct Wish {
    size: usize,
    /// Number of the host behind the last one that was told.
    after: Option<u32>,
    same: bool,
    identifiers: bool,
    comparison: Option<Timestamp>,
    at: Timestamp,
    scanned_after: Option<i64>,
    number: usize,
}

impl Wish {
    /// Reads a request.
    pub fn parse(world: &World, params: &BTreeMap<String, String>, body: &[u8]) -> Result<Self, String> {
        const KNOWN: [&str; 7] = [
            "size",
            "cursor",
            "page",
            "includeSame",
            "includeUniqueIdentifiers",
            "currentTime",
            "comparisonTime",
        ];
        if let Some(name) = params.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("parameter {name} is unknown"));
        }
        let time = |name: &str| {
            params
                .get(name)
                .map(|text| text.parse::<Timestamp>().map_err(|_| format!("{name} is not a time: {text}")))
                .transpose()
        };
        let size =
            params.get("size").map_or(Ok(200), |size| size.parse().map_err(|_| "size is not a number"))?;
        if !(1..=500).contains(&size) {
            return Err("size must be between 1 and 500".into());
        }
        let wanted: Value = serde_json::from_slice(body).map_err(|_| "the body is not a JSON object")?;
        let scanned_after = match wanted.get("asset").and_then(Value::as_str).unwrap_or_default() {
            "" => None,
            query => match query.split_once('>') {
                Some((field, at)) if field.trim() == "last_scan_end" => Some(
                    at.trim()
                        .parse::<Timestamp>()
                        .map_err(|_| format!("The query is not valid: {query}"))?
                        .as_second(),
                ),
                _ => return Err(format!("the query is not simulated: {query}")),
            },
        };
        let flag = |name: &str| params.get(name).is_some_and(|text| text == "true");
        let after = params.get("cursor").map(|cursor| after(cursor)).transpose()?;
        let now = world.clock.now();
        let at = time("currentTime")?.unwrap_or(now).min(now);
        Ok(Self {
            size,
            number: after.map_or(0, |(number, _)| number),
            after: after.map(|(_, host)| host),
            same: flag("includeSame"),
            identifiers: flag("includeUniqueIdentifiers"),
            // Who asks may have a clock of his own: what has not been published yet is no state to compare with.
            comparison: time("comparisonTime")?.map(|time| time.min(at)),
            at,
            scanned_after,
        })
    }

    /// Number of the page.
    pub fn number(&self) -> usize {
        self.number
    }
}

/// `<number>:::_S:::<asset id>`
fn after(cursor: &str) -> Result<(usize, u32), String> {
    let wrong = || format!("The cursor is not valid: {cursor}");
    let (number, id) = cursor.split_once(":::_S:::").ok_or_else(wrong)?;
    let host: u32 = id.rsplit('-').next().and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    Ok((number.parse().map_err(|_| wrong())?, host))
}

/// The id of an asset.
pub fn asset_id(world: &World, index: u32) -> String {
    format!("{}-default-asset-{index}", dice::uuid(world.options.seed, &[40]))
}

fn view<'a>(world: &'a World, wish: &'a Wish) -> impl Iterator<Item = Known> + 'a {
    world
        .estate
        .view(Scanner::Insightvm, wish.at)
        .filter(|known| known.removed.is_none())
        .filter(|known| wish.scanned_after.is_none_or(|time| known.last_scan() > time))
}

/// A page. The one behind the last asset is empty, and has no cursor.
pub fn page(world: &World, wish: &Wish, empty: bool) -> Value {
    let total = view(world, wish).count();
    let hosts: Vec<Known> = if empty {
        Vec::new()
    } else {
        let rest =
            view(world, wish).skip_while(|known| wish.after.is_some_and(|after| known.host.index <= after));
        rest.take(wish.size).collect()
    };
    let cursor = hosts.last().map(|last| {
        let id = asset_id(world, last.host.index);
        format!("{}:::_S:::{id}", wish.number + 1)
    });
    let data: Vec<Value> = hosts.iter().map(|known| asset(world, wish, known)).collect();
    json!({
        "data": data,
        "metadata": {
            "number": wish.number,
            "size": wish.size,
            "totalResources": total,
            "totalPages": total.div_ceil(wish.size),
            "cursor": cursor,
        },
        "links": [{ "href": format!("{}/insightvm/vm/v4/integration/assets?size={}", world.base_url(), wish.size), "rel": "self" }],
    })
}

/// One asset.
pub fn one(world: &World, wish: &Wish, id: &str) -> Option<Value> {
    view(world, wish)
        .find(|known| asset_id(world, known.host.index) == id)
        .map(|known| asset(world, wish, &known))
}

/// The open ones of a host's sightings, by what tells two of them apart.
fn open(known: &Known) -> BTreeMap<(u16, u16), Sighting> {
    let all = known.sightings().into_iter();
    let open = all.filter(|s| s.state != State::Fixed && !s.weakness.is_information());
    open.map(|sighting| ((sighting.weakness.id, sighting.port), sighting)).collect()
}

/// What a host has that InsightVM knows of.
pub fn present(known: &Known) -> Vec<Sighting> {
    open(known).into_values().collect()
}

fn asset(world: &World, wish: &Wish, known: &Known) -> Value {
    let host = &known.host;
    let now = open(known);
    let count = |word: &str| now.values().filter(|s| definitions::severity(s.weakness).0 == word).count();
    let last = iso(known.last_scan());
    let mut asset = json!({
        "id": asset_id(world, host.index),
        "assessed_for_policies": false,
        "assessed_for_vulnerabilities": true,
        "critical_vulnerabilities": count("critical"),
        "severe_vulnerabilities": count("severe"),
        "moderate_vulnerabilities": count("moderate"),
        "total_vulnerabilities": now.len(),
        "exploits": now.values().filter(|s| s.weakness.exploited).count(),
        "malware_kits": 0,
        "ip": host.ip,
        "last_assessed_for_vulnerabilities": last,
        "last_scan_start": iso(known.last_scan() - 900),
        "last_scan_end": last,
        "os_description": host.os,
        "os_family": host.os.split(' ').next(),
        "os_type": if host.kind == HostKind::Appliance { "Firewall" } else { "General" },
        "risk_score": now.values().map(|s| definitions::risk(s.weakness)).sum::<f64>(),
        "tags": tags(known),
        "type": if host.cloud.is_some() { "guest" } else { "physical" },
        "credential_assessments": credentials(known),
        "unique_identifiers": if wish.identifiers { identifiers(known) } else { vec![] },
        "new": [],
        "remediated": [],
    });
    let Value::Object(fields) = &mut asset else { return asset };
    if let Some(name) =
        host.fqdn.as_ref().or(Some(&host.hostname)).filter(|_| host.kind != HostKind::Appliance)
    {
        fields.insert("host_name".into(), json!(name));
    }
    if let Some(mac) = &host.mac {
        fields.insert("mac".into(), json!(mac));
    }
    let before = wish.comparison.and_then(|time| world.estate.known(host.index, Scanner::Insightvm, time));
    let before = before.filter(|known| known.removed.is_none()).map(|known| open(&known)).unwrap_or_default();
    let list = |sightings: Vec<&Sighting>| -> Vec<Value> {
        sightings.into_iter().map(|sighting| finding(world, known, sighting)).collect()
    };
    if wish.comparison.is_some() {
        let new = now.iter().filter(|(key, _)| !before.contains_key(key)).map(|(_, s)| s).collect();
        let gone = before.iter().filter(|(key, _)| !now.contains_key(key)).map(|(_, s)| s).collect();
        fields.insert("new".into(), json!(list(new)));
        fields.insert("remediated".into(), json!(list(gone)));
    }
    if wish.same {
        let same = now.iter().filter(|(key, _)| wish.comparison.is_none() || before.contains_key(key));
        fields.insert("same".into(), json!(list(same.map(|(_, s)| s).collect())));
    }
    asset
}

/// The tags of a host with their kinds. A single one is an object at times.
pub fn tag_list(known: &Known) -> Vec<(String, &'static str)> {
    let host = &known.host;
    if host.kind == HostKind::Appliance {
        return vec![("Head office".to_owned(), "SITE")];
    }
    let criticality =
        ["Very Low", "Low", "Medium", "High", "Very High"][usize::from(host.criticality.clamp(1, 5) - 1)];
    vec![
        (format!("env={}", host.environment), "CUSTOM"),
        (format!("team={}", host.team), "CUSTOM"),
        ("Head office".to_owned(), "SITE"),
        (host.team.to_owned(), "OWNER"),
        (criticality.to_owned(), "CRITICALITY"),
    ]
}

fn tags(known: &Known) -> Value {
    let tags: Vec<Value> =
        tag_list(known).into_iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    if tags.len() == 1 { tags[0].clone() } else { json!(tags) }
}

fn identifiers(known: &Known) -> Vec<Value> {
    let host = &known.host;
    let ids = [
        (host.agent.as_ref().map(|agent| agent.replace('-', "")), "R7 Agent"),
        (host.bios_uuid.clone(), if host.netbios.is_some() { "CSPRODUCT" } else { "dmidecode" }),
        (host.cloud.as_ref().map(|cloud| cloud.instance.clone()), "AWS"),
    ];
    ids.into_iter().filter_map(|(id, source)| Some(json!({ "id": id?, "source": source }))).collect()
}

/// A host with an agent is scanned over the network as well, by nobody who has a password for it.
fn credentials(known: &Known) -> Vec<Value> {
    let without = known.host.agent.is_some() || known.host.kind == HostKind::Appliance;
    let status = if without { "NO_CREDS_SUPPLIED" } else { "LOGIN_SUCCESSFUL" };
    vec![json!({ "port": 22, "protocol": "TCP", "status": status })]
}

fn finding(world: &World, known: &Known, sighting: &Sighting) -> Value {
    let Sighting { weakness, .. } = sighting;
    let info = weakness.product.info();
    let id = definitions::id(weakness);
    let mut finding = json!({
        "vulnerability_id": id,
        "check_id": id,
        "key": key(known, sighting),
        "proof": proof(sighting),
        "status": if weakness.exploited { "VULNERABLE_EXPL" } else { "VULNERABLE_VERS" },
        "first_found": iso(sighting.first_found),
        "last_found": iso(sighting.last_found),
        "solution_id": format!("{}-upgrade-{}", info.cpe, weakness.id),
        "solution_summary": format!("Upgrade {}", info.name),
        "solution_fix": definitions::fix(weakness),
        "solution_type": if weakness.cves.is_empty() { "workaround" } else { "patch" },
        "reintroduced": sighting.resurfaced.map(iso),
    });
    if let Value::Object(fields) = &mut finding
        && sighting.port > 0
    {
        // Numbers come as text at times.
        let port = if world.options.seed.wrapping_add(u64::from(weakness.id)) % 5 == 0 {
            json!(sighting.port.to_string())
        } else {
            json!(sighting.port)
        };
        fields.insert("port".into(), port);
        fields.insert("protocol".into(), json!(info.protocol));
    }
    finding
}

/// What sets two findings on one port apart, where there can be two.
fn key(known: &Known, sighting: &Sighting) -> String {
    let parts = [u64::from(known.host.index), u64::from(sighting.weakness.id)];
    if sighting.weakness.cves.is_empty() {
        String::new()
    } else {
        format!("{:016x}", dice::hash_numbers(41, &parts))
    }
}

/// What the check saw, as HTML.
pub fn proof(sighting: &Sighting) -> String {
    let Sighting { weakness, .. } = sighting;
    let name = weakness.product.info().name;
    format!(
        "<p><p>Vulnerable software installed: <b>{name} 1.{}.{}</b> &lt; 1.{}.0</p><ul><li>{}</li></ul></p>",
        weakness.id % 20,
        weakness.id % 7,
        weakness.id % 20 + 1,
        weakness.name
    )
}
