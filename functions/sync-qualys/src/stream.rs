//! Qualys bytes to normalised statements, for whoever has a file and no account.

use std::collections::HashMap;
use std::io::Read;

use domain::{Finding, RuleId, Severity};
use sync::split::xml::SplitError;
use sync::{NormalizeError, Normalized, Summary, pieces};

use crate::document::{Document, HostItem, Item, Kind};
use crate::global_assets;
use crate::normalize::{Control, Posture};

const KNOWN: &str =
    "host_detections, asset_inventory, knowledge_base, compliance_posture, tags, global_assets";
const REMEDY: &str = "fetch the document again, and give it as Qualys sent it";

/// Reads one document of `stream` (any kind, if the name is empty) and emits what it states, record by record.
///
/// A record that cannot be read is emitted as refused; a document that is something else, or that was cut off, is an
/// error. Memory does not grow with the document, save for a saved scan report, whose severities stand at its end.
pub fn normalize(
    stream: &str,
    reader: impl Read,
    emit: &mut dyn FnMut(Normalized),
) -> Result<Summary, NormalizeError> {
    let kinds: &[Kind] = match stream {
        "" => &Kind::ALL,
        "host_detections" => &[Kind::Detections, Kind::Report],
        "asset_inventory" => &[Kind::HostList, Kind::AssetSearch],
        "knowledge_base" => &[Kind::KnowledgeBase],
        "compliance_posture" => &[Kind::Posture],
        "tags" => &[Kind::AssetGroups, Kind::AssetSearch],
        // A page of the gateway, which answers in JSON.
        "global_assets" => return global_assets::normalize(reader, emit),
        _ => return Err(NormalizeError::UnknownStream { stream: stream.to_owned(), known: KNOWN }),
    };
    let mut state = State {
        emit,
        summary: Summary::default(),
        report: Report::default(),
        posture: Compliance::default(),
    };
    let mut document = Document::new();
    pieces(reader, |bytes| {
        document.feed(bytes);
        check_root(&document, kinds)?;
        while let Some(item) = document.next_item() {
            state.item(item, document.kind());
        }
        document.error().cloned().map(malformed).map_or(Ok(()), Err)
    })?;
    let around = document.finish().map_err(malformed)?;
    if let Some(words) = around.simple {
        let problem = format!("Qualys answered with {words}");
        return Err(NormalizeError::Malformed { offset: 0, problem, remedy: "ask Qualys again" });
    }
    Ok(state.finish())
}

fn check_root(document: &Document, kinds: &[Kind]) -> Result<(), NormalizeError> {
    let Some(root) = document.root() else { return Ok(()) };
    if root == "SIMPLE_RETURN" || document.kind().is_some_and(|kind| kinds.contains(&kind)) {
        return Ok(());
    }
    let expected: Vec<_> = kinds.iter().map(|kind| format!("<{}>", kind.root())).collect();
    let seen =
        if root.eq_ignore_ascii_case("html") { "an HTML page".to_owned() } else { format!("<{root}>") };
    Err(NormalizeError::Malformed {
        offset: 0,
        problem: format!("the document is {seen}, not {}", expected.join(" or ")),
        remedy: REMEDY,
    })
}

fn malformed(error: SplitError) -> NormalizeError {
    NormalizeError::Malformed { offset: error.offset, problem: error.problem, remedy: REMEDY }
}

struct State<'a> {
    emit: &'a mut dyn FnMut(Normalized),
    summary: Summary,
    report: Report,
    posture: Compliance,
}

/// A page of a posture says behind its records what the controls are.
#[derive(Default)]
struct Compliance {
    postures: Vec<Posture>,
    controls: HashMap<String, Control>,
}

/// A scan report keeps severities, titles and solutions in a glossary after the findings.
#[derive(Default)]
struct Report {
    findings: Vec<(String, Finding)>,
    rules: HashMap<RuleId, (domain::Rule, Severity, String)>,
}

