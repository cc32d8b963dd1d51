//! What people know of a machine beyond what scanners tell: whose it is, what it serves, how much it matters.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::identity::{Identifier, IdentifierKind, SightingLine};
use crate::score::Exposure;

/// What is known of one machine. It comes before rules and before what scanners say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// The team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// 1 (least) to 5 (most).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<u8>,
    /// The business services that it serves, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Production, staging: a tag `env` for the rules of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Who can reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
}

/// One machine of an imported list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryRow {
    /// What it is recognised by, the strongest first.
    pub identifiers: BTreeSet<Identifier>,
    /// What is known of it.
    pub known: Inventory,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// It is no object.
    #[error("not an object: write {{\"fqdn\":\"web01.corp.example.com\",\"owner\":\"payments\"}}")]
    Shape,
    /// A column that nobody knows: a misspelt one would be lost in silence.
    #[error("{0:?} is no column: use {COLUMNS}")]
    Column(String),
    /// Nothing to recognise the machine by.
    #[error(
        "no identifier: give one of fqdn, hostname, ip, mac, serial, bios_uuid, cloud, agent_id that is a machine's own"
    )]
    Nameless,
    /// Nothing is said of it.
    #[error("nothing is said of it: give one of owner, criticality, services, environment, exposure")]
    Empty,
    /// A field has the wrong form.
    #[error("{0}")]
    Field(String),
}

const COLUMNS: &str = "fqdn, hostname, ip, mac, serial, bios_uuid, cloud, agent_id, scope, owner, criticality, services, environment, exposure";

/// Columns by which a machine is recognised, and what a sighting calls them.
const IDENTIFYING: [(&str, &str); 8] = [
    ("fqdn", "fqdns"),
    ("hostname", "hostnames"),
    ("ip", "ips"),
    ("mac", "macs"),
    ("serial", "serial"),
    ("bios_uuid", "bios_uuid"),
    ("cloud", "cloud"),
    ("agent_id", "agent_ids"),
];

impl InventoryRow {
    /// Reads a row: an object of JSON, or the cells of a line of CSV under the names of their columns. An empty cell is
    /// an absent one; several values are a list, or separated by `;`.
    pub fn read(row: &Value) -> Result<Self, RowError> {
        let row = row.as_object().ok_or(RowError::Shape)?;
        let mut sighting = Map::from_iter([
            ("id".to_owned(), Value::from("row")),
            ("observed_at".to_owned(), Value::from("1970-01-01T00:00:00Z")),
        ]);
        let mut known = Inventory::default();
        for (column, value) in row {
            let values = values(value)?;
            let Some(first) = values.first() else { continue };
            if let Some((_, field)) = IDENTIFYING.iter().find(|(name, _)| name == column) {
                let single = matches!(*field, "serial" | "bios_uuid");
                let value = if single { Value::from(first.as_str()) } else { Value::from(values) };
                sighting.insert((*field).to_owned(), value);
                continue;
            }
            match column.as_str() {
                "scope" => _ = sighting.insert("scope".into(), Value::from(first.as_str())),
                "owner" => known.owner = Some(first.clone()),
                "services" => known.services = values,
                "exposure" => {
                    let wrong = || {
                        let problem =
                            format!("exposure: {first:?} is not internet, partner, internal or isolated");
                        RowError::Field(problem)
                    };
                    let exposure = serde_json::from_value(Value::from(first.to_lowercase()));
                    known.exposure = Some(exposure.map_err(|_| wrong())?);
                }
                "environment" => known.environment = Some(first.clone()),
                "criticality" => {
                    let level = first.parse().ok().filter(|level| (1..=5).contains(level));
                    let wrong = || RowError::Field(format!("criticality: {first:?} is not 1 to 5"));
                    known.criticality = Some(level.ok_or_else(wrong)?);
                }
                other => return Err(RowError::Column(other.to_owned())),
            }
        }
        if known == Inventory::default() {
            return Err(RowError::Empty);
        }
        let line = SightingLine::parse(&Value::Object(sighting).to_string());
        let line = line.map_err(|error| RowError::Field(error.to_string()))?;
        // What NetBIOS leaves of a name is nobody's own.
        let identifiers: BTreeSet<Identifier> = line
            .observation()
            .identifiers
            .into_iter()
            .filter(|id| id.kind != IdentifierKind::Netbios && id.is_strong())
            .collect();
        if identifiers.is_empty() {
            return Err(RowError::Nameless);
        }
        Ok(Self { identifiers, known })
    }
}

/// The values of a cell, or of a field: a list, or separated by `;`.
pub(crate) fn values(value: &Value) -> Result<Vec<String>, RowError> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Ok(String::new()),
        other => Err(RowError::Field(format!("{other} is neither a text nor a number"))),
    };
    let all = match value {
        Value::Array(values) => values.iter().map(text).collect::<Result<Vec<_>, _>>()?,
        one => text(one)?.split(';').map(str::to_owned).collect(),
    };
    Ok(all.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_says_of_which_machine_it_speaks_and_what() {
        let row = json!({
            "fqdn": "WEB01.corp.example.com.", "ip": "10.0.0.5;10.0.0.6", "mac": "", "scope": "paris",
            "owner": "payments", "criticality": "4", "services": "checkout; refunds", "environment": "prod", "exposure": "Internet"
        });
        let row = InventoryRow::read(&row).unwrap();
        let ids: Vec<String> = row.identifiers.iter().map(ToString::to_string).collect();
        assert!(ids.contains(&"fqdn|paris|web01.corp.example.com".to_owned()), "{ids:?}");
        assert_eq!(ids.iter().filter(|id| id.starts_with("ip|paris|")).count(), 2);
        assert_eq!(
            row.known,
            Inventory {
                owner: Some("payments".into()),
                criticality: Some(4),
                services: vec!["checkout".into(), "refunds".into()],
                environment: Some("prod".into()),
                exposure: Some(Exposure::Internet),
            }
        );
        let list = InventoryRow::read(&json!({ "serial": "5CG1234ABC", "criticality": 2 })).unwrap();
        assert_eq!(list.identifiers.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said() {
        let wrong = |row: Value| InventoryRow::read(&row).unwrap_err().to_string();
        assert!(wrong(json!(["web01"])).starts_with("not an object"));
        assert!(wrong(json!({ "fqdn": "a.example.com", "ownr": "x" })).starts_with("\"ownr\" is no column"));
        assert!(wrong(json!({ "hostname": "localhost", "owner": "x" })).starts_with("no identifier"));
        assert!(wrong(json!({ "fqdn": "a.example.com" })).starts_with("nothing is said"));
        for level in ["0", "6", "high"] {
            let row = json!({ "fqdn": "a.example.com", "criticality": level });
            assert_eq!(wrong(row), format!("criticality: {level:?} is not 1 to 5"));
        }
        assert!(
            wrong(json!({ "ip": "10.0.0.5", "exposure": "open" })).starts_with("exposure: \"open\" is not")
        );
        assert!(wrong(json!({ "fqdn": {}, "owner": "x" })).contains("neither a text"));
    }
}
