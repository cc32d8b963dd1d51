//! A `.nessus` file (version 2), read piece by piece while it arrives.
//!
//! ```text
//! NessusClientData_v2 / Policy                      passed over but for its plugins and ports; often most of the file
//!                     / Report / ReportHost         one host: name
//!                                / HostProperties   who it is
//!                                / ReportItem       what was found, many
//! ```

use std::sync::Arc;

use domain::RuleId;
use sync::split::xml::{Cut, Records, SplitError, XmlSplitter};
use sync::xml::Xml;
use sync::{BadRecord, Ports, Scope};

use crate::normalize::{Described, Item, Preference, Wanted, item, preference, properties};

/// One report item; outputs are a few kilobytes in practice, and some megabytes at the worst.
const RECORD_LIMIT: usize = 8 * 1024 * 1024;
const ROOT: &str = "NessusClientData_v2";
const HOST: &str = "ReportHost";
const PROPERTIES: &str = "HostProperties";
const ITEM: &str = "ReportItem";
const PREFERENCE: &str = "preference";

const RECORDS: &[Records] = &[
    Records { parent: "Report", name: HOST, parts: &[HOST, PROPERTIES, ITEM] },
    Records { parent: "ServerPreferences", name: PREFERENCE, parts: &[] },
];
/// Parts of the policy that nobody reads.
const IGNORED: &[&str] =
    &["policyComments", "PluginsPreferences", "FamilySelection", "IndividualPluginSelection"];

/// Something that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// A finding on the host that is being read.
    Item(Box<Item>),
    /// A host came to its end.
    Host(Box<ReportHost>),
    /// A record that could not be read.
    Refused(BadRecord),
}

/// A host whose findings have all come.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportHost {
    /// Who it is, and how it was scanned.
    pub described: Described,
    /// The name of the target.
    pub name: String,
    /// Nothing of it was refused, it answered, and its scan came to an end: what is not here was not found.
    pub whole: bool,
    /// What its scan looked for, where the file says.
    pub scope: Option<Arc<Scope>>,
}

/// Reads a file incrementally. Memory is bounded by one record.
pub struct Document {
    splitter: XmlSplitter,
    open: Option<Open>,
    /// What is wrong with the host that was told last.
    refused: Option<BadRecord>,
    /// What the policy looks for, where the file says. Preferences stand before the hosts.
    scope: Option<Arc<Scope>>,
    plugins: Vec<u32>,
    ports: Option<Ports>,
}

/// The host that is being read.
struct Open {
    name: String,
    described: Option<Described>,
    credentialed: Option<bool>,
    whole: bool,
    dead: bool,
}

