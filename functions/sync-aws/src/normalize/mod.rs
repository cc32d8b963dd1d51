//! The words of AWS -> our words. Pure: no clock, no network.
//!
//! | ours | Inspector | Security Hub |
//! | --- | --- | --- |
//! | critical, high, medium, low | the same words | `Severity.Label`, else `Severity.Normalized` in its bands |
//! | info | `INFORMATIONAL`, `UNTRIAGED` | `INFORMATIONAL` |
//! | open | `ACTIVE`, and what is unknown | `RecordState` `ACTIVE` |
//! | suppressed | `SUPPRESSED` | `Workflow.Status` `SUPPRESSED` |
//! | fixed | `CLOSED` | `RecordState` `ARCHIVED`, `Workflow.Status` `RESOLVED`, `Compliance.Status` `PASSED` |

pub mod inspector;
mod resource;
pub mod security_hub;
mod wire;

use std::collections::{BTreeSet, HashSet};
use std::io::Read;

use domain::finding::Tenths;
use domain::{CveId, Cvss, Finding, Host, Rule, RuleId, Scanner, Severity};
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;
use store::{Push, Said};
use sync::lenient::{Field, Scalar};
use sync::{BadRecord, NormalizeError, Normalized, Summary};

use wire::{Listed, Object};

/// Source of Inspector's events.
pub const INSPECTOR_SOURCE: &str = "aws.inspector2";
/// Detail-type of Inspector's findings.
pub const INSPECTOR_EVENT: &str = "Inspector2 Finding";
/// Source of Security Hub's events.
pub const SECURITY_HUB_SOURCE: &str = "aws.securityhub";
/// Detail-type of Security Hub's findings, new ones and changed ones.
pub const SECURITY_HUB_EVENT: &str = "Security Hub Findings - Imported";

/// Longest description that is kept.
const DESCRIPTION: usize = 2_000;
/// Packages of one finding that are named.
const PACKAGES: usize = 20;

/// One finding on one resource, with the definition of its rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The finding.
    pub push: Push,
    /// Its rule, as far as one finding tells.
    pub rule: Rule,
}

/// In whose words a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Inspector's API.
    Inspector,
    /// The AWS Security Finding Format.
    SecurityHub,
}

/// The findings of a document: an event, an answer of `ListFindings` or `GetFindings`, a list, or one finding.
pub fn findings(document: &Value) -> Vec<(Option<Kind>, &Value)> {
    let body = if document.get("detail-type").is_some() { &document["detail"] } else { document };
    let list = ["findings", "Findings"].iter().find_map(|name| body.get(name)).unwrap_or(body);
    let each: Vec<&Value> = match list {
        Value::Array(list) => list.iter().collect(),
        Value::Null => vec![],
        one => vec![one],
    };
    each.into_iter().map(|finding| (kind(finding), finding)).collect()
}

fn kind(finding: &Value) -> Option<Kind> {
    if finding.get("findingArn").is_some() {
        Some(Kind::Inspector)
    } else {
        finding.get("ProductArn").or(finding.get("SchemaVersion")).map(|_| Kind::SecurityHub)
    }
}

/// Normalises a document of findings; see [`findings`]. `stream` is `inspector` or `security_hub`, or empty: what is
/// told by the findings themselves.
pub fn normalize(
    stream: &str,
    mut reader: impl Read,
    emit: &mut dyn FnMut(Normalized),
) -> Result<Summary, NormalizeError> {
    if !matches!(stream, "" | "inspector" | "security_hub") {
        let known = "inspector, security_hub";
        return Err(NormalizeError::UnknownStream { stream: stream.to_owned(), known });
    }
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    let mut taken = Taken { emit, summary: Summary::default(), hosts: HashSet::new(), rules: HashSet::new() };
    if let Some((findings, sent)) = listed(&text) {
        for (index, finding) in findings.into_iter().enumerate() {
            taken.take(index, read_text(stream, finding.get(), sent));
        }
        return Ok(taken.summary);
    }
    let document: Value = serde_json::from_slice(&text).map_err(|error| NormalizeError::Malformed {
        offset: offset_of(&text, &error),
        problem: error.to_string(),
        remedy: "give an event, or the whole answer of a call",
    })?;
    let sent = time(document.get("time"));
    for (index, (kind, finding)) in findings(&document).into_iter().enumerate() {
        taken.take(index, read(stream, kind, finding, sent));
    }
    Ok(taken.summary)
}

