//! One asset with its findings, as `POST /assets` gives it.

use domain::{CloudId, Host, Tag};
use serde::Deserialize;
use serde_json::value::RawValue;
use sync::lenient::{FromScalar, List, Scalar};
use sync::{BadRecord, names};

use super::brief;
use super::finding::{self, List as Among, Statement};

/// What one record says.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    /// The asset.
    pub host: Host,
    /// Its findings.
    pub findings: Vec<Statement>,
    /// Findings that could not be read.
    pub refused: Vec<BadRecord>,
    /// `same` was there and every finding in it could be read: what is not in it is not on the asset.
    pub whole: bool,
    /// It says that it has vulnerabilities, and `same` names none.
    pub untold: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    id: Scalar,
    host_name: List<Scalar>,
    ip: List<Scalar>,
    mac: List<Scalar>,
    os_description: Scalar,
    os_system_name: Scalar,
    os_name: Scalar,
    os_version: Scalar,
    assessed_for_vulnerabilities: Scalar,
    total_vulnerabilities: Scalar,
    last_assessed_for_vulnerabilities: Scalar,
    last_scan_end: Scalar,
    last_scan_start: Scalar,
    tags: List<WireTag>,
    unique_identifiers: List<Identifier>,
    credential_assessments: List<Assessment>,
    #[serde(borrow)]
    same: Option<&'a RawValue>,
    #[serde(borrow)]
    new: Option<&'a RawValue>,
    #[serde(borrow)]
    remediated: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireTag {
    name: Scalar,
    #[serde(rename = "type")]
    kind: Scalar,
}

