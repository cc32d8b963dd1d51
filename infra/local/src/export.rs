//! `vulnrelay export`: everything as JSON Lines.

use std::collections::BTreeMap;
use std::io::Write;

use domain::Vulnerability;
use serde_json::{Map, Value, json};
use store::{Delivery, ExportItem, Store, StoreError};

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output failed.
    #[error("cannot write the export: {0}")]
    Output(#[from] std::io::Error),
}

/// Fields that say when something was processed, not what is the case.
const VOLATILE: [&str; 12] = [
    "known_since",
    "events",
    "due",
    "next_at",
    "announced",
    "policy_version",
    "counted",
    "intents",
    "first_at",
    "at",
    "lease_until",
    "tries",
];

/// Writes assets, vulnerabilities with their findings, tickets and deliveries, one JSON document a line, in a stable
/// order: by type, then by what they are about. `stable` leaves out whatever differs between two runs over the same
/// data: times of processing, and ids that trackers gave.
pub async fn export(store: &Store, stable: bool, out: &mut impl Write) -> Result<u64, ExportError> {
    let mut lines: BTreeMap<(u8, String), String> = BTreeMap::new();
    let mut add = |order: u8, key: String, value: &Value| lines.insert((order, key), value.to_string());
    let mut start = None;
    loop {
        let page = store.export_page(start).await?;
        for item in page.items {
            match item {
                ExportItem::Asset(asset) => {
                    let mut value = tagged("asset", &asset);
                    clean(&mut value, stable);
                    if stable {
                        remove(&mut value, &["founded_at", "seen"]);
                        // What else agreed when a sighting joined depends on what was known by then.
                        let joins = value.get_mut("sightings").and_then(Value::as_object_mut);
                        joins.into_iter().flatten().for_each(|(_, join)| remove(join, &["agreeing"]));
                    }
                    if stable && asset.gone_at.is_some() {
                        // A purge is known by the run that noticed it: only that it happened is the same each time.
                        remove(&mut value, &["gone_at"]);
                        remove(&mut value["host"], &["gone_at"]);
                        value["gone"] = json!(true);
                    }
                    add(0, asset.id.to_string(), &value);
                }
                ExportItem::Vulnerability(vulnerability) => {
                    let mut value = tagged("vulnerability", &vulnerability);
                    value["findings"] = findings(store, &vulnerability, stable).await?;
                    let ticket = value.as_object_mut().and_then(|v| v.remove("ticket"));
                    clean(&mut value, stable);
                    if stable
                        && let Some(others) = value.get_mut("other_tickets").and_then(Value::as_array_mut)
                    {
                        others.iter_mut().for_each(|ticket| remove(ticket, &["key", "url"]));
                    }
                    let key = format!("{} {}", vulnerability.asset, vulnerability.id);
                    add(1, key.clone(), &value);
                    if let Some(mut ticket) = ticket.filter(|t| !t.is_null()) {
                        ticket["type"] = json!("ticket");
                        ticket["vulnerability"] = json!(vulnerability.id);
                        if stable {
                            remove(&mut ticket, &["key", "url"]);
                        }
                        add(2, key, &ticket);
                    }
                }
                ExportItem::Delivery(delivery) => {
                    let key = if stable && is_summary(&delivery) { &delivery.subject } else { &delivery.key };
                    let key = format!("{} {key}", delivery.receiver);
                    add(3, key, &delivery_line(&delivery, stable));
                }
            }
        }
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    for line in lines.values() {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(lines.len() as u64)
}

fn tagged(kind: &str, value: &impl serde::Serialize) -> Value {
    let mut line = Map::from_iter([("type".to_owned(), json!(kind))]);
    if let Ok(Value::Object(fields)) = serde_json::to_value(value) {
        line.extend(fields);
    }
    Value::Object(line)
}

fn clean(value: &mut Value, stable: bool) {
    if stable {
        remove(value, &VOLATILE);
    } else {
        remove(value, &["counted", "intents"]);
    }
}

fn remove(value: &mut Value, names: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| !names.contains(&name.as_str()));
    }
}

/// The findings of a vulnerability as their scanners state them.
async fn findings(store: &Store, vulnerability: &Vulnerability, stable: bool) -> Result<Value, ExportError> {
    let mut lines = Vec::new();
    for reference in &vulnerability.findings {
        let mut line =
            json!({ "connector": reference.sighting.connector, "asset_key": reference.sighting.native });
        if let Some(statement) = store.statement(&reference.sighting, &reference.finding).await? {
            if let Ok(Value::Object(finding)) = serde_json::to_value(&statement.finding)
                && let Some(line) = line.as_object_mut()
            {
                line.extend(finding);
            }
            if let Some(closing) = &statement.closing {
                line["closing"] = json!({ "evidence": closing.evidence });
                if !stable {
                    line["closing"]["at"] = json!(closing.at);
                    line["closing"]["run"] = json!(closing.run);
                }
            }
        }
        if stable {
            // The scanner's own scan time: it moves with each scan although nothing changed.
            remove(&mut line, &["last_found"]);
        }
        lines.push(line);
    }
    Ok(Value::Array(lines))
}

/// The key of a first run's summary names the run, and with it the time it began.
fn is_summary(delivery: &Delivery) -> bool {
    delivery.subject.starts_with("First sync")
}

fn delivery_line(delivery: &Delivery, stable: bool) -> Value {
    let mut value = tagged("delivery", delivery);
    if stable {
        remove(&mut value, &VOLATILE);
        // What an undone one keeps for a replay is its wish, which its key stands for.
        remove(&mut value, &["answer", "reference", "effect", "target"]);
        if is_summary(delivery) {
            remove(&mut value, &["key"]);
        }
        // What is closed is named by the id that the tracker gave.
        if let Some(reference) = &delivery.reference {
            value["subject"] = json!(delivery.subject.replace(reference.as_str(), "the ticket"));
        }
    }
    value
}