impl State<'_> {
    fn emit(&mut self, statement: Normalized) {
        self.summary.count(&statement);
        (self.emit)(statement);
    }

    fn item(&mut self, item: Item, kind: Option<Kind>) {
        match item {
            Item::Refused(bad) => self.emit(Normalized::Refused(bad)),
            Item::Ids(ids) => {
                for id in ids {
                    self.emit(Normalized::Host(domain::Host {
                        native: id.to_string(),
                        ..Default::default()
                    }));
                }
            }
            Item::Posture(posture) => self.posture.postures.push(*posture),
            Item::Control(control) => {
                self.emit(Normalized::Rule(control.rule()));
                self.posture.controls.insert(control.id.clone(), *control);
            }
            // Names that are nothing by themselves.
            Item::Group(_) | Item::Tag { .. } | Item::Policy(_) => {}
            Item::Host(item) => {
                let HostItem { host, findings, .. } = *item;
                let key = host.native.clone();
                self.emit(Normalized::Host(host));
                for finding in findings {
                    if kind == Some(Kind::Report) {
                        self.report.findings.push((key.clone(), finding));
                    } else {
                        let host = key.clone();
                        self.emit(Normalized::Finding {
                            host,
                            finding,
                            title: None,
                            cves: Vec::new(),
                            solution: None,
                        });
                    }
                }
            }
            Item::Rule(rule, raw) => {
                if let (Some(raw), Some(severity)) = (raw, rule.severity) {
                    self.report.rules.insert(rule.id.clone(), ((*rule).clone(), severity, raw));
                }
                self.emit(Normalized::Rule(*rule));
            }
        }
    }

    fn finish(mut self) -> Summary {
        let Compliance { postures, controls } = std::mem::take(&mut self.posture);
        for posture in postures {
            let (host, control) = (posture.host.clone(), controls.get(&posture.control));
            // The document names its policy only in the question that it answers; an exception counts until it is over.
            if let Some(finding) = posture.finding(0, control, jiff::Timestamp::UNIX_EPOCH) {
                let title = control.map(|control| control.rule().title);
                self.emit(Normalized::Finding { host, finding, title, cves: Vec::new(), solution: None });
            }
        }
        let Report { findings, rules } = std::mem::take(&mut self.report);
        for (host, mut finding) in findings {
            let (mut title, mut cves, mut solution) = (None, Vec::new(), None);
            if let Some((rule, severity, raw)) = rules.get(&finding.rule) {
                finding.severity = *severity;
                finding.source_severity.clone_from(raw);
                title = Some(rule.title.clone());
                cves.clone_from(&rule.cves);
                solution.clone_from(&rule.solution);
            }
            self.emit(Normalized::Finding { host, finding, title, cves, solution });
        }
        self.summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &str, document: &str) -> (Vec<Normalized>, Result<Summary, String>) {
        let mut statements = Vec::new();
        let end = normalize(stream, document.as_bytes(), &mut |statement| statements.push(statement));
        (statements, end.map_err(|error| error.to_string()))
    }

    const HOSTS: &str = "<HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><HOST_LIST><HOST><ID>1</ID><DETECTION_LIST>\
        <DETECTION><QID>5</QID></DETECTION><DETECTION><QID>six</QID></DETECTION></DETECTION_LIST></HOST></HOST_LIST>\
        </RESPONSE></HOST_LIST_VM_DETECTION_OUTPUT>";

    #[test]
    fn statements_come_with_their_host_and_are_counted() {
        let (statements, end) = read("host_detections", HOSTS);
        assert_eq!(end, Ok(Summary { hosts: 1, findings: 1, rules: 0, refused: 1 }));
        assert!(
            matches!(&statements[2], Normalized::Finding { host, finding, .. } if host == "1" && finding.rule.as_str() == "5")
        );
        assert_eq!(read("", HOSTS).1, end, "the root tells the kind");
    }

    #[test]
    fn other_documents_are_errors_with_place_and_remedy() {
        let problem = |stream: &str, document: &str| read(stream, document).1.unwrap_err();
        let other = problem("knowledge_base", HOSTS);
        assert!(other.contains("KNOWLEDGE_BASE_VULN_LIST_OUTPUT") && other.contains("fetch"), "{other}");
        assert!(problem("", "<!DOCTYPE html><html><body>Maintenance<br></html>").contains("an HTML page"));
        assert!(problem("", &HOSTS[..HOSTS.len() - 9]).contains("cut off"));
        assert!(problem("", "").contains("empty"));
        assert!(problem("", "{}").contains("at byte 0"));
        let words =
            "<SIMPLE_RETURN><RESPONSE><CODE>2001</CODE><TEXT>Expired</TEXT></RESPONSE></SIMPLE_RETURN>";
        assert!(problem("", words).contains("code 2001: Expired"));
        assert!(problem("sites", "").contains("host_detections"));
    }

    #[test]
    fn a_saved_report_gets_its_severities_from_the_glossary() {
        let report = "<ASSET_DATA_REPORT><HOST_LIST><HOST><IP>10.0.0.1</IP><VULN_INFO_LIST><VULN_INFO><QID id='q'>5</QID>\
            <TYPE>Vuln</TYPE><VULN_STATUS>New</VULN_STATUS></VULN_INFO></VULN_INFO_LIST></HOST></HOST_LIST><GLOSSARY>\
            <VULN_DETAILS_LIST><VULN_DETAILS><QID>5</QID><TITLE>T</TITLE><SEVERITY>4</SEVERITY></VULN_DETAILS>\
            </VULN_DETAILS_LIST></GLOSSARY></ASSET_DATA_REPORT>";
        let (statements, end) = read("host_detections", report);
        assert_eq!(end, Ok(Summary { hosts: 1, findings: 1, rules: 1, refused: 0 }));
        let Some(Normalized::Finding { host, finding, title, .. }) = statements.last() else {
            panic!("{statements:?}")
        };
        assert_eq!((host.as_str(), title.as_deref()), ("10.0.0.1", Some("T")));
        assert_eq!((finding.severity, finding.source_severity.as_str()), (Severity::High, "4"));
    }
}
