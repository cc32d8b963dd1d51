//! A `.nessus` file to normalised statements, for whoever has a file and no account.

use std::collections::HashSet;
use std::io::Read;

use domain::{FindingKind, Host, RuleId};
use sync::split::xml::SplitError;
use sync::{NormalizeError, Normalized, Summary, pieces};

use crate::document::{Document, Piece};
use crate::normalize::{Item, Met, Wanted};

const KNOWN: &str = "scans, compliance";
const REMEDY: &str = "export the scan again, as Nessus and not as HTML, PDF, CSV or DB";

/// Reads one file and emits what it states of `stream`: `scans` (weaknesses), `compliance` (checks of audits), or both
/// where the name is empty. Findings come before their host.
///
/// A record that cannot be read is emitted as refused; a file that is something else, or that was cut off, is an error.
/// Memory does not grow with the file.
pub fn normalize(
    stream: &str,
    reader: impl Read,
    emit: &mut dyn FnMut(Normalized),
) -> Result<Summary, NormalizeError> {
    let only = match stream {
        "" => None,
        "scans" => Some(FindingKind::Vulnerability),
        "compliance" => Some(FindingKind::Compliance),
        _ => return Err(NormalizeError::UnknownStream { stream: stream.to_owned(), known: KNOWN }),
    };
    let mut state =
        State { emit, summary: Summary::default(), rules: HashSet::new(), met: Met::default(), native: None };
    let mut document = Document::new();
    pieces(reader, |bytes| {
        document.feed(bytes);
        let wanted = |rules: &HashSet<RuleId>, rule: &RuleId| match rules.contains(rule) {
            true => Wanted::Names,
            false => Wanted::Definition,
        };
        while let Some(piece) = document.next_piece(|rule| wanted(&state.rules, rule)) {
            match piece {
                Piece::Refused(bad) => state.emit(Normalized::Refused(bad)),
                Piece::Host(host) => {
                    let native = state.native(&host.described.host.native, &host.name);
                    state.native = None;
                    state.emit(Normalized::Host(Host { native: native.clone(), ..host.described.host }));
                    if host.whole && only != Some(FindingKind::Compliance) {
                        state.emit(Normalized::Whole { host: native, scope: host.scope });
                    }
                }
                Piece::Item(item) if only.is_none_or(|kind| item.finding.kind == kind) => {
                    let own = document.host().map(|host| host.host.native.clone()).unwrap_or_default();
                    let host = state.native(&own, document.name().unwrap_or_default());
                    state.item(host, *item);
                }
                Piece::Item(_) => {}
            }
        }
        document.check().map_err(malformed)
    })?;
    document.finish().map_err(malformed)?;
    Ok(state.summary)
}

fn malformed(error: SplitError) -> NormalizeError {
    NormalizeError::Malformed { offset: error.offset, problem: error.problem, remedy: REMEDY }
}

struct State<'a> {
    emit: &'a mut dyn FnMut(Normalized),
    summary: Summary,
    rules: HashSet<RuleId>,
    /// What the hosts of this file are known by, and the one that is being read.
    met: Met,
    native: Option<String>,
}

