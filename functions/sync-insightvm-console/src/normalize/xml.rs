//! Nexpose XML 2.0 (`xml-export-v2`, root `NexposeReport`), as people save it and other tools read it.
//!
//! ```text
//! NexposeReport/nodes/node[@device-id,@address]/{names/name, fingerprints/os, tests/test,
//!                                                endpoints/endpoint[@port,@protocol]/services/service/tests/test}
//! NexposeReport/VulnerabilityDefinitions/vulnerability[@id,@severity,@cvssScore]
//! ```
//!
//! The definitions, and with them the severities, stand behind everything that refers to them.

use std::collections::HashMap;

use domain::{Finding, Host, Rule, RuleId, Scanner, Severity};
use jiff::Timestamp;
use sync::split::xml::{Cut, Records, SplitError, XmlSplitter};
use sync::text::plain;
use sync::xml::{clean, walk};
use sync::{BadRecord, Normalized, names};

use super::json::cves;
use super::severity;
use super::state::{self, Instance};

const RECORDS: &[Records] = &[
    Records { parent: "nodes", name: "node", parts: &["endpoint", "test"] },
    Records { parent: "VulnerabilityDefinitions", name: "vulnerability", parts: &[] },
];
/// One node without its tests, one service with its tests, or one definition.
const RECORD_LIMIT: usize = 16 * 1024 * 1024;
/// The root element.
pub const ROOT: &str = "NexposeReport";

/// Reads the document piece by piece. Memory holds the findings until their severities have come.
pub struct Document {
    splitter: XmlSplitter,
    instances: Vec<Instance>,
    findings: Vec<(String, Finding)>,
    rules: HashMap<RuleId, (Rule, String)>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            splitter: XmlSplitter::new(RECORDS, RECORD_LIMIT),
            instances: Vec::new(),
            findings: Vec::new(),
            rules: HashMap::new(),
        }
    }
}

impl Document {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], emit: &mut dyn FnMut(Normalized)) -> Result<(), SplitError> {
        self.splitter.feed(bytes)?;
        if let Some(root) = self.splitter.root().filter(|root| *root != ROOT) {
            let seen =
                if root.eq_ignore_ascii_case("html") { "an HTML page".into() } else { format!("<{root}>") };
            return Err(SplitError { offset: 0, problem: format!("the document is {seen}, not <{ROOT}>") });
        }
        while let Some(cut) = self.splitter.next_cut() {
            self.cut(cut, emit);
        }
        Ok(())
    }

    fn cut(&mut self, cut: Cut, emit: &mut dyn FnMut(Normalized)) {
        let (offset, outcome) = match cut {
            Cut::BadPart(bad) => return emit(Normalized::Refused(bad)),
            Cut::BadRecord(bad) => {
                self.instances.clear();
                return emit(Normalized::Refused(bad));
            }
            Cut::Part { piece, .. } => {
                (piece.offset, tests(&piece.bytes).map(|tests| self.instances.extend(tests)))
            }
            Cut::Record { name: "node", piece } => {
                let instances = std::mem::take(&mut self.instances);
                let outcome = node(&piece.bytes).map(|host| {
                    let seen = |instance| Instance { last_found: host.last_scanned_at, ..instance };
                    let findings = state::findings(instances.into_iter().map(seen));
                    self.findings.extend(findings.into_iter().map(|finding| (host.native.clone(), finding)));
                    emit(Normalized::Host(host));
                });
                (piece.offset, outcome)
            }
            Cut::Record { piece, .. } => {
                let outcome = definition(&piece.bytes).map(|(rule, raw)| {
                    emit(Normalized::Rule(rule.clone()));
                    self.rules.insert(rule.id.clone(), (rule, raw));
                });
                (piece.offset, outcome)
            }
        };
        if let Err(problem) = outcome {
            emit(Normalized::Refused(BadRecord { offset, problem }));
        }
    }

    /// Says that there is no more, and tells the findings with what the definitions add.
    pub fn finish(mut self, emit: &mut dyn FnMut(Normalized)) -> Result<(), SplitError> {
        self.splitter.finish()?;
        for (host, mut finding) in self.findings {
            let (mut title, mut cves, mut solution) = (None, Vec::new(), None);
            if let Some((rule, raw)) = self.rules.get(&finding.rule) {
                finding.severity = rule.severity.unwrap_or(Severity::Medium);
                finding.source_severity.clone_from(raw);
                title = Some(rule.title.clone());
                cves.clone_from(&rule.cves);
                solution.clone_from(&rule.solution);
            }
            emit(Normalized::Finding { host, finding, title, cves, solution });
        }
        Ok(())
    }
}

