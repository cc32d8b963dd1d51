//! One asset with its findings, as `POST /assets` gives it.

use std::borrow::Cow;

use domain::{CloudId, Host, Tag};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use sync::lenient::{Elements, Field, FromScalar, List, Objects, Scalar};
use sync::split::json::{brief, element};
use sync::{BadRecord, names};

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
    /// `same` was there, it is as long as the asset counts, and every finding in it could be read: what is not in it is not
    /// on the asset.
    pub whole: bool,
    /// It says that it has vulnerabilities, and `same` names none.
    pub untold: bool,
}

/// `L`: how the lists of findings are read.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a, L: Default + Deserialize<'de>"))]
struct Record<'a, L> {
    id: Field<'a>,
    host_name: List<Field<'a>>,
    ip: List<Field<'a>>,
    mac: List<Field<'a>>,
    os_description: Field<'a>,
    os_system_name: Field<'a>,
    os_name: Field<'a>,
    os_version: Field<'a>,
    assessed_for_vulnerabilities: Field<'a>,
    total_vulnerabilities: Field<'a>,
    last_assessed_for_vulnerabilities: Field<'a>,
    last_scan_end: Field<'a>,
    last_scan_start: Field<'a>,
    tags: List<WireTag<'a>>,
    unique_identifiers: List<Identifier<'a>>,
    credential_assessments: List<Assessment<'a>>,
    same: L,
    new: L,
    remediated: L,
}

/// The lists of findings, read with the asset.
type Whole<'a> = Record<'a, Option<Objects<finding::Record<'a>>>>;
/// The lists of findings as they are, for the elements to be read one by one.
type Parted<'a> = Record<'a, Option<&'a RawValue>>;

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireTag<'a> {
    name: Field<'a>,
    #[serde(rename = "type")]
    kind: Field<'a>,
}

impl<'a> FromScalar for WireTag<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(name: Field<'a>) -> Self {
        Self { name, kind: Scalar::Absent }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Identifier<'a> {
    id: Field<'a>,
    source: Field<'a>,
}

impl<'a> FromScalar for Identifier<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(id: Field<'a>) -> Self {
        Self { id, source: Scalar::Absent }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Assessment<'a> {
    status: Field<'a>,
}

impl<'a> FromScalar for Assessment<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(status: Field<'a>) -> Self {
        Self { status }
    }
}

/// Reads the asset that `bytes` begin with, which stands at `offset`, and answers how many bytes it has. A finding that
/// cannot be read fails alone.
pub fn asset(offset: u64, bytes: &[u8]) -> Result<(Asset, usize), BadRecord> {
    if let Ok((record, length)) = element::<Whole<'_>>(bytes)
        && let Some(asset) = whole(record)
    {
        return Ok((asset, length));
    }
    parted(offset, bytes)
}

/// The asset, if all of its findings can be read as well.
fn whole(mut record: Whole<'_>) -> Option<Asset> {
    let native = record.id.clone().text()?;
    let scanned_at = scanned_at(&record);
    let lists = [
        (record.same.take(), Among::Same),
        (record.new.take(), Among::New),
        (record.remediated.take(), Among::Remediated),
    ];
    let same = lists[0].0.as_ref().map(|list| list.0.len());
    let all = lists.iter().filter_map(|(list, _)| list.as_ref()).map(|list| list.0.len());
    let mut findings = Vec::with_capacity(all.sum());
    for (list, among) in lists {
        for element in list.into_iter().flat_map(|list| list.0) {
            findings.push(finding::statement(element, among, scanned_at).ok()?);
        }
    }
    Some(put_together(native, scanned_at, record, same, (findings, Vec::new())))
}

/// The asset, its findings read one by one.
fn parted(offset: u64, bytes: &[u8]) -> Result<(Asset, usize), BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let (record, length): (Parted<'_>, _) =
        element(bytes).map_err(|error| bad(format!("it is no asset: {}", brief(&error))))?;
    let native = record.id.clone().text().ok_or_else(|| bad("it has no id".into()))?;
    let scanned_at = scanned_at(&record);
    let (mut findings, mut refused) = (Vec::new(), Vec::new());
    let lists =
        [(record.same, Among::Same), (record.new, Among::New), (record.remediated, Among::Remediated)];
    let mut same = None;
    for (raw, list) in lists {
        let Some(elements) = elements(raw).map_err(bad)? else { continue };
        if list == Among::Same {
            same = Some(elements.len());
        }
        for element in elements {
            match finding::finding(element.get().as_bytes(), list, scanned_at) {
                Ok(statement) => findings.push(statement),
                Err(problem) => {
                    let at = offset + distance(bytes, element.get().as_bytes());
                    refused.push(BadRecord { offset: at, problem });
                }
            }
        }
    }
    Ok((put_together(native, scanned_at, record, same, (findings, refused)), length))
}