impl State<'_> {
    fn emit(&mut self, statement: Normalized) {
        self.summary.count(&statement);
        (self.emit)(statement);
    }

    /// What the host that is being read is known by: where that is another one's too, its target beside it.
    fn native(&mut self, own: &str, name: &str) -> String {
        self.native.get_or_insert_with(|| self.met.next(own, name, false)).clone()
    }

    fn item(&mut self, host: String, item: Item) {
        let Item { finding, rule, .. } = item;
        let (mut title, mut cves, mut solution) = (None, Vec::new(), None);
        if let Some(rule) = rule {
            if self.rules.contains(&rule.id) {
                (title, cves, solution) = (Some(rule.title), rule.cves, rule.solution);
            } else {
                (title, cves, solution) =
                    (Some(rule.title.clone()), rule.cves.clone(), rule.solution.clone());
                self.rules.insert(rule.id.clone());
                self.emit(Normalized::Rule(rule));
            }
        }
        self.emit(Normalized::Finding { host, finding, title, cves, solution });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "<NessusClientData_v2><Report name='r'><ReportHost name='10.0.0.1'><HostProperties>\
        <tag name='host-ip'>10.0.0.1</tag></HostProperties><ReportItem port='80' protocol='tcp' severity='2' pluginID='1' \
        pluginName='One'><cve>CVE-2024-0001</cve></ReportItem><ReportItem port='81' protocol='tcp' severity='2' pluginID='1' \
        pluginName='One'/><ReportItem pluginID='2' severity='3'><compliance>true</compliance><cm:compliance-check-name>c\
        </cm:compliance-check-name></ReportItem><ReportItem pluginID=''/></ReportHost></Report></NessusClientData_v2>";

    fn read(stream: &str, file: &str) -> (Vec<Normalized>, Result<Summary, String>) {
        let mut statements = Vec::new();
        let end = normalize(stream, file.as_bytes(), &mut |statement| statements.push(statement));
        (statements, end.map_err(|error| error.to_string()))
    }

    #[test]
    fn statements_name_their_host_and_rules_come_once() {
        let (statements, end) = read("", FILE);
        assert_eq!(end, Ok(Summary { hosts: 1, findings: 3, rules: 2, refused: 1 }));
        let Normalized::Finding { host, title, cves, .. } = &statements[1] else { panic!("{statements:?}") };
        assert_eq!((host.as_str(), title.as_deref(), cves.len()), ("10.0.0.1", Some("One"), 1));
        let Normalized::Finding { cves, .. } = &statements[2] else { panic!("{statements:?}") };
        assert!(cves.is_empty(), "nothing leaks from the finding before");
    }

    #[test]
    fn a_stream_is_a_kind_of_finding() {
        assert_eq!(read("scans", FILE).1.unwrap().findings, 2);
        assert_eq!(read("compliance", FILE).1.unwrap().findings, 1);
        assert!(read("assets", FILE).1.unwrap_err().contains("scans, compliance"));
    }

    #[test]
    fn all_was_told_of_a_host_that_was_scanned_to_its_end_and_read_whole() {
        let host = |properties: &str, items: &str| {
            format!(
                "<ReportHost name='10.0.0.1'><HostProperties><tag name='HOST_START_TIMESTAMP'>1795000000</tag>{properties}\
                 </HostProperties>{items}</ReportHost>"
            )
        };
        let file = |hosts: &str| {
            format!("<NessusClientData_v2><Report name='r'>{hosts}</Report></NessusClientData_v2>")
        };
        let whole = |stream: &str, hosts: &str| -> Vec<String> {
            let (statements, _) = read(stream, &file(hosts));
            let told = statements.into_iter().filter_map(|statement| match statement {
                Normalized::Whole { host, scope } => Some(host).filter(|_| scope.is_none()),
                _ => None,
            });
            told.collect()
        };
        let policy = "<Policy><Preferences><ServerPreferences><preference><name>plugin_set</name><value>7;</value></preference>\
            </ServerPreferences></Preferences></Policy>";
        let (statements, _) =
            read("", &file(&host(END, ITEM)).replacen("<Report", &format!("{policy}<Report"), 1));
        let Some(Normalized::Whole { scope: Some(scope), .. }) = statements.last() else {
            panic!("{statements:?}")
        };
        assert!(scope.has_rule(&RuleId::new("7")) && !scope.has_rule(&RuleId::new("1")));
        const END: &str = "<tag name='HOST_END_TIMESTAMP'>1795000100</tag>";
        const ITEM: &str =
            "<ReportItem port='80' protocol='tcp' severity='2' pluginID='1' pluginName='One'/>";
        const BAD: &str = "<ReportItem pluginID=''/>";
        assert_eq!(whole("", &host(END, ITEM)), ["10.0.0.1"]);
        assert_eq!(whole("scans", &host(END, "")), ["10.0.0.1"], "nothing was found");
        assert!(whole("", &host("", ITEM)).is_empty(), "the scan goes on");
        assert!(whole("compliance", &host(END, ITEM)).is_empty(), "weaknesses are passed over");
        for items in [[BAD, ITEM], [ITEM, BAD]] {
            let before = host(END, ITEM);
            let after = host(END, &items.concat()).replace("10.0.0.1", "10.0.0.2");
            assert_eq!(whole("", &(before + &after)), ["10.0.0.1"], "the bad item is the second host's");
        }
    }

    #[test]
    fn other_files_are_errors_with_place_and_remedy() {
        let problem = |file: &str| read("", file).1.unwrap_err();
        assert!(problem("Plugin ID,CVE\n").contains("as Nessus and not as"));
        assert!(problem(&FILE[..FILE.len() - 30]).contains("cut off"));
        assert!(problem("").contains("at byte 0: the body is empty"));
    }
}
