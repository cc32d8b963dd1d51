//! One element of a vulnerability chunk.
//!
//! | ours | Tenable |
//! | --- | --- |
//! | severity critical, high, medium, low, info | `severity_id` 4, 3, 2, 1, 0: after a recast, by the tenant's CVSS basis; never computed again |
//! | state open, reopened, fixed | `state` OPEN, REOPENED, FIXED |
//! | state suppressed | `severity_modification_type` ACCEPTED while OPEN or REOPENED |
//! | `vendor_risk` | `vpr.score`, 0.1 to 10 |
//! | `epss` | `epss_score` / 100 |

use domain::finding::Tenths;
use domain::{CveId, Cvss, Finding, FindingKey, FindingState, Host, Rule, RuleId, Scanner, Severity};
use serde::Deserialize;
use serde_json::value::RawValue;
use sync::BadRecord;

use super::lenient::{FromScalar, List, Part, Scalar};
use super::{brief, names};

/// What one record says.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The host, as poorly as findings describe it.
    pub host: Host,
    /// The finding.
    pub finding: Finding,
    /// The definition of its rule; `None` where the caller has it already.
    pub rule: Option<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    asset: Option<Asset>,
    output: Scalar,
    #[serde(borrow)]
    plugin: Option<Plugin<'a>>,
    port: Part<Port>,
    scan: Part<Scan>,
    severity: Scalar,
    severity_id: Scalar,
    severity_default_id: Scalar,
    severity_modification_type: Scalar,
    first_found: Scalar,
    last_found: Scalar,
    last_fixed: Scalar,
    resurfaced_date: Scalar,
    state: Scalar,
    finding_id: Scalar,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asset {
    uuid: Scalar,
    hostname: List<Scalar>,
    fqdn: List<Scalar>,
    ipv4: List<Scalar>,
    ipv6: List<Scalar>,
    mac_address: List<Scalar>,
    netbios_name: List<Scalar>,
    operating_system: Scalar,
    agent_uuid: Scalar,
    bios_uuid: Scalar,
    serial_number: Scalar,
    last_authenticated_results: Scalar,
}

/// The inline definition. Its long texts are read only when the definition is wanted.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Plugin<'a> {
    id: Scalar,
    name: Scalar,
    #[serde(borrow)]
    synopsis: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow)]
    solution: Option<&'a RawValue>,
    #[serde(borrow)]
    xrefs: Option<&'a RawValue>,
    cve: List<Scalar>,
    cvss_base_score: Scalar,
    cvss_vector: Part<Vector>,
    cvss3_base_score: Scalar,
    cvss3_vector: Part<Vector>,
    cvss4_base_score: Scalar,
    cvss4_vector: Part<Vector>,
    epss_score: Scalar,
    vpr: Part<Vpr>,
    vpr_v2: Part<Vpr>,
    has_patch: Scalar,
    modification_date: Scalar,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vector {
    raw: Scalar,
}