/// An answer of a call.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Answer<'a> {
    #[serde(alias = "Findings")]
    findings: Option<Vec<&'a RawValue>>,
    time: Field<'a>,
    #[serde(rename = "detail-type", deserialize_with = "given")]
    event: Option<IgnoredAny>,
}

/// The findings of an answer or of a list, the documents of many findings, and when they were sent.
fn listed(text: &[u8]) -> Option<(Vec<&RawValue>, Option<Timestamp>)> {
    match text.trim_ascii_start().first()? {
        b'[' => Some((serde_json::from_slice(text).ok()?, None)),
        b'{' => {
            let answer: Answer<'_> = serde_json::from_slice(text).ok()?;
            let findings = answer.findings.filter(|_| answer.event.is_none())?;
            Some((findings, moment(&answer.time)))
        }
        _ => None,
    }
}

/// Reads a finding where it lies; where that fails, as the value that it is.
fn read_text(stream: &str, text: &str, sent: Option<Timestamp>) -> Result<Vec<Told>, String> {
    if text.starts_with('{') {
        if stream != "security_hub"
            && let Ok(record) = serde_json::from_str::<inspector::Record<'_>>(text)
            && record.is_finding()
        {
            return record.read(sent);
        }
        if stream != "inspector"
            && let Ok(record) = serde_json::from_str::<security_hub::Record<'_>>(text)
            && record.is_finding()
        {
            return record.read(sent);
        }
    }
    let finding: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    read(stream, kind(&finding), &finding, sent)
}

fn read(
    stream: &str,
    kind: Option<Kind>,
    finding: &Value,
    sent: Option<Timestamp>,
) -> Result<Vec<Told>, String> {
    match kind {
        Some(Kind::Inspector) if stream != "security_hub" => inspector::finding(finding, sent),
        Some(Kind::SecurityHub) if stream != "inspector" => security_hub::finding(finding, sent),
        _ => Err(format!("not a finding of {}", if stream.is_empty() { "AWS" } else { stream })),
    }
}

/// What was told already: each host and each definition is told once.
struct Taken<'e> {
    emit: &'e mut dyn FnMut(Normalized),
    summary: Summary,
    hosts: HashSet<String>,
    rules: HashSet<RuleId>,
}

impl Taken<'_> {
    fn take(&mut self, index: usize, read: Result<Vec<Told>, String>) {
        match read {
            Ok(told) => told.into_iter().for_each(|told| self.tell(told)),
            Err(problem) => {
                let problem = format!("finding {index}: {problem}");
                self.emit(Normalized::Refused(BadRecord { offset: 0, problem }));
            }
        }
    }

    fn tell(&mut self, Told { push, rule }: Told) {
        let native = push.host.native.clone();
        if !self.hosts.contains(&native) {
            self.hosts.insert(native.clone());
            self.emit(Normalized::Host(push.host));
        }
        let finding = push.finding;
        let (title, cves, solution) = if self.rules.contains(&rule.id) {
            (rule.title, rule.cves, rule.solution)
        } else {
            let said = (rule.title.clone(), rule.cves.clone(), rule.solution.clone());
            self.rules.insert(rule.id.clone());
            self.emit(Normalized::Rule(rule));
            said
        };
        self.emit(Normalized::Finding { host: native, finding, title: Some(title), cves, solution });
    }

    fn emit(&mut self, statement: Normalized) {
        self.summary.count(&statement);
        (self.emit)(statement);
    }
}

/// A field that is there, whatever it holds; for one that may be absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn offset_of(text: &[u8], error: &serde_json::Error) -> u64 {
    let before: usize =
        text.split_inclusive(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    (before + error.column().saturating_sub(1)) as u64
}

