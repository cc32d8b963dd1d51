//! One element of a vulnerability chunk.
//!
//! | ours | Tenable |
//! | --- | --- |
//! | severity critical, high, medium, low, info | `severity_id` 4, 3, 2, 1, 0: after a recast, by the tenant's CVSS basis; never computed again |
//! | state open, reopened, fixed | `state` OPEN, REOPENED, FIXED |
//! | state suppressed | `severity_modification_type` ACCEPTED while OPEN or REOPENED |
//! | `vendor_risk` | `vpr.score`, 0.1 to 10, else `vpr_v2.score`, which is a vendor factor as well |
//! | `epss` | `epss_score` / 100 |
//! | `exploit_available` | that of the plugin, if it is a yes |

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use domain::finding::Tenths;
use domain::{CveId, Cvss, Finding, FindingKey, FindingState, Host, Rule, RuleId, Scanner, Severity};
use serde::Deserialize;
use serde_json::value::RawValue;
use sync::BadRecord;
use sync::split::json::{brief, element};

use super::lenient::{Field, FromScalar, List, Part, Scalar};
use super::names;

/// What one record says.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The host, as poorly as findings describe it.
    pub host: Arc<Host>,
    /// The finding.
    pub finding: Finding,
    /// The definition of its rule; `None` where the caller has it already.
    pub rule: Option<Arc<Rule>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    asset: Option<&'a RawValue>,
    output: Field<'a>,
    plugin: Option<&'a RawValue>,
    port: Part<Port<'a>>,
    scan: Part<Scan<'a>>,
    severity: Field<'a>,
    severity_id: Field<'a>,
    severity_default_id: Field<'a>,
    severity_modification_type: Field<'a>,
    first_found: Field<'a>,
    last_found: Field<'a>,
    last_fixed: Field<'a>,
    resurfaced_date: Field<'a>,
    state: Field<'a>,
    finding_id: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Asset<'a> {
    uuid: Field<'a>,
    hostname: List<Field<'a>>,
    fqdn: List<Field<'a>>,
    ipv4: List<Field<'a>>,
    ipv6: List<Field<'a>>,
    mac_address: List<Field<'a>>,
    netbios_name: List<Field<'a>>,
    operating_system: Field<'a>,
    agent_uuid: Field<'a>,
    bios_uuid: Field<'a>,
    serial_number: Field<'a>,
    last_authenticated_results: Field<'a>,
}

/// The inline definition. Its long texts are read only when the definition is wanted.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Plugin<'a> {
    id: Field<'a>,
    name: Field<'a>,
    synopsis: Option<&'a RawValue>,
    description: Option<&'a RawValue>,
    solution: Option<&'a RawValue>,
    xrefs: Option<&'a RawValue>,
    cve: List<Field<'a>>,
    cvss_base_score: Field<'a>,
    cvss_vector: Part<Vector<'a>>,
    cvss3_base_score: Field<'a>,
    cvss3_vector: Part<Vector<'a>>,
    cvss4_base_score: Field<'a>,
    cvss4_vector: Part<Vector<'a>>,
    epss_score: Field<'a>,
    vpr: Part<Vpr<'a>>,
    vpr_v2: Part<Vpr<'a>>,
    exploit_available: Field<'a>,
    has_patch: Field<'a>,
    modification_date: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Vector<'a> {
    raw: Field<'a>,
}

impl<'a> FromScalar for Vector<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(raw: Field<'a>) -> Self {
        Self { raw }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Vpr<'a> {
    score: Field<'a>,
}

impl<'a> FromScalar for Vpr<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(score: Field<'a>) -> Self {
        Self { score }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Port<'a> {
    port: Field<'a>,
    protocol: Field<'a>,
    service: Field<'a>,
}

impl<'a> FromScalar for Port<'a> {
    type Text = Cow<'a, str>;