impl FromScalar for Vector {
    fn from_scalar(raw: Scalar) -> Self {
        Self { raw }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vpr {
    score: Scalar,
}

impl FromScalar for Vpr {
    fn from_scalar(score: Scalar) -> Self {
        Self { score }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Port {
    port: Scalar,
    protocol: Scalar,
    service: Scalar,
}

impl FromScalar for Port {
    fn from_scalar(port: Scalar) -> Self {
        Self { port, ..Self::default() }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Scan {
    started_at: Scalar,
    completed_at: Scalar,
}

impl FromScalar for Scan {
    fn from_scalar(_: Scalar) -> Self {
        Self::default()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Xref {
    #[serde(rename = "type")]
    kind: Scalar,
    id: Scalar,
}

impl FromScalar for Xref {
    fn from_scalar(_: Scalar) -> Self {
        Self::default()
    }
}

/// Reads one element of a vulnerability chunk that begins at `offset`. `wants_rule` says whether the caller has any use
/// for the definition of this rule, which is repeated in every finding.
pub fn finding(
    offset: u64,
    bytes: &[u8],
    wants_rule: impl FnOnce(&RuleId) -> bool,
) -> Result<Statement, BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let record: Record<'_> =
        serde_json::from_slice(bytes).map_err(|error| bad(format!("it is no finding: {}", brief(&error))))?;
    let asset = record.asset.ok_or_else(|| bad("it has no asset".into()))?;
    let plugin = record.plugin.ok_or_else(|| bad("it has no plugin".into()))?;
    let native = asset.uuid.clone().text().ok_or_else(|| bad("its asset has no uuid".into()))?;
    let rule_id = RuleId::new(plugin.id.clone().text().ok_or_else(|| bad("its plugin has no id".into()))?);

    let (state, source_state) = state(&record.state, &record.severity_modification_type);
    let protocol = record.port.0.protocol.text().map(|protocol| protocol.trim().to_ascii_lowercase());
    let port = port(&record.port.0.port);
    let key = match record.finding_id.text() {
        Some(id) => id,
        // Older records have no id of their own; the host is not repeated, as keys are compared within a host.
        None => format!("{rule_id}|{}|{}", port.unwrap_or(0), protocol.as_deref().unwrap_or("")),
    };
    let rule = if wants_rule(&rule_id) {
        Some(rule(&rule_id, &plugin, severity_of(&record.severity_default_id)))
    } else {
        None
    };
    let finding = Finding {
        key: FindingKey::new(key),
        rule: rule_id,
        severity: severity_of(&record.severity_id)
            .or_else(|| severity_of(&record.severity))
            .or_else(|| severity_of(&record.severity_default_id))
            // Neither silent nor alarming: somebody will look, and the raw value says what Tenable wrote.
            .unwrap_or(Severity::Medium),
        kind: domain::FindingKind::Vulnerability,
        source_severity: record.severity_id.text().or(record.severity.text()).unwrap_or_default(),
        state,
        source_state,
        cvss: best_cvss(&plugin),
        epss: epss(&plugin.epss_score),
        vendor_risk: vpr(&plugin.vpr.0.score).or_else(|| vpr(&plugin.vpr_v2.0.score)),
        exploit_available: None,
        first_found: record.first_found.time(),
        last_found: record.last_found.time(),
        // A reopened finding keeps the date of its last fix: only the state decides.
        fixed_at: if state == FindingState::Fixed { record.last_fixed.time() } else { None },
        reopened_at: record.resurfaced_date.time(),
        port,
        protocol,
        service: record.port.0.service.text(),
        evidence: record.output.text(),
    };
    let scanned_at = record.scan.0.completed_at.time().or_else(|| record.scan.0.started_at.time());
    Ok(Statement { host: host(native, asset, scanned_at), finding, rule })
}

fn host(native: String, asset: Asset, scanned_at: Option<jiff::Timestamp>) -> Host {
    let mut host = Host {
        native,
        netbios: asset.netbios_name.texts(),
        macs: names::macs(asset.mac_address.texts()),
        agent_ids: asset.agent_uuid.text().into_iter().collect(),
        bios_uuid: asset.bios_uuid.text(),
        serial: asset.serial_number.text(),
        os: asset.operating_system.text(),
        last_scanned_at: scanned_at,
        // Without a date nothing is known: the records of one host differ in this.
        credentialed: asset.last_authenticated_results.time().map(|_| true),
        ..Host::default()
    };
    let addresses = asset.ipv4.texts().into_iter().chain(asset.ipv6.texts()).collect();
    names::sort_into(&mut host, addresses, asset.hostname.texts(), asset.fqdn.texts());
    host
}

/// `severity_id` 0 to 4, or the word for it.
fn severity_of(value: &Scalar) -> Option<Severity> {
    if let Some(number) = value.number() {
        return [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
            .into_iter()
            .zip([0.0, 1.0, 2.0, 3.0, 4.0])
            .find(|(_, id)| *id == number)
            .map(|(severity, _)| severity);
    }
    let Scalar::Text(word) = value else { return None };
    match word.trim().to_ascii_lowercase().as_str() {
        "critical" => Some(Severity::Critical),
        "high" => Some(Severity::High),
        "medium" => Some(Severity::Medium),
        "low" => Some(Severity::Low),
        "info" | "informational" | "none" => Some(Severity::Info),
        _ => None,
    }
}

/// Our state, and Tenable's own word. A word that we do not know counts as open: nothing is closed by a guess.
fn state(state: &Scalar, modification: &Scalar) -> (FindingState, String) {
    let word = state.clone().text().unwrap_or_default();
    let is = |text: &Scalar, wanted: &str| matches!(text, Scalar::Text(t) if t.trim().eq_ignore_ascii_case(wanted));
    let ours = if is(state, "FIXED") {
        FindingState::Fixed
    } else if is(modification, "ACCEPTED") {
        FindingState::Suppressed
    } else if is(state, "REOPENED") || is(state, "RESURFACED") {
        FindingState::Reopened
    } else {
        FindingState::Open
    };
    (ours, word)
}

/// The port, where the finding has one: 0 stands for the host as a whole.
fn port(value: &Scalar) -> Option<u16> {
    let number = value.number()?;
    // The range check makes the cast exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (number.fract() == 0.0 && (1.0..=65_535.0).contains(&number)).then_some(number as u16)
}

/// Tenable counts EPSS in per cent with three decimals; we in 0 to 1 with five, as FIRST does.
fn epss(value: &Scalar) -> Option<f64> {
    let percent = value.number()?;
    (0.0..=100.0).contains(&percent).then(|| (percent * 1_000.0).round() / 100_000.0)
}

/// A rating from 0.1 to 10; 0 stands for none.
fn vpr(value: &Scalar) -> Option<f64> {
    value.number().filter(|score| *score > 0.0 && *score <= 10.0)
}

/// CVSS 4 before 3 before 2. A score of 0 stands for none.
fn best_cvss(plugin: &Plugin<'_>) -> Option<Cvss> {
    let cvss = |score: &Scalar, vector: &Part<Vector>, version: &str, prefix: &str| {
        let score = Tenths::from_f64(score.number()?).filter(|score| score.0 > 0)?;
        let vector =
            vector.0.raw.clone().text().map(|raw| raw.trim().trim_start_matches("CVSS2#").to_owned());
        // `CVSS:3.1/AV:N/...` names the version; Tenable usually leaves it out, and then means 3.0 in its own pages.
        let named = |vector: &str| {
            vector.strip_prefix("CVSS:")?.split_once('/').map(|(version, _)| version.to_owned())
        };
        Some(match vector {
            None => Cvss { version: version.to_owned(), score, vector: None },
            Some(vector) => match named(&vector) {
                Some(version) => Cvss { version, score, vector: Some(vector) },
                None => {
                    Cvss { version: version.to_owned(), score, vector: Some(format!("{prefix}{vector}")) }
                }
            },
        })
    };
    cvss(&plugin.cvss4_base_score, &plugin.cvss4_vector, "4.0", "CVSS:4.0/")
        .or_else(|| cvss(&plugin.cvss3_base_score, &plugin.cvss3_vector, "3", "CVSS:3.0/"))
        .or_else(|| cvss(&plugin.cvss_base_score, &plugin.cvss_vector, "2.0", ""))
}

fn rule(id: &RuleId, plugin: &Plugin<'_>, severity: Option<Severity>) -> Rule {
    Rule {
        scanner: Scanner::Tenable,
        id: id.clone(),
        title: plugin.name.clone().text().unwrap_or_else(|| format!("Plugin {id}")),
        cves: cves(plugin),
        severity,
        cvss: best_cvss(plugin),
        description: long_text(plugin.description).or_else(|| long_text(plugin.synopsis)),
        solution: long_text(plugin.solution).filter(|text| !text.trim().eq_ignore_ascii_case("n/a")),
        patchable: plugin.has_patch.truth(),
        modified: plugin.modification_date.time(),
    }
}

fn long_text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<Scalar>(raw?.get()).ok()?.text()
}

/// `cve`, completed by the cross references; what is no CVE id is left out.
fn cves(plugin: &Plugin<'_>) -> Vec<CveId> {
    let named = plugin.cve.0.iter().filter_map(|cve| cve.clone().text()?.parse().ok());
    let xrefs =
        plugin.xrefs.and_then(|raw| serde_json::from_str::<List<Xref>>(raw.get()).ok()).unwrap_or_default();
    let referenced = xrefs.0.into_iter().filter_map(|xref| {
        let is_cve = xref.kind.text()?.eq_ignore_ascii_case("CVE");
        let id = xref.id.text()?;
        if is_cve { id.parse().or_else(|_| format!("CVE-{id}").parse()).ok() } else { None }
    });
    let mut cves: Vec<CveId> = named.chain(referenced).collect();
    cves.sort();
    cves.dedup();
    cves
}