fn scanned_at<L>(record: &Record<'_, L>) -> Option<Timestamp> {
    [&record.last_scan_end, &record.last_assessed_for_vulnerabilities, &record.last_scan_start]
        .into_iter()
        .find_map(Scalar::time)
}

/// `same`: how many findings that list has, where it is told.
fn put_together<L>(
    native: String,
    scanned_at: Option<Timestamp>,
    record: Record<'_, L>,
    same: Option<usize>,
    (findings, refused): (Vec<Statement>, Vec<BadRecord>),
) -> Asset {
    // An asset that was never assessed has no findings, which proves nothing.
    let assessed = record.assessed_for_vulnerabilities.truth() != Some(false) && scanned_at.is_some();
    let counted = record.total_vulnerabilities.number().unwrap_or(0.0);
    let untold = same.unwrap_or(0) == 0 && counted > 0.0;
    // A vulnerability may be there more than once, on several ports: more than are counted contradict nothing.
    let told = same.and_then(|same| u32::try_from(same).ok()).map(f64::from);
    let whole = assessed && told.is_some_and(|told| told >= counted) && refused.is_empty();
    Asset { host: host(native, scanned_at, record), findings, refused, whole, untold }
}

/// The elements of a list, also where a single one stands in its place. `None`: the list is not told.
fn elements(raw: Option<&RawValue>) -> Result<Option<Vec<&RawValue>>, String> {
    let Some(raw) = raw else { return Ok(None) };
    match raw.get().as_bytes().first() {
        Some(b'[') => match serde_json::from_str(raw.get()) {
            Ok(Elements(all)) => Ok(Some(all)),
            Err(error) => Err(format!("its findings cannot be read: {}", brief(&error))),
        },
        Some(b'{') => Ok(Some(vec![raw])),
        _ => Ok(None),
    }
}

/// How far into `whole` its part `part` begins.
fn distance(whole: &[u8], part: &[u8]) -> u64 {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize) as u64
}

fn host<L>(native: String, last_scanned_at: Option<Timestamp>, record: Record<'_, L>) -> Host {
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
    let mut host =
        Host { native, macs: names::macs(record.mac.texts()), os, last_scanned_at, ..Host::default() };
    for identifier in record.unique_identifiers.0 {
        if let Some(id) = identifier.id.text() {
            identify(&mut host, id.trim(), &identifier.source.text().unwrap_or_default());
        }
    }
    (host.credentialed, host.partly_credentialed) = credentialed(&statuses, !host.agent_ids.is_empty());
    for tag in record.tags.0 {
        if let Some(name) = tag.name.text() {
            add_tag(&mut host, &name, &tag.kind.text().unwrap_or_default());
        }
    }
    let hostnames = record.host_name.texts();
    names::sort_into(&mut host, record.ip.texts(), hostnames, vec![]);
    host
}

/// Whether any login worked (`CREDENTIAL_STATUS_ALL_SUCCESS`, `LOGIN_SUCCESSFUL`, `PARTIAL_CREDENTIALS_SUCCESS`), and if so,
/// whether another did not. Where no credentials were given for a service (`NO_CREDS_SUPPLIED`), nothing has failed. An
/// agent looks from inside and needs none: it counts where no login was tried.
fn credentialed(statuses: &[String], has_agent: bool) -> (Option<bool>, Option<bool>) {
    let any = |words: &[&str]| {
        let is = |status: &String| words.iter().any(|word| status.to_ascii_uppercase().contains(word));
        statuses.iter().any(is)
    };
    let tried = statuses.iter().any(|status| !status.to_ascii_uppercase().contains("NO_CREDS"));
    let success = any(&["SUCCESS"]);
    let credentialed = match (tried, has_agent) {
        (true, _) => Some(success),
        (false, true) => Some(true),
        (false, false) => (!statuses.is_empty()).then_some(false),
    };
    (credentialed, success.then(|| any(&["PARTIAL", "FAIL"])))
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
