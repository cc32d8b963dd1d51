//! The export of assets: filters, and the wire formats of both versions.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Map, Value, json};

use super::findings::{asset_id, tagged, tags};
use super::jobs::{self, Slice};
use crate::estate::{End, HostKind, Known, Scanner, iso};
use crate::{World, dice};

/// Hosts written at a time.
const GROUP: usize = 20;

/// Which assets are asked for. Without a filter, removed ones are included and say so.
pub struct Filters {
    created_at: Option<i64>,
    updated_at: Option<i64>,
    deleted_at: Option<i64>,
    terminated_at: Option<i64>,
    last_assessed: Option<i64>,
    deleted: Option<bool>,
    terminated: Option<bool>,
    results: Option<bool>,
    sources: Vec<String>,
    tags: Vec<(String, Vec<String>)>,
    since: Option<i64>,
    types: Vec<String>,
}

/// Filters that only version 2 has; it has none for tags.
const SECOND: &[&str] = &["since", "types"];

const KNOWN: &[&str] = &[
    "created_at",
    "updated_at",
    "deleted_at",
    "terminated_at",
    "last_assessed",
    "is_deleted",
    "is_terminated",
    "has_plugin_results",
    "sources",
];

impl Filters {
    /// Reads the filters of a request.
    pub fn parse(wanted: &Map<String, Value>, second: bool) -> Result<Self, String> {
        let known = |name: &str| {
            KNOWN.contains(&name) || if second { SECOND.contains(&name) } else { name.starts_with("tag.") }
        };
        if let Some(name) = wanted.keys().find(|name| !known(name)) {
            return Err(format!("filter {name} is not simulated"));
        }
        let flag = |name: &str| match wanted.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(format!("{name} is not true or false")),
        };
        Ok(Self {
            created_at: jobs::time(wanted, "created_at")?,
            updated_at: jobs::time(wanted, "updated_at")?,
            deleted_at: jobs::time(wanted, "deleted_at")?,
            terminated_at: jobs::time(wanted, "terminated_at")?,
            last_assessed: jobs::time(wanted, "last_assessed")?,
            deleted: flag("is_deleted")?,
            terminated: flag("is_terminated")?,
            results: flag("has_plugin_results")?,
            sources: jobs::list(wanted, "sources")?,
            tags: jobs::tags(wanted)?,
            since: jobs::time(wanted, "since")?,
            types: jobs::list(wanted, "types")?,
        })
    }

    /// Whether an asset passes.
    pub fn keep(&self, known: &Known) -> bool {
        let after =
            |filter: Option<i64>, time: Option<i64>| filter.is_none_or(|from| time.is_some_and(|t| t > from));
        after(self.created_at, Some(known.first_scan()))
            && after(self.updated_at, Some(updated(known)))
            && after(self.deleted_at, ended(known, End::Deleted))
            && after(self.terminated_at, ended(known, End::Terminated))
            && after(self.since, Some(updated(known)))
            && (self.types.is_empty() || self.types.iter().any(|one| one == "host"))
            && after(self.last_assessed, Some(known.last_scan()))
            && self.deleted.is_none_or(|wanted| ended(known, End::Deleted).is_some() == wanted)
            && self.terminated.is_none_or(|wanted| ended(known, End::Terminated).is_some() == wanted)
            && self.results.is_none_or(|wanted| wanted)
            && (self.sources.is_empty() || self.sources.iter().any(|source| source == self::source(known)))
            && tagged(&known.host, &self.tags)
    }
}

fn ended(known: &Known, how: End) -> Option<i64> {
    known.removed.filter(|(_, end)| *end == how).map(|(time, _)| time)
}

fn updated(known: &Known) -> i64 {
    known.removed.map_or(known.published(), |(time, _)| time)
}

fn source(known: &Known) -> &'static str {
    if known.host.agent.is_some() { "NESSUS_AGENT" } else { "NESSUS_SCAN" }
}

/// A chunk as a body that is written while it is read.
pub fn stream(world: Arc<World>, slice: Slice) -> Body {
    let pieces = stream::unfold(0, move |from| {
        let piece = piece(&world, &slice, from);
        async move { piece }
    });
    Body::from_stream(pieces)
}