    fn from_scalar(port: Field<'a>) -> Self {
        Self { port, ..Self::default() }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Scan<'a> {
    started_at: Field<'a>,
    completed_at: Field<'a>,
}

impl<'a> FromScalar for Scan<'a> {
    type Text = Cow<'a, str>;
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Xref<'a> {
    #[serde(rename = "type")]
    kind: Field<'a>,
    id: Field<'a>,
}

impl<'a> FromScalar for Xref<'a> {
    type Text = Cow<'a, str>;
}

/// Reads the elements of a vulnerability chunk. Each of them repeats its host and its plugin, mostly to the byte: what was
/// read once is not read again.
#[derive(Debug, Default)]
pub struct Findings {
    plugins: HashMap<u64, Known>,
    /// Bytes of `plugins`.
    kept: usize,
    asset: Option<(Box<str>, Arc<Host>)>,
}

/// Bytes of plugins that are remembered at most; then it begins anew.
const KEPT_LIMIT: usize = 8 << 20;

/// What a plugin says, beside its texts.
#[derive(Debug, Clone)]
struct Known {
    text: Box<str>,
    id: RuleId,
    cvss: Option<Cvss>,
    epss: Option<f64>,
    vendor_risk: Option<f64>,
    vpr_v2: Option<f64>,
    exploit_available: Option<bool>,
    /// Its definition, once somebody wanted it.
    rule: Option<Arc<Rule>>,
}

impl Findings {
    /// Reads the element that `bytes` begin with, which stands at `offset`, and answers how many bytes it has.
    /// `wants_rule` says whether the caller has any use for the definition of this rule.
    pub fn read(
        &mut self,
        offset: u64,
        bytes: &[u8],
        wants_rule: impl FnOnce(&RuleId) -> bool,
    ) -> Result<(Statement, usize), BadRecord> {
        let bad = |problem: String| BadRecord { offset, problem };
        let no_finding = |error: serde_json::Error| bad(format!("it is no finding: {}", brief(&error)));
        let (record, length): (Record<'_>, _) = element(bytes).map_err(no_finding)?;
        let asset = record.asset.ok_or_else(|| bad("it has no asset".into()))?.get();
        let plugin = record.plugin.ok_or_else(|| bad("it has no plugin".into()))?.get();
        let scanned_at = record.scan.0.completed_at.time().or_else(|| record.scan.0.started_at.time());
        let host = match &self.asset {
            Some((text, host)) if **text == *asset && host.last_scanned_at == scanned_at => Arc::clone(host),
            _ => {
                let read: Asset<'_> = serde_json::from_str(asset).map_err(no_finding)?;
                let native = read.uuid.clone().text().ok_or_else(|| bad("its asset has no uuid".into()))?;
                let host = Arc::new(host(native, read, scanned_at));
                self.asset = Some((asset.into(), Arc::clone(&host)));
                host
            }
        };
        let severity = severity_of(&record.severity_default_id);
        let known = self
            .plugin(plugin)
            .map_err(|error| error.map_or_else(|| bad("its plugin has no id".into()), no_finding))?;
        let rule = match wants_rule(&known.id) {
            true => Some(known.rule(severity).map_err(no_finding)?),
            false => None,
        };
        Ok((Statement { host, finding: finding(record, known), rule }, length))
    }

    /// What this plugin says. An error without a cause: it has no id.
    fn plugin(&mut self, text: &str) -> Result<&mut Known, Option<serde_json::Error>> {
        let digest = domain::digest(text.as_bytes());
        if self.plugins.get(&digest).is_none_or(|known| *known.text != *text) {
            let read: Plugin<'_> = serde_json::from_str(text)?;
            let known = Known {
                text: text.into(),
                id: RuleId::new(read.id.clone().text().ok_or(None)?),
                cvss: best_cvss(&read),
                epss: epss(&read.epss_score),
                vendor_risk: vpr(&read.vpr.0.score).or_else(|| vpr(&read.vpr_v2.0.score)),
                vpr_v2: vpr(&read.vpr_v2.0.score),
                // Only a yes says something: whoever knows of none has not looked everywhere.
                exploit_available: read.exploit_available.truth().filter(|yes| *yes),
                rule: None,
            };
            if self.kept + text.len() > KEPT_LIMIT {
                self.plugins.clear();
                self.kept = 0;
            }
            self.kept += text.len();
            self.plugins.insert(digest, known);
        }
        self.plugins.get_mut(&digest).ok_or(None)
    }
}

impl Known {
    fn rule(&mut self, severity: Option<Severity>) -> serde_json::Result<Arc<Rule>> {
        if let Some(rule) = self.rule.as_ref().filter(|rule| rule.severity == severity) {
            return Ok(Arc::clone(rule));
        }
        let rule = Arc::new(rule(&self.id, &serde_json::from_str(&self.text)?, severity));
        self.rule = Some(Arc::clone(&rule));
        Ok(rule)
    }
}

fn finding(record: Record<'_>, plugin: &Known) -> Finding {
    let (state, source_state) = state(&record.state, &record.severity_modification_type);
    let protocol = record.port.0.protocol.text().map(|protocol| protocol.trim().to_ascii_lowercase());
    let port = port(&record.port.0.port);
    let key = match record.finding_id.text() {
        Some(id) => id,
        // Older records have no id of their own; the host is not repeated, as keys are compared within a host.
        None => format!("{}|{}|{}", plugin.id, port.unwrap_or(0), protocol.as_deref().unwrap_or("")),
    };
    Finding {
        key: FindingKey::new(key),
        rule: plugin.id.clone(),
        severity: severity_of(&record.severity_id)
            .or_else(|| severity_of(&record.severity))
            .or_else(|| severity_of(&record.severity_default_id))
            // Neither silent nor alarming: somebody will look, and the raw value says what Tenable wrote.
            .unwrap_or(Severity::Medium),
        kind: domain::FindingKind::Vulnerability,
        source_severity: record.severity_id.text().or(record.severity.text()).unwrap_or_default(),
        state,
        source_state,
        cvss: plugin.cvss.clone(),
        epss: plugin.epss,
        vendor_risk: plugin.vendor_risk,
        exploit_available: plugin.exploit_available,
        vendor_factors: plugin
            .vpr_v2
            .map(|score| ("vpr_v2".to_owned(), score.to_string()))
            .into_iter()
            .collect(),
        first_found: record.first_found.time(),
        last_found: record.last_found.time(),
        // A reopened finding keeps the date of its last fix: only the state decides.
        fixed_at: if state == FindingState::Fixed { record.last_fixed.time() } else { None },
        reopened_at: record.resurfaced_date.time(),
        port,
        protocol,
        service: record.port.0.service.text(),
        evidence: record.output.text(),
    }
}

fn host(native: String, asset: Asset<'_>, scanned_at: Option<jiff::Timestamp>) -> Host {
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
fn severity_of(value: &Field<'_>) -> Option<Severity> {
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
fn state(state: &Field<'_>, modification: &Field<'_>) -> (FindingState, String) {
    let word = state.clone().text().unwrap_or_default();
    let is = |text: &Field<'_>, wanted: &str| matches!(text, Scalar::Text(t) if t.trim().eq_ignore_ascii_case(wanted));
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
fn port(value: &Field<'_>) -> Option<u16> {
    let number = value.number()?;
    // The range check makes the cast exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (number.fract() == 0.0 && (1.0..=65_535.0).contains(&number)).then_some(number as u16)
}

/// Tenable counts EPSS in per cent with three decimals; we in 0 to 1 with five, as FIRST does.
fn epss(value: &Field<'_>) -> Option<f64> {
    let percent = value.number()?;
    (0.0..=100.0).contains(&percent).then(|| (percent * 1_000.0).round() / 100_000.0)
}

/// A rating from 0.1 to 10; 0 stands for none.
fn vpr(value: &Field<'_>) -> Option<f64> {
    value.number().filter(|score| *score > 0.0 && *score <= 10.0)
}

/// CVSS 4 before 3 before 2. A score of 0 stands for none.
fn best_cvss(plugin: &Plugin<'_>) -> Option<Cvss> {
    let cvss = |score: &Field<'_>, vector: &Part<Vector<'_>>, version: &str, prefix: &str| {
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
        vendor_risk: None,
        exploit_available: None,
        modified: plugin.modification_date.time(),
    }
}

fn long_text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<Field<'_>>(raw?.get()).ok()?.text()
}

/// `cve`, completed by the cross references; what is no CVE id is left out.
fn cves(plugin: &Plugin<'_>) -> Vec<CveId> {
    let named = plugin.cve.0.iter().filter_map(|cve| cve.clone().text()?.parse().ok());
    let xrefs = plugin
        .xrefs
        .and_then(|raw| serde_json::from_str::<List<Xref<'_>>>(raw.get()).ok())
        .unwrap_or_default();
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
