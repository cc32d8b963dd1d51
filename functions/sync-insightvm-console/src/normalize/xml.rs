//! Nexpose XML 2.0 (`xml-export-v2`, root `NexposeReport`), as people save it and other tools read it.
//!
//! ```text
//! NexposeReport/nodes/node[@device-id,@address]/{names/name, fingerprints/os, tests/test,
//!                                                endpoints/endpoint[@port,@protocol]/services/service/tests/test}
//! NexposeReport/VulnerabilityDefinitions/vulnerability[@id,@severity,@cvssScore]
//! ```
//!
//! The definitions, and with them the severities, stand behind everything that refers to them.

use std::borrow::Cow;

use domain::{Host, Rule, RuleId, Scanner};
use jiff::Timestamp;
use jiff::tz::Offset;
use sync::lenient::moment;
use sync::split::xml::{Cut, Records, SplitError, XmlSplitter};
use sync::text::plain;
use sync::xml::Xml;
use sync::{BadRecord, Normalized, names, rapid7};

use super::json::cves;
use super::state::{self, Instance};

const RECORDS: &[Records] = &[
    Records { parent: "nodes", name: "node", parts: &["endpoint", "test"] },
    Records { parent: "VulnerabilityDefinitions", name: "vulnerability", parts: &[] },
];
/// One node without its tests, one service with its tests, or one definition.
const RECORD_LIMIT: usize = 16 * 1024 * 1024;
/// The root element.
pub const ROOT: &str = "NexposeReport";

/// Reads the document piece by piece. A finding is told before its definition, which has the severity: as by the API, that
/// of the definition counts.
pub struct Document {
    splitter: XmlSplitter,
    /// Those of the node that is being read.
    instances: Vec<Instance>,
}

impl Default for Document {
    fn default() -> Self {
        Self { splitter: XmlSplitter::new(RECORDS, RECORD_LIMIT), instances: Vec::new() }
    }
}

impl Document {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], emit: &mut dyn FnMut(Normalized)) -> Result<(), SplitError> {
        self.splitter.feed(bytes);
        if let Some(root) = self.splitter.root().filter(|root| *root != ROOT) {
            let seen =
                if root.eq_ignore_ascii_case("html") { "an HTML page".into() } else { format!("<{root}>") };
            return Err(SplitError { offset: 0, problem: format!("the document is {seen}, not <{ROOT}>") });
        }
        while let Some(Cut { is_part, offset, read }) = self.splitter.next_cut(read) {
            match read {
                Ok(Read::Tests(tests)) => self.instances.extend(tests),
                Ok(Read::Node(host)) => self.node(*host, emit),
                Ok(Read::Definition(rule)) => emit(Normalized::Rule(*rule)),
                Err(problem) => {
                    if !is_part {
                        self.instances.clear();
                    }
                    emit(Normalized::Refused(BadRecord { offset, problem }));
                }
            }
        }
        self.splitter.error().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// A node has come to its end: its findings, and itself.
    fn node(&mut self, host: Host, emit: &mut dyn FnMut(Normalized)) {
        let seen = |instance| Instance { last_found: host.last_scanned_at, ..instance };
        let findings = state::findings(std::mem::take(&mut self.instances).into_iter().map(seen));
        let native = host.native.clone();
        emit(Normalized::Host(host));
        for finding in findings {
            let host = native.clone();
            emit(Normalized::Finding { host, finding, title: None, cves: vec![], solution: None });
        }
    }

    /// Says that there is no more.
    pub fn finish(&mut self) -> Result<(), SplitError> {
        self.splitter.finish().map(|_| ())
    }
}

/// What was read of a part or a record.
enum Read {
    Tests(Vec<Instance>),
    Node(Box<Host>),
    Definition(Box<Rule>),
}

fn read(name: &'static str, xml: &Xml<'_>) -> Result<Read, String> {
    Ok(match name {
        "node" => Read::Node(Box::new(node(xml)?)),
        "vulnerability" => Read::Definition(Box::new(definition(xml)?)),
        _ => Read::Tests(tests(xml)?),
    })
}

/// The attributes of an element.
struct Attributes<'x>(Vec<(&'x str, Cow<'x, str>)>);

impl<'x> Attributes<'x> {
    /// Those of the outermost element.
    fn of(xml: &Xml<'x>) -> Self {
        let mut all = Vec::with_capacity(8);
        xml.outer_attributes(|name, value| all.push((name, value)));
        Self(all)
    }