fn piece(
    world: &World,
    slice: &Slice,
    from: usize,
) -> Option<(Result<Bytes, std::convert::Infallible>, usize)> {
    if from > slice.hosts.len() {
        return None;
    }
    let mut text = String::from(if from == 0 { "[" } else { "" });
    for (offset, index) in slice.hosts.iter().skip(from).take(GROUP).enumerate() {
        let Some(known) = world.estate.known(*index, Scanner::Tenable, slice.at) else { continue };
        if from + offset > 0 {
            text.push(',');
        }
        let mut asset = asset(world, &known);
        if slice.form.open_ports {
            asset["open_ports"] = open_ports(&known);
        }
        let asset = if slice.form.second { second(asset) } else { asset };
        text.push_str(&asset.to_string());
    }
    let last = from + GROUP >= slice.hosts.len();
    if last {
        text.push(']');
    }
    Some((Ok(Bytes::from(text)), if last { slice.hosts.len() + 1 } else { from + GROUP }))
}

fn asset(world: &World, known: &Known) -> Value {
    let host = &known.host;
    let (first, last) = (iso(known.first_scan()), iso(known.last_scan()));
    let cloud = host.cloud.as_ref();
    let mut addresses = vec![host.ip.clone()];
    addresses.extend(host.public_ip.clone());
    let macs: Vec<&String> = host.mac.iter().collect();
    let fqdns: Vec<&String> = host.fqdn.iter().collect();
    let acr = u32::from(host.criticality) * 2;
    let mut sources = vec![json!({ "name": source(known), "first_seen": first, "last_seen": last })];
    if cloud.is_some() {
        sources.push(json!({ "name": "AWS", "first_seen": first, "last_seen": last }));
    }
    let software: Vec<String> =
        host.products.iter().map(|p| format!("cpe:/a:{}:{}", p.info().vendor, p.info().cpe)).collect();
    let labels: Vec<Value> = tags(host)
        .iter()
        .enumerate()
        .map(|(number, (key, value))| {
            json!({
                "uuid": dice::uuid(dice::hash(0, &[key, value]), &[15]),
                "key": key,
                "value": value,
                "added_by": dice::uuid(world.options.seed, &[16, number as u64]),
                "added_at": first,
            })
        })
        .collect();
    let interface = json!({
        "name": "eth0", "virtual": null, "aliased": null,
        "fqdns": fqdns, "mac_addresses": macs, "ipv4s": addresses, "ipv6s": [],
    });
    let mut asset = json!({
        "id": asset_id(world, host),
        "has_agent": host.agent.is_some(),
        "has_plugin_results": true,
        "created_at": first,
        "updated_at": iso(updated(known)),
        "terminated_at": ended(known, End::Terminated).map(iso),
        "deleted_at": ended(known, End::Deleted).map(iso),
        "deleted_by": ended(known, End::Deleted).map(|_| "admin@example.com"),
        "first_seen": first,
        "last_seen": last,
        "first_scan_time": first,
        "last_scan_time": last,
        "last_authenticated_scan_date": (host.kind != HostKind::Appliance).then_some(&last),
        "last_licensed_scan_date": last,
        "last_scan_id": dice::uuid(u64::from(host.index) << 20 | known.scans.last.unsigned_abs(), &[13]),
        "agent_uuid": host.agent.as_ref().map(|agent| agent.replace('-', "")),
        "bios_uuid": host.bios_uuid,
        "network_id": "00000000-0000-0000-0000-000000000000",
        "network_name": "Default",
        "agent_names": host.agent.iter().map(|_| &host.hostname).collect::<Vec<_>>(),
        "installed_software": software,
        "ipv4s": addresses,
        "fqdns": fqdns,
        "mac_addresses": macs,
        "netbios_names": host.netbios.iter().collect::<Vec<_>>(),
        "operating_systems": if host.kind == HostKind::Appliance { vec![] } else { vec![host.os] },
        "system_types": [if cloud.is_some() { "aws-ec2-instance" } else { "general-purpose" }],
        "hostnames": [host.hostname],
        "serial_number": host.serial,
        "sources": sources,
        "tags": labels,
        "network_interfaces": [interface],
        "acr_score": format!("{acr}"),
        "exposure_score": format!("{}", 100 + acr * 70),
        "ratings": { "acr": { "score": acr }, "aes": { "score": 100 + acr * 70 } },
    });
    add_rest(&mut asset, known);
    asset
}