/// The tests of a part: one `test`, or an `endpoint` with those of its services.
fn tests(part: &[u8]) -> Result<Vec<Instance>, String> {
    let text = clean(part);
    let (mut tests, mut port, mut protocol) = (Vec::new(), None, None);
    walk(&text, |path, element| {
        let attribute = |name: &str| element.attribute(name).filter(|value| !value.is_empty());
        // The outermost element is the last to end.
        if path.is_empty() {
            port = attribute("port").and_then(|port| port.parse().ok());
            protocol = attribute("protocol").map(str::to_ascii_lowercase);
        }
        if path.rsplit('/').next() == Some("test") || (path.is_empty() && attribute("port").is_none()) {
            tests.push(Instance {
                vulnerability: attribute("id").unwrap_or_default().to_ascii_lowercase(),
                status: attribute("status").unwrap_or_default().to_owned(),
                key: attribute("key").map(str::to_owned),
                first_found: attribute("vulnerable-since").and_then(time),
                ..Instance::default()
            });
        }
    })?;
    let bodies = bodies(&text);
    for (at, test) in tests.iter_mut().enumerate() {
        test.port = state::port(port);
        test.protocol.clone_from(&protocol);
        test.evidence = bodies.get(at).map(|body| plain(body)).filter(|body| !body.is_empty());
    }
    if tests.iter().any(|test| test.vulnerability.is_empty()) {
        return Err("a test has no id".into());
    }
    Ok(tests)
}

/// What stands between the tags of each `test`, in the order in which they end.
fn bodies(text: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("<test") {
        let after = &rest[at + 5..];
        if !after.starts_with([' ', '\t', '\n', '\r', '>', '/']) {
            rest = after;
            continue;
        }
        let Some(end) = after.find('>') else { break };
        let empty = after[..end].ends_with('/');
        let inside = &after[end + 1..];
        let length = if empty { 0 } else { inside.find("</test>").unwrap_or(inside.len()) };
        bodies.push(markup(&inside[..length]));
        rest = &inside[length..];
    }
    bodies
}

/// Nexpose's own markup as HTML, which is what we read texts from.
fn markup(text: &str) -> String {
    [
        ("<Paragraph", "<p"),
        ("</Paragraph>", "</p>"),
        ("<UnorderedList", "<ul"),
        ("</UnorderedList>", "</ul>"),
        ("<OrderedList", "<ol"),
        ("</OrderedList>", "</ol>"),
        ("<ListItem", "<li"),
        ("</ListItem>", "</li>"),
        ("<URLLink", "<a"),
        ("</URLLink>", "</a>"),
        ("LinkURL=", "href="),
    ]
    .iter()
    .fold(text.to_owned(), |text, (ours, html)| text.replace(ours, html))
}