    /// The value of an attribute that is not blank.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| &**value)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

/// The tests of a part: one `test`, or an `endpoint` with those of its services.
fn tests(part: &Xml<'_>) -> Result<Vec<Instance>, String> {
    part.walk(|_, _| ())?;
    let outer = Attributes::of(part);
    let protocol = outer.get("protocol").map(str::to_ascii_lowercase);
    let tests: Vec<Instance> = test_elements(part.text())
        .into_iter()
        .map(|(element, body)| {
            let test = Attributes::of(&Xml::alone(element));
            Instance {
                vulnerability: test.get("id").unwrap_or_default().to_ascii_lowercase(),
                status: test.get("status").unwrap_or_default().to_owned(),
                port: state::port(outer.number("port")),
                protocol: protocol.clone(),
                key: test.owned("key"),
                evidence: Some(plain(&markup(body))).filter(|body| !body.is_empty()),
                first_found: test.get("vulnerable-since").and_then(time),
                ..Instance::default()
            }
        })
        .collect();
    match tests.iter().any(|test| test.vulnerability.is_empty()) {
        true => Err("a test has no id".into()),
        false => Ok(tests),
    }
}

/// Each `test` from its start tag on, and what stands between its tags.
fn test_elements(text: &str) -> Vec<(&str, &str)> {
    let mut elements = Vec::new();
    let mut rest = text;
    while let Some(at) = find(rest, "<test") {
        let element = &rest[at..];
        rest = &element[5..];
        if !rest.starts_with([' ', '\t', '\n', '\r', '>', '/']) {
            continue;
        }
        let Some(end) = tag_end(element) else { break };
        let inside = &element[end + 1..];
        let empty = element[..end].ends_with('/');
        let length = if empty { 0 } else { find(inside, "</test>").unwrap_or(inside.len()) };
        elements.push((element, &inside[..length]));
        rest = &inside[length..];
    }
    elements
}

fn find(text: &str, what: &str) -> Option<usize> {
    memchr::memmem::find(text.as_bytes(), what.as_bytes())
}

/// Where a start tag ends: a bracket in a quoted value is none.
fn tag_end(element: &str) -> Option<usize> {
    let mut quote = None;
    element.bytes().position(|b| {
        match (quote, b) {
            (Some(open), b) if open == b => quote = None,
            (None, b'"' | b'\'') => quote = Some(b),
            (None, b'>') => return true,
            _ => {}
        }
        false
    })
}

/// Nexpose's own markup as HTML, which is what we read texts from.
fn markup(text: &str) -> String {
    const NAMES: [(&str, &str); 5] = [
        ("Paragraph", "p"),
        ("UnorderedList", "ul"),
        ("OrderedList", "ol"),
        ("ListItem", "li"),
        ("URLLink", "a"),
    ];
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        let name = at + 1 + usize::from(rest[at + 1..].starts_with('/'));
        html.push_str(&rest[..name]);
        rest = &rest[name..];
        let Some((ours, theirs)) = NAMES.iter().find(|(ours, _)| rest.starts_with(ours)) else { continue };
        html.push_str(theirs);
        rest = &rest[ours.len()..];
        if *theirs == "a" {
            let end = rest.find('>').unwrap_or(rest.len());
            html.push_str(&rest[..end].replace("LinkURL=", "href="));
            rest = &rest[end..];
        }
    }
    html.push_str(rest);
    html
}

/// The host of a node.
fn node(xml: &Xml<'_>) -> Result<Host, String> {
    let mut host = Host::default();
    let (mut ips, mut macs, mut hostnames) = (Vec::new(), Vec::new(), Vec::new());
    let mut best = -1.0;
    xml.walk(|path, element| {
        let attribute = |name: &str| element.attribute(name).filter(|value| !value.is_empty());
        match path {
            "names/name" => hostnames.push(element.text.to_owned()),
            "fingerprints/os" => {
                let certainty = attribute("certainty").and_then(|text| text.parse().ok()).unwrap_or(0.0);
                let words = [attribute("vendor"), attribute("product"), attribute("version")];
                let mut words: Vec<_> = words.into_iter().flatten().collect();
                words.dedup();
                if certainty > best && !words.is_empty() {
                    best = certainty;
                    host.os = Some(words.join(" "));
                }
            }
            _ => {}
        }
    })?;
    let outer = Attributes::of(xml);
    host.native = outer.owned("device-id").or(outer.owned("address")).unwrap_or_default();
    ips.extend(outer.owned("address"));
    macs.extend(outer.get("hardware-address").map(hardware));
    host.last_scanned_at = outer.get("scan-time").and_then(time);
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

/// A definition. Its severity is a score from 1 to 10.
fn definition(xml: &Xml<'_>) -> Result<Rule, String> {
    let mut references = Vec::new();
    xml.walk(|path, element| {
        let of_cve = || element.attribute("source").is_some_and(|source| source.eq_ignore_ascii_case("cve"));
        if path == "references/reference" && of_cve() {
            let number = element.text.trim_start_matches("CVE-");
            references.push(format!("CVE-{number}"));
        }
    })?;
    let outer = Attributes::of(xml);
    let id = outer.get("id").ok_or("a definition has no id")?.to_ascii_lowercase();
    let cvss3 = outer.number("cvssV3Score").or(outer.number("cvss-v3-score"));
    let vector3 = outer.owned("cvssV3Vector").or(outer.owned("cvss-v3-vector"));
    Ok(Rule {
        scanner: Scanner::InsightvmConsole,
        title: outer.owned("title").unwrap_or_else(|| id.clone()),
        id: RuleId::new(id),
        cves: cves(references.iter().map(String::as_str)),
        severity: rapid7::severity(None, outer.number("severity"), cvss3),
        cvss: rapid7::best_cvss((cvss3, vector3), (outer.number("cvssScore"), outer.owned("cvssVector"))),
        description: child(xml.text(), "description"),
        solution: child(xml.text(), "solution"),
        patchable: None,
        vendor_risk: None,
        exploit_available: None,
        modified: outer.get("modified").or(outer.get("added")).and_then(time),
    })
}

/// The text of the first element of that name.
fn child(text: &str, name: &str) -> Option<String> {
    let from = find(text, &format!("<{name}>"))? + name.len() + 2;
    let length = find(&text[from..], &format!("</{name}>"))?;
    Some(plain(&markup(&text[from..from + length]))).filter(|text| !text.is_empty())
}

/// `20230809T173345998`, with or without the fraction, in UTC; or RFC 3339.
fn time(text: &str) -> Option<Timestamp> {
    let compact = || {
        let (date, time) = text.split_once('T')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if date.len() != 8 || !(6..=9).contains(&time.len()) || !digits(date) || !digits(time) {
            return None;
        }
        let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
        moment(&format!("{year}-{month}-{day}T{}:{}:{}Z", &time[..2], &time[2..4], &time[4..6]))
    };
    compact().or_else(|| moment(text)).or_else(|| Offset::UTC.to_timestamp(text.parse().ok()?).ok())
}