/// What informational checks saw listening.
fn open_ports(known: &Known) -> Value {
    let (first, last) = (iso(known.first_scan()), iso(known.last_scan()));
    let mut seen = std::collections::BTreeMap::new();
    for info in known.host.products.iter().map(|product| product.info()).filter(|info| info.port > 0) {
        seen.entry((info.port, info.protocol)).or_insert(info.service);
    }
    seen.into_iter()
        .map(|((port, protocol), service)| {
            json!({ "port": port, "protocol": protocol, "service_names": [service], "first_seen": first, "last_seen": last })
        })
        .collect()
}

/// The same asset in the words of version 2: nested, and without what is empty.
fn second(first: Value) -> Value {
    let Value::Object(mut fields) = first else { return first };
    let mut take = |names: &[&str], prefix: &str| {
        let mut part = Map::new();
        for name in names {
            let value = fields.remove(*name).unwrap_or_default();
            let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            if !is_empty {
                part.insert(name.strip_prefix(prefix).unwrap_or(name).to_owned(), value);
            }
        }
        Value::Object(part)
    };
    let network = take(
        &[
            "network_id",
            "network_name",
            "ipv4s",
            "ipv6s",
            "fqdns",
            "hostnames",
            "netbios_names",
            "mac_addresses",
            "network_interfaces",
            "open_ports",
            "ssh_fingerprints",
            "bios_uuid",
        ],
        "",
    );
    let scan = take(
        &[
            "first_scan_time",
            "last_scan_time",
            "last_authenticated_scan_date",
            "last_licensed_scan_date",
            "last_scan_id",
        ],
        "",
    );
    let timestamps = take(
        &[
            "created_at",
            "updated_at",
            "first_seen",
            "last_seen",
            "deleted_at",
            "deleted_by",
            "terminated_at",
            "terminated_by",
        ],
        "",
    );
    let aws = take(
        &[
            "aws_ec2_instance_id",
            "aws_owner_id",
            "aws_region",
            "aws_availability_zone",
            "aws_ec2_instance_type",
            "aws_ec2_instance_state_name",
            "aws_ec2_name",
        ],
        "aws_",
    );
    if let Some(serial) = fields.remove("serial_number") {
        fields.insert("network_device_serial_identifier".into(), serial);
    }
    fields.retain(|name, value| {
        !value.is_null()
            && !name.starts_with("azure_")
            && !name.starts_with("gcp_")
            && !name.starts_with("aws_")
    });
    for gone in ["acr_score", "exposure_score", "qualys_asset_ids", "qualys_host_ids"] {
        fields.remove(gone);
    }
    fields.insert("types".into(), json!(["host"]));
    fields.insert("network".into(), network);
    fields.insert("scan".into(), scan);
    fields.insert("timestamps".into(), timestamps);
    if aws.as_object().is_some_and(|aws| !aws.is_empty()) {
        fields.insert("cloud".into(), json!({ "aws": aws }));
    }
    Value::Object(fields)
}

/// Fields that are always there, null or empty where they do not apply.
fn add_rest(asset: &mut Value, known: &Known) {
    let Value::Object(fields) = asset else { return };
    let cloud = known.host.cloud.as_ref();
    let running = if known.removed.is_some() { "terminated" } else { "running" };
    let values = [
        ("aws_ec2_instance_id", cloud.map(|cloud| cloud.instance.as_str())),
        ("aws_owner_id", cloud.map(|cloud| cloud.account)),
        ("aws_region", cloud.map(|cloud| cloud.region)),
        ("aws_availability_zone", cloud.map(|cloud| cloud.zone.as_str())),
        ("aws_ec2_instance_type", cloud.map(|cloud| cloud.size)),
        ("aws_ec2_instance_state_name", cloud.map(|_| running)),
        ("aws_ec2_name", cloud.map(|_| known.host.hostname.as_str())),
    ];
    for (name, value) in values {
        fields.insert(name.to_owned(), json!(value));
    }
    for name in [
        "aws_ec2_instance_ami_id",
        "aws_vpc_id",
        "aws_subnet_id",
        "aws_ec2_instance_group_name",
        "aws_ec2_product_code",
        "azure_vm_id",
        "azure_resource_id",
        "gcp_project_id",
        "gcp_zone",
        "gcp_instance_id",
        "mcafee_epo_guid",
        "mcafee_epo_agent_guid",
        "bigfix_asset_id",
        "servicenow_sysid",
        "terminated_by",
    ] {
        fields.insert(name.to_owned(), Value::Null);
    }
    for name in ["ipv6s", "ssh_fingerprints", "qualys_asset_ids", "qualys_host_ids"] {
        fields.insert(name.to_owned(), json!([]));
    }
}