/// A text that says something.
fn text(field: &Field<'_>) -> Option<String> {
    match field {
        Scalar::Absent => None,
        Scalar::Text(text) => match text.trim() {
            "" | "None Provided" | "NotAvailable" | "N/A" | "null" => None,
            text => Some(text.to_owned()),
        },
        // As JSON writes it: 2.0, not 2.
        Scalar::Number(number) => Some(Value::from(*number).to_string()),
        Scalar::Whole(number) => Some(number.to_string()),
        Scalar::Truth(truth) => Some(truth.to_string()),
    }
}

fn texts<'f>(list: &'f Listed<Field<'_>>) -> impl Iterator<Item = String> + 'f {
    list.0.iter().filter_map(text)
}

/// A whole number, which is none where it is written as text.
fn whole(field: &Field<'_>) -> Option<u64> {
    match field {
        Scalar::Whole(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// `YES` and `NO`; `PARTIAL` is a yes.
fn yes(field: &Field<'_>) -> Option<bool> {
    let Scalar::Text(text) = field else { return None };
    let is = |word: &str| text.trim().eq_ignore_ascii_case(word);
    if is("YES") || is("PARTIAL") { Some(true) } else { is("NO").then_some(false) }
}

/// A moment, to the second; see [`moment`].
pub fn time(value: Option<&Value>) -> Option<Timestamp> {
    moment(&Field::deserialize(value?).ok()?)
}

/// A moment, to the second, so that both services tell the same one. RFC 3339, the two ways in which Inspector's events
/// write it (`Wed Sep 04 16:59:44.356 UTC 2024`, `Mar 20, 2023, 6:08:05 PM`), and seconds since 1970.
fn moment(field: &Field<'_>) -> Option<Timestamp> {
    let text = match field {
        Scalar::Text(text) => &**text,
        Scalar::Whole(number) => return Timestamp::from_second(*number).ok(),
        // The range check of `from_second` follows; a fraction of a second does not matter.
        #[allow(clippy::cast_possible_truncation)]
        Scalar::Number(number) => return Timestamp::from_second(*number as i64).ok(),
        Scalar::Absent | Scalar::Truth(_) => return None,
    };
    let whole = |time: Timestamp| Timestamp::from_second(time.as_second()).ok();
    if let Some(time) = sync::lenient::moment(text) {
        return whole(time);
    }
    // Some versions of Java put a narrow space before AM and PM.
    let text = text.replace(['\u{202f}', '\u{a0}'], " ");
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return whole(time);
    }
    ["%a %b %d %H:%M:%S%.f UTC %Y", "%b %d, %Y, %I:%M:%S %p", "%b %d, %Y %I:%M:%S %p"].iter().find_map(
        |format| {
            let civil = strtime::parse(format, text).ok()?.to_datetime().ok()?;
            whole(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
        },
    )
}

/// Severity in our words. What is unknown is neither silent nor alarming, and the raw value says what was written.
fn severity(label: &str) -> Severity {
    match label.to_ascii_uppercase().as_str() {
        "CRITICAL" => Severity::Critical,
        "HIGH" => Severity::High,
        "LOW" => Severity::Low,
        "INFORMATIONAL" | "UNTRIAGED" | "NONE" => Severity::Info,
        _ => Severity::Medium,
    }
}

/// A CVSS score, in either service's words.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Score<'a> {
    #[serde(alias = "Version")]
    version: Field<'a>,
    #[serde(alias = "BaseScore")]
    base_score: Field<'a>,
    /// What Inspector made of the base score.
    score: Field<'a>,
    #[serde(alias = "BaseVector")]
    scoring_vector: Field<'a>,
}

/// The highest score of the newest version of the standard.
fn best_cvss<'f, 'a: 'f>(scores: impl IntoIterator<Item = &'f Object<Score<'a>>>) -> Option<Cvss> {
    scores
        .into_iter()
        .filter_map(|Object(Score { version, base_score, score, scoring_vector })| {
            let score = base_score.number().or_else(|| score.number()).filter(|score| *score > 0.0);
            let score = score.and_then(Tenths::from_f64)?;
            Some((text(version).unwrap_or_else(|| "3".into()), score, scoring_vector))
        })
        .reduce(|best, next| if (&next.0, next.1) > (&best.0, best.1) { next } else { best })
        .map(|(version, score, vector)| Cvss { version, score, vector: text(vector) })
}

/// A package that the weakness is in, in either service's words.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct WirePackage<'a> {
    #[serde(alias = "Name")]
    name: Field<'a>,
    #[serde(alias = "Version")]
    version: Field<'a>,
    #[serde(alias = "Release")]
    release: Field<'a>,
    #[serde(alias = "FilePath")]
    file_path: Field<'a>,
    #[serde(alias = "FixedInVersion")]
    fixed_in_version: Field<'a>,
    #[serde(alias = "Remediation")]
    remediation: Field<'a>,
}