const NAMELESS: &str = "a host without name, address or id: nothing can be kept under it";

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// A file of which nothing was read yet.
    pub fn new() -> Self {
        let splitter = XmlSplitter::new(RECORDS, RECORD_LIMIT).ignoring(IGNORED);
        Self { splitter, open: None, refused: None, scope: None, plugins: Vec::new(), ports: None }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.splitter.feed(bytes);
    }

    /// The error that makes reading on useless, as soon as it is known: also that the file is something else.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), SplitError> {
        match self.splitter.root() {
            Some(root) if root != ROOT => {
                let seen = if root.eq_ignore_ascii_case("html") {
                    "an HTML page".into()
                } else {
                    format!("<{root}>")
                };
                let seen = if root == "NessusClientData" { format!("{seen} of version 1") } else { seen };
                Err(SplitError { offset: 0, problem: format!("{seen} where <{ROOT}> is expected") })
            }
            _ => self.splitter.error().map_or(Ok(()), |error| Err(error.clone())),
        }
    }

    /// What the host that is being read is known by, and who it is. Known before its findings.
    pub fn host(&mut self) -> Option<&Described> {
        let open = self.open.as_mut()?;
        let name = &open.name;
        Some(open.described.get_or_insert_with(|| nobody(name)))
    }

    /// The name of the target that is being read.
    pub fn name(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.name.as_str())
    }

    /// The next thing that was read. `wanted` says what is put together of a rule.
    pub fn next_piece(&mut self, wanted: impl Fn(&RuleId) -> Wanted) -> Option<Piece> {
        // Nothing of what another document holds is told.
        if self.splitter.root() != Some(ROOT) {
            return None;
        }
        if let Some(bad) = self.refused.take() {
            return Some(Piece::Refused(bad));
        }
        loop {
            let host = self.open.as_ref().map_or("", |open| open.name.as_str());
            let cut = self.splitter.next_cut(|name, xml| read(name, xml, host, &wanted))?;
            let Cut { is_part, offset, read } = cut;
            let outcome = match read {
                Ok(Read::Begun(name)) if is_part => {
                    self.begin(name);
                    continue;
                }
                Ok(Read::Begun(_)) => match self.end(offset) {
                    Some(host) => return Some(host),
                    None => continue,
                },
                Ok(Read::Preference(preference)) => {
                    self.preference(preference);
                    continue;
                }
                Ok(Read::Properties(described)) => self.properties(*described).map(|()| None),
                Ok(Read::Item(item)) => self.item(item).map(Some),
                // A host that is not closed, or with too much in it: nothing more of it is told. Or a long preference.
                Err(problem) if !is_part => {
                    let Some(open) = &mut self.open else { continue };
                    open.whole = false;
                    let bad = BadRecord { offset, problem };
                    return Some(match self.end(offset) {
                        Some(host @ Piece::Host(_)) => {
                            self.refused = Some(bad);
                            host
                        }
                        _ => Piece::Refused(bad),
                    });
                }
                Err(problem) => Err(problem),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(item)) => return Some(Piece::Item(item)),
                Err(problem) => return Some(self.refuse(BadRecord { offset, problem })),
            }
        }
    }

    /// Says that there is no more. A file that was cut off is an error.
    pub fn finish(&mut self) -> Result<(), SplitError> {
        self.splitter.finish().map(|_| ())
    }

    fn begin(&mut self, name: String) {
        self.open = Some(Open { name, described: None, credentialed: None, whole: true, dead: false });
    }

    fn refuse(&mut self, bad: BadRecord) -> Piece {
        if let Some(open) = &mut self.open {
            open.whole = false;
        }
        Piece::Refused(bad)
    }

    fn properties(&mut self, mut described: Described) -> Result<(), String> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.described.is_some() {
            return Err("the properties of a host stand behind its findings".to_owned());
        }
        if let Some(scope) = self.scope() {
            described.host.checks = u32::try_from(scope.rules()).ok().filter(|count| *count > 0);
            described.host.port_range = scope.port_range();
        }
        if let Some(open) = &mut self.open {
            open.described = Some(described);
        }
        Ok(())
    }

    fn item(&mut self, mut item: Box<Item>) -> Result<Box<Item>, String> {
        if self.host().is_none_or(|described| described.host.native.is_empty()) {
            return Err(NAMELESS.to_owned());
        }
        let started_at = self.host().and_then(|described| described.started_at);
        let seen_at = self.host().and_then(|described| described.host.last_scanned_at);
        if let Some(open) = &mut self.open {
            open.credentialed = item.credentialed.or(open.credentialed);
            open.dead |= item.dead;
        }
        item.finding.first_found = started_at.or(seen_at);
        item.finding.last_found = seen_at;
        Ok(item)
    }

    fn preference(&mut self, preference: Option<Preference>) {
        match preference {
            Some(Preference::Plugins(plugins)) => self.plugins = plugins,
            Some(Preference::Ports(ports)) => self.ports = Some(ports),
            None => {}
        }
    }

    /// What the policy looks for, put together at the first host.
    fn scope(&mut self) -> Option<Arc<Scope>> {
        if self.scope.is_none() {
            let scope = Scope::new(std::mem::take(&mut self.plugins), self.ports.take());
            self.scope = (!scope.is_untold()).then(|| Arc::new(scope));
        }
        self.scope.clone()
    }

    fn end(&mut self, offset: u64) -> Option<Piece> {
        let open = self.open.take()?;
        let Open { name, described, credentialed, whole, dead } = open;
        let mut described = described.unwrap_or_else(|| nobody(&name));
        if described.host.native.is_empty() {
            return Some(Piece::Refused(BadRecord { offset, problem: NAMELESS.to_owned() }));
        }
        described.host.credentialed = described.host.credentialed.or(credentialed);
        let scope = self.scope();
        let whole = whole && described.ended && !dead;
        Some(Piece::Host(Box::new(ReportHost { described, name, whole, scope })))
    }
}

