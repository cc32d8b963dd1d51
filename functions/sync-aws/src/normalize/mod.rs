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

use std::collections::BTreeSet;
use std::io::Read;

use domain::finding::Tenths;
use domain::{CveId, Cvss, Rule, RuleId, Scanner, Severity};
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde_json::Value;
use store::Push;
use sync::{BadRecord, NormalizeError, Normalized, Summary};

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
    let kind = |finding: &Value| {
        if finding.get("findingArn").is_some() {
            Some(Kind::Inspector)
        } else {
            finding.get("ProductArn").or(finding.get("SchemaVersion")).map(|_| Kind::SecurityHub)
        }
    };
    each.into_iter().map(|finding| (kind(finding), finding)).collect()
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
    let document: Value = serde_json::from_slice(&text).map_err(|error| NormalizeError::Malformed {
        offset: offset_of(&text, &error),
        problem: error.to_string(),
        remedy: "give an event, or the whole answer of a call",
    })?;
    let mut summary = Summary::default();
    let mut counted = |statement: Normalized| {
        summary.count(&statement);
        emit(statement);
    };
    let (mut hosts, mut rules) = (BTreeSet::new(), BTreeSet::new());
    let sent = time(document.get("time"));
    for (index, (kind, finding)) in findings(&document).into_iter().enumerate() {
        let read = match kind {
            Some(Kind::Inspector) if stream != "security_hub" => inspector::finding(finding, sent),
            Some(Kind::SecurityHub) if stream != "inspector" => security_hub::finding(finding, sent),
            _ => Err(format!("not a finding of {}", if stream.is_empty() { "AWS" } else { stream })),
        };
        match read {
            Ok(told) => {
                for Told { push, rule } in told {
                    let native = push.host.native.clone();
                    if hosts.insert(native.clone()) {
                        counted(Normalized::Host(push.host));
                    }
                    let (title, cves) = (Some(rule.title.clone()), rule.cves.clone());
                    let solution = rule.solution.clone();
                    if rules.insert(rule.id.clone()) {
                        counted(Normalized::Rule(rule));
                    }
                    let finding = push.finding;
                    counted(Normalized::Finding { host: native, finding, title, cves, solution });
                }
            }
            Err(problem) => {
                let problem = format!("finding {index}: {problem}");
                counted(Normalized::Refused(BadRecord { offset: 0, problem }));
            }
        }
    }
    Ok(summary)
}

fn offset_of(text: &[u8], error: &serde_json::Error) -> u64 {
    let before: usize =
        text.split_inclusive(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    (before + error.column().saturating_sub(1)) as u64
}

/// A text that says something.
fn text(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return None,
    };
    let void = ["", "None Provided", "NotAvailable", "N/A", "null"];
    (!void.contains(&text.as_str())).then_some(text)
}

/// A number, also where it is written as text.
fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    list(value).iter().filter_map(|value| text(Some(value))).collect()
}

/// `YES` and `NO`; `PARTIAL` is a yes.
fn yes(value: Option<&Value>) -> Option<bool> {
    match text(value)?.to_ascii_uppercase().as_str() {
        "YES" | "PARTIAL" => Some(true),
        "NO" => Some(false),
        _ => None,
    }
}

/// A moment, to the second, so that both services tell the same one. RFC 3339, the two ways in which Inspector's events
/// write it (`Wed Sep 04 16:59:44.356 UTC 2024`, `Mar 20, 2023, 6:08:05 PM`), and seconds since 1970.
pub fn time(value: Option<&Value>) -> Option<Timestamp> {
    let whole = |time: Timestamp| Timestamp::from_second(time.as_second()).ok();
    if let Some(number) = value?.as_f64() {
        // The range check of `from_second` follows; a fraction of a second does not matter.
        #[allow(clippy::cast_possible_truncation)]
        return Timestamp::from_second(number as i64).ok();
    }
    if let Some(time) = sync::lenient::moment(value?.as_str()?) {
        return whole(time);
    }
    // Some versions of Java put a narrow space before AM and PM.
    let text = value?.as_str()?.replace(['\u{202f}', '\u{a0}'], " ");
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

/// One entry of a list of CVSS scores: version, score, vector.
type Scored<'a> = (Option<&'a Value>, Option<&'a Value>, Option<&'a Value>);

/// The highest score of the newest version of the standard.
fn best_cvss<'a>(scores: impl Iterator<Item = Scored<'a>>) -> Option<Cvss> {
    scores
        .filter_map(|(version, score, vector)| {
            let score = number(score).filter(|score| *score > 0.0).and_then(Tenths::from_f64)?;
            Some(Cvss { version: text(version).unwrap_or_else(|| "3".into()), score, vector: text(vector) })
        })
        .reduce(|best, next| {
            let rank = |cvss: &Cvss| (cvss.version.clone(), cvss.score);
            if rank(&next) > rank(&best) { next } else { best }
        })
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
fn cves<'a>(id: &str, related: impl Iterator<Item = &'a Value>) -> Vec<CveId> {
    if let Ok(cve) = id.parse() {
        return vec![cve];
    }
    let named: BTreeSet<CveId> = related.filter_map(|id| id.as_str()?.parse().ok()).collect();
    named.into_iter().collect()
}

fn cut(text: String) -> String {
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
        modified: None,
    }
}