/// A package that the weakness is in.
#[derive(Debug, Default)]
struct Package {
    name: String,
    version: String,
    release: Option<String>,
    path: Option<String>,
    fixed_in: Option<String>,
    remedy: Option<String>,
}

impl From<&Object<WirePackage<'_>>> for Package {
    fn from(Object(wire): &Object<WirePackage<'_>>) -> Self {
        Self {
            name: text(&wire.name).unwrap_or_default(),
            version: text(&wire.version).unwrap_or_default(),
            release: text(&wire.release),
            path: text(&wire.file_path),
            fixed_in: text(&wire.fixed_in_version),
            remedy: text(&wire.remediation),
        }
    }
}

impl Package {
    fn line(&self) -> String {
        let mut line = format!("{} {}", self.name, self.version);
        if let Some(release) = &self.release {
            line.push_str(&format!("-{release}"));
        }
        if let Some(path) = &self.path {
            line.push_str(&format!(" in {path}"));
        }
        match &self.fixed_in {
            Some(fixed) => line.push_str(&format!(", fixed in {fixed}")),
            None => line.push_str(", no fix yet"),
        }
        line
    }
}

/// What was seen: the packages, in the order of their names.
fn evidence(packages: &[Package]) -> Option<String> {
    let lines: BTreeSet<String> = packages.iter().map(Package::line).collect();
    let more = lines.len().saturating_sub(PACKAGES);
    let mut lines: Vec<String> = lines.into_iter().take(PACKAGES).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What to do: the advice, and what the package managers say.
fn solution(advice: Option<String>, packages: &[Package]) -> Option<String> {
    let remedies: BTreeSet<&String> = packages.iter().filter_map(|package| package.remedy.as_ref()).collect();
    let parts: Vec<String> = advice.into_iter().chain(remedies.into_iter().cloned()).collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}

/// The CVEs of a rule: its id, or where that is an advisory's, the CVEs that it names.
fn cves(id: &str, related: &Listed<Field<'_>>) -> Vec<CveId> {
    if let Ok(cve) = id.parse() {
        return vec![cve];
    }
    let named: BTreeSet<CveId> = texts(related).filter_map(|id| id.parse().ok()).collect();
    named.into_iter().collect()
}

/// What a finding tells, once on each of its hosts.
fn on_each(
    hosts: impl ExactSizeIterator<Item = Result<Host, String>>,
    arn: &str,
    said: Said,
    finding: Finding,
    rule: Rule,
) -> Result<Vec<Told>, String> {
    if hosts.len() == 0 {
        return Err(format!("{arn}: it names no resource"));
    }
    let each = std::iter::repeat_n((finding, rule), hosts.len());
    hosts
        .zip(each)
        .map(|(host, (finding, rule))| {
            let host = host.map_err(|problem| format!("{arn}: {problem}"))?;
            Ok(Told { push: Push { host, finding, said }, rule })
        })
        .collect()
}

fn cut(text: String) -> String {
    if text.len() <= DESCRIPTION {
        return text;
    }
    match text.char_indices().nth(DESCRIPTION) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn rule(id: String, title: String, cves: Vec<CveId>) -> Rule {
    Rule {
        scanner: Scanner::Aws,
        id: RuleId::new(id),
        title,
        cves,
        severity: None,
        cvss: None,
        description: None,
        solution: None,
        patchable: None,
        vendor_risk: None,
        exploit_available: None,
        modified: None,
    }
}