/// What was read of a part or a record.
enum Read {
    /// The name of a host, at its begin and at its end.
    Begun(String),
    Properties(Box<Described>),
    Item(Box<Item>),
    Preference(Option<Preference>),
}

/// `host`: the name of the host that is being read.
fn read(
    name: &'static str,
    xml: &Xml<'_>,
    host: &str,
    wanted: impl Fn(&RuleId) -> Wanted,
) -> Result<Read, String> {
    Ok(match name {
        HOST => {
            let mut name = String::new();
            xml.outer_attributes(|key, value| {
                if key == "name" {
                    name = value.into_owned();
                }
            });
            Read::Begun(name)
        }
        PROPERTIES => Read::Properties(Box::new(properties(host, xml)?)),
        PREFERENCE => Read::Preference(preference(xml)),
        _ => Read::Item(Box::new(item(xml, wanted)?)),
    })
}

/// A host of which only the name is known.
fn nobody(name: &str) -> Described {
    properties(name, &Xml::alone("<HostProperties/>")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(hosts: &str) -> String {
        format!(
            "<?xml version=\"1.0\" ?>\n<NessusClientData_v2>\n<Policy><policyName>p</policyName><policyComments>1 < 2 \
            </policyComments><Preferences><ServerPreferences><preference><name>max_hosts</name><value>5</value></preference>\
            <preference><name>plugin_set</name>\n<value>1;22;333;</value>\n</preference>\
            <preference><name>port_range</name><value>default</value></preference></ServerPreferences>\
            <PluginsPreferences><item><fullName>a<b>;c</fullName></item></PluginsPreferences></Preferences>\
            <FamilySelection><FamilyItem/></FamilySelection></Policy>\n<Report name=\"r\" xmlns:cm=\"http://x\">{hosts}\
            </Report></NessusClientData_v2>\n"
        )
    }

    fn host(name: &str, items: &str) -> String {
        format!(
            "<ReportHost name=\"{name}\"><HostProperties><tag name=\"HOST_END\">Mon Jan 01 10:07:33 2024</tag>\
            <tag name=\"HOST_START_TIMESTAMP\">1704103200</tag></HostProperties>{items}</ReportHost>"
        )
    }

    #[test]
    fn a_host_that_nothing_is_known_by_is_refused_with_its_findings() {
        assert_eq!(whole(&file(&format!("{}{}", host(" ", ONE), host("a", ONE)))), "! ! 1 a+");
    }

    const ONE: &str = "<ReportItem port='0' protocol='tcp' severity='2' pluginID='1'/>";

    /// Hosts as `name+` (whole) or `name-`, items by their plugin, refused records as `!`.
    fn read(document: &str, chunk: usize) -> (String, Result<(), SplitError>) {
        let mut reader = Document::new();
        let mut seen = String::new();
        for bytes in document.as_bytes().chunks(chunk) {
            reader.feed(bytes);
            while let Some(piece) = reader.next_piece(|_| Wanted::Nothing) {
                seen.push_str(&match piece {
                    Piece::Item(item) => format!("{} ", item.finding.rule),
                    Piece::Host(host) => format!("{}{} ", host.name, if host.whole { '+' } else { '-' }),
                    Piece::Refused(_) => "! ".into(),
                });
            }
            if let Err(error) = reader.check() {
                return (seen.trim_end().to_owned(), Err(error));
            }
        }
        (seen.trim_end().to_owned(), reader.finish())
    }

    fn whole(document: &str) -> String {
        let (seen, end) = read(document, 7);
        assert_eq!(end, Ok(()));
        assert_eq!(read(document, 1 << 20).0, seen, "whatever the pieces it comes in");
        seen
    }

    #[test]
    fn none_one_and_many_hosts() {
        assert_eq!(whole(&file("")), "");
        assert_eq!(whole("<NessusClientData_v2><Report name='r'/></NessusClientData_v2>"), "");
        assert_eq!(whole("<NessusClientData_v2/>"), "");
        assert_eq!(whole(&file(&host("a", ONE))), "1 a+");
        let many = host("a", "") + &host("b", &ONE.repeat(3)) + &host("c", ONE);
        assert_eq!(whole(&file(&many)), "a+ 1 1 1 b+ 1 c+");
    }

    #[test]
    fn one_bad_item_fails_alone_and_its_host_is_not_whole() {
        let bad = "<ReportItem pluginID='x'/><ReportItem pluginID='2'><a></ReportItem>";
        assert_eq!(whole(&file(&(host("a", &format!("{bad}{ONE}")) + &host("b", ONE)))), "! ! 1 a- 1 b+");
        let document = file(&host("a", bad));
        let mut reader = Document::new();
        reader.feed(document.as_bytes());
        let Some(Piece::Refused(bad)) = reader.next_piece(|_| Wanted::Nothing) else { panic!() };
        assert_eq!(bad.offset as usize, document.find("<ReportItem").unwrap());
    }

    #[test]
    fn a_host_that_is_not_closed_ends_and_leaves_nothing_to_the_next() {
        let unclosed = host("a", ONE).replace("</ReportHost>", "");
        let report = |host: &str| format!("<Report name='r'>{host}</Report>");
        let hosts = report(&unclosed) + &report(&host("b", ONE));
        let document = format!("<NessusClientData_v2>{hosts}</NessusClientData_v2>");
        assert_eq!(whole(&document), "1 a- ! 1 b+");
    }

    #[test]
    fn a_host_that_did_not_answer_or_whose_scan_has_no_end_is_not_whole() {
        let dead = "<ReportItem port='0' severity='0' pluginID='10180'><plugin_output>The remote host is considered as \
            dead - not scanning</plugin_output></ReportItem>";
        assert_eq!(whole(&file(&host("a", dead))), "10180 a-");
        let running = format!(
            "<ReportHost name='b'><HostProperties><tag name='HOST_START'>x</tag></HostProperties>{ONE}</ReportHost>"
        );
        assert_eq!(whole(&file(&running)), "1 b-");
        assert_eq!(whole(&file("<ReportHost name='c'/>")), "c-");
    }

    #[test]
    fn what_is_known_of_the_scan_stands_at_the_host() {
        let information = "<ReportItem port='0' severity='0' pluginID='19506'><plugin_output>Credentialed checks : yes\
            </plugin_output></ReportItem>";
        let mut reader = Document::new();
        reader.feed(file(&host("a", &format!("{ONE}{information}"))).as_bytes());
        let Some(Piece::Item(item)) = reader.next_piece(|_| Wanted::Nothing) else { panic!() };
        assert_eq!(item.finding.first_found, Some("2024-01-01T10:00:00Z".parse().unwrap()));
        assert_eq!(item.finding.last_found, Some("2024-01-01T10:07:33Z".parse().unwrap()));
        assert_eq!(reader.host().unwrap().host.native, "a");
        reader.next_piece(|_| Wanted::Nothing).unwrap();
        let Some(Piece::Host(host)) = reader.next_piece(|_| Wanted::Nothing) else { panic!() };
        assert_eq!((host.described.host.credentialed, host.described.host.checks), (Some(true), Some(3)));
        let expected = Scope::new(vec![1, 22, 333], Ports::parse("default"));
        assert_eq!(host.described.host.port_range, expected.port_range());
        assert_eq!(host.scope.as_deref(), Some(&expected));
    }

    #[test]
    fn other_files_and_cut_off_ones_are_errors() {
        let problem = |document: &str| read(document, 64).1.unwrap_err().problem;
        assert!(problem("<!DOCTYPE html><html><body>Sign in<br></html>").contains("an HTML page"));
        assert!(problem("<NessusClientData><Report/></NessusClientData>").contains("version 1"));
        assert_eq!(problem(""), "the body is empty");
        assert!(problem("{\"error\":\"x\"}").contains("text stands before"));
        let document = file(&host("a", ONE));
        for end in 0..document.trim_end().len() {
            if document.is_char_boundary(end) {
                assert!(read(&document[..end], 64).1.is_err(), "{end}");
            }
        }
    }

    #[test]
    fn entities_of_a_document_type_are_not_resolved() {
        let document = format!(
            "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]>{}",
            file(&host("a", "<ReportItem port='0' severity='1' pluginID='1'><plugin_output>&a;&f;</plugin_output></ReportItem>"))
                .trim_start_matches("<?xml version=\"1.0\" ?>")
        );
        let mut reader = Document::new();
        reader.feed(document.as_bytes());
        let Some(Piece::Item(item)) = reader.next_piece(|_| Wanted::Nothing) else { panic!() };
        assert_eq!(item.finding.evidence.as_deref(), Some("&a;&f;"));
    }
}