/// The host of a node.
fn node(bytes: &[u8]) -> Result<Host, String> {
    let text = clean(bytes);
    let mut host = Host::default();
    let (mut ips, mut macs, mut hostnames) = (Vec::new(), Vec::new(), Vec::new());
    let mut best = -1.0;
    walk(&text, |path, element| {
        let attribute = |name: &str| element.attribute(name).filter(|value| !value.is_empty());
        match path {
            "names/name" => hostnames.push(element.text.to_owned()),
            "fingerprints/os" => {
                let certainty = attribute("certainty").and_then(|text| text.parse().ok()).unwrap_or(0.0);
                let words = [attribute("vendor"), attribute("product"), attribute("version")];
                let mut words: Vec<&str> = words.into_iter().flatten().collect();
                words.dedup();
                if certainty > best && !words.is_empty() {
                    best = certainty;
                    host.os = Some(words.join(" "));
                }
            }
            "" => {
                host.native = attribute("device-id").or(attribute("address")).unwrap_or_default().to_owned();
                ips.extend(attribute("address").map(str::to_owned));
                macs.extend(attribute("hardware-address").map(hardware));
                host.last_scanned_at = attribute("scan-time").and_then(time);
            }
            _ => {}
        }
    })?;
    if host.native.is_empty() {
        return Err("a node has neither device-id nor address".into());
    }
    host.macs = names::macs(macs);
    names::sort_into(&mut host, ips, hostnames, vec![]);
    Ok(host)
}

/// `0050568B1C2A` with its colons.
fn hardware(text: &str) -> String {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        text.as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(":")
    } else {
        text.to_owned()
    }
}

/// A definition, and its severity as it is written: a score from 1 to 10.
fn definition(bytes: &[u8]) -> Result<(Rule, String), String> {
    let text = clean(bytes);
    let mut rule = Rule {
        scanner: Scanner::InsightvmConsole,
        id: RuleId::new(""),
        title: String::new(),
        cves: Vec::new(),
        severity: None,
        cvss: None,
        description: None,
        solution: None,
        patchable: None,
        modified: None,
    };
    let (mut references, mut raw, mut id) = (Vec::new(), String::new(), String::new());
    walk(&text, |path, element| {
        let attribute = |name: &str| element.attribute(name).filter(|value| !value.is_empty());
        let number = |name: &str| attribute(name).and_then(|text| text.parse::<f64>().ok());
        match path {
            "references/reference" if attribute("source").is_some_and(|s| s.eq_ignore_ascii_case("cve")) => {
                let text = element.text;
                references.push(if text.starts_with("CVE") {
                    text.to_owned()
                } else {
                    format!("CVE-{text}")
                });
            }
            "" => {
                id = attribute("id").unwrap_or_default().to_ascii_lowercase();
                rule.title = attribute("title").unwrap_or(&id).to_owned();
                raw = attribute("severity").unwrap_or_default().to_owned();
                let cvss3 = number("cvssV3Score").or(number("cvss-v3-score"));
                rule.severity = severity::severity(None, number("severity"), cvss3);
                let owned = |name: &str| attribute(name).map(str::to_owned);
                rule.cvss = severity::best_cvss(
                    (cvss3, owned("cvssV3Vector").or(owned("cvss-v3-vector"))),
                    (number("cvssScore"), owned("cvssVector")),
                );
                rule.modified = attribute("modified").or(attribute("added")).and_then(time);
            }
            _ => {}
        }
    })?;
    if id.is_empty() {
        return Err("a definition has no id".into());
    }
    rule.id = RuleId::new(id);
    rule.cves = cves(references.iter().map(String::as_str));
    rule.description = child(&text, "description");
    rule.solution = child(&text, "solution");
    Ok((rule, raw))
}

/// The text of the first element of that name.
fn child(text: &str, name: &str) -> Option<String> {
    let from = text.find(&format!("<{name}>"))? + name.len() + 2;
    let length = text[from..].find(&format!("</{name}>"))?;
    Some(plain(&markup(&text[from..from + length]))).filter(|text| !text.is_empty())
}

/// `20230809T173345998`, with or without the fraction, in UTC; or RFC 3339.
fn time(text: &str) -> Option<Timestamp> {
    let utc = |date: jiff::civil::DateTime| {
        date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    let compact = || {
        let (date, time) = text.split_once('T')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if date.len() != 8 || !(6..=9).contains(&time.len()) || !digits(date) || !digits(time) {
            return None;
        }
        let seconds = format!("{}T{}", date, &time[..6]);
        jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", seconds).ok().and_then(utc)
    };
    text.parse().ok().or_else(compact).or_else(|| text.parse().ok().and_then(utc))
}