impl FromScalar for WireTag {
    fn from_scalar(name: Scalar) -> Self {
        Self { name, kind: Scalar::Absent }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Identifier {
    id: Scalar,
    source: Scalar,
}

impl FromScalar for Identifier {
    fn from_scalar(id: Scalar) -> Self {
        Self { id, source: Scalar::Absent }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Assessment {
    status: Scalar,
}

impl FromScalar for Assessment {
    fn from_scalar(status: Scalar) -> Self {
        Self { status }
    }
}

/// Reads the asset that begins at `offset`. A finding that cannot be read fails alone.
pub fn asset(offset: u64, bytes: &[u8]) -> Result<Asset, BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let record: Record<'_> =
        serde_json::from_slice(bytes).map_err(|error| bad(format!("it is no asset: {}", brief(&error))))?;
    let native = record.id.clone().text().ok_or_else(|| bad("it has no id".into()))?;
    let scanned_at =
        [&record.last_scan_end, &record.last_assessed_for_vulnerabilities, &record.last_scan_start]
            .into_iter()
            .find_map(Scalar::time);

    let mut asset = Asset {
        host: Host::default(),
        findings: Vec::new(),
        refused: Vec::new(),
        whole: false,
        untold: false,
    };
    let lists =
        [(record.same, Among::Same), (record.new, Among::New), (record.remediated, Among::Remediated)];
    let mut same = None;
    for (raw, list) in lists {
        let Some(elements) = elements(raw) else { continue };
        if list == Among::Same {
            same = Some(elements.len());
        }
        for element in elements {
            match finding::finding(element.get().as_bytes(), list, scanned_at) {
                Ok(statement) => asset.findings.push(statement),
                Err(problem) => {
                    let at = offset + distance(bytes, element.get().as_bytes());
                    asset.refused.push(BadRecord { offset: at, problem });
                }
            }
        }
    }
    // An asset that was never assessed has no findings, which proves nothing.
    let assessed = record.assessed_for_vulnerabilities.truth() != Some(false) && scanned_at.is_some();
    asset.untold = same.unwrap_or(0) == 0 && record.total_vulnerabilities.number().unwrap_or(0.0) > 0.0;
    asset.whole = assessed && same.is_some() && !asset.untold && asset.refused.is_empty();
    asset.host = host(native, scanned_at, record);
    Ok(asset)
}

/// The elements of a list, also where a single one stands in its place. `None`: the list is not told.
fn elements(raw: Option<&RawValue>) -> Option<Vec<&RawValue>> {
    let raw = raw?;
    match raw.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(raw.get()).ok(),
        Some(b'{') => Some(vec![raw]),
        _ => None,
    }
}

/// How far into `whole` its part `part` begins.
fn distance(whole: &[u8], part: &[u8]) -> u64 {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize) as u64
}

fn host(native: String, last_scanned_at: Option<jiff::Timestamp>, record: Record<'_>) -> Host {
    let os =
        [record.os_description.clone(), record.os_system_name.clone()].into_iter().find_map(Scalar::text);
    let os = os.or_else(|| {
        let parts: Vec<String> =
            [record.os_name, record.os_version].into_iter().filter_map(Scalar::text).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    });
    let statuses: Vec<String> = record
        .credential_assessments
        .0
        .into_iter()
        .filter_map(|assessment| assessment.status.text())
        .collect();
    let mut host = Host {
        native,
        macs: names::macs(record.mac.texts()),
        os,
        last_scanned_at,
        credentialed: credentialed(&statuses),
        ..Host::default()
    };
    for identifier in record.unique_identifiers.0 {
        if let Some(id) = identifier.id.text() {
            identify(&mut host, id.trim(), &identifier.source.text().unwrap_or_default());
        }
    }
    // The agent looks from inside: it needs no credentials.
    if host.credentialed.is_none() && !host.agent_ids.is_empty() {
        host.credentialed = Some(true);
    }
    for tag in record.tags.0 {
        if let Some(name) = tag.name.text() {
            add_tag(&mut host, &name, &tag.kind.text().unwrap_or_default());
        }
    }
    let hostnames = record.host_name.texts();
    names::sort_into(&mut host, record.ip.texts(), hostnames, vec![]);
    host
}

/// Whether any login worked: `CREDENTIAL_STATUS_ALL_SUCCESS`, `LOGIN_SUCCESSFUL`, `PARTIAL_CREDENTIALS_SUCCESS`.
fn credentialed(statuses: &[String]) -> Option<bool> {
    let success = |status: &String| status.to_ascii_uppercase().contains("SUCCESS");
    (!statuses.is_empty()).then(|| statuses.iter().any(success))
}

/// Puts an identifier where its source says that it belongs.
fn identify(host: &mut Host, id: &str, source: &str) {
    let source = source.trim().to_ascii_lowercase();
    let from = |words: &[&str]| words.iter().any(|word| source.contains(word));
    if from(&["agent"]) {
        host.agent_ids.push(id.to_owned());
    } else if from(&["serial"]) {
        host.serial.get_or_insert_with(|| id.to_owned());
    } else if from(&["aws", "ec2", "amazon"]) || is_instance_id(id) {
        add_cloud(host, "aws", None, id.to_owned());
    } else if from(&["azure"]) {
        add_azure(host, id);
    } else if from(&["gcp", "google"]) {
        add_cloud(host, "gcp", None, id.to_owned());
    } else if from(&["dmidecode", "csproduct", "bios", "smbios", "uuid"]) && is_uuid(id) {
        host.bios_uuid.get_or_insert_with(|| id.to_owned());
    }
}

/// Adds an id of Azure: that of a virtual machine, or the path of a resource.
pub(super) fn add_azure(host: &mut Host, id: &str) {
    let mut parts = id.split('/').skip_while(|part| !part.eq_ignore_ascii_case("subscriptions"));
    let account = parts.nth(1).filter(|id| !id.is_empty()).map(str::to_owned);
    add_cloud(host, "azure", account, id.to_ascii_lowercase());
}

pub(super) fn add_cloud(host: &mut Host, provider: &str, account: Option<String>, id: String) {
    let cloud = CloudId { provider: provider.to_owned(), account, region: None, id };
    if !host.cloud.contains(&cloud) {
        host.cloud.push(cloud);
    }
}

/// `i-` and 8 or 17 hexadecimal digits.
fn is_instance_id(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|hex| {
        matches!(hex.len(), 8 | 17) && hex.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    })
}

fn is_uuid(id: &str) -> bool {
    id.bytes().filter(u8::is_ascii_hexdigit).count() == 32
        && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Sites, owners, locations and criticality are tags of a kind; what people made up themselves is a tag of its own.
pub(super) fn add_tag(host: &mut Host, name: &str, kind: &str) {
    let of = |key: &str| Tag { key: key.to_owned(), value: name.trim().to_owned() };
    let tag = match kind.trim().to_ascii_uppercase().as_str() {
        "SITE" => of("site"),
        "OWNER" => of("owner"),
        "LOCATION" => of("location"),
        "ASSET_GROUP" => of("asset_group"),
        "CRITICALITY" => {
            host.criticality = host.criticality.max(criticality(name));
            of("criticality")
        }
        _ => Tag::parse(name),
    };
    if !host.tags.contains(&tag) {
        host.tags.push(tag);
    }
}

fn criticality(name: &str) -> Option<u8> {
    match name.trim().to_ascii_lowercase().replace(['_', '-'], " ").as_str() {
        "very high" => Some(5),
        "high" => Some(4),
        "medium" => Some(3),
        "low" => Some(2),
        "very low" => Some(1),
        _ => None,
    }
}
