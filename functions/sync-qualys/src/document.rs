//! A document of the Qualys API, read piece by piece: its records, and the few words around them.

use domain::{Finding, Host, Rule};
use sync::BadRecord;
use sync::split::xml::{Cut, Records, SplitError, XmlSplitter};

use std::ops::RangeInclusive;

use crate::normalize::{
    Control, Posture, asset_group, control, detection, host, host_asset, ids, policy, posture, report_detail,
    report_finding, rule, tag,
};
use crate::work::Policy;
use crate::xml::{Xml, clean};

/// One detection, one definition or one host without its detections; results are a few kilobytes in practice.
const RECORD_LIMIT: usize = 8 * 1024 * 1024;

const RECORDS: &[Records] = &[
    Records { parent: "HOST_LIST", name: "HOST", parts: &["DETECTION", "VULN_INFO"] },
    Records { parent: "VULN_LIST", name: "VULN", parts: &[] },
    Records { parent: "VULN_DETAILS_LIST", name: "VULN_DETAILS", parts: &[] },
    Records { parent: "data", name: "HostAsset", parts: &[] },
    Records { parent: "data", name: "Tag", parts: &[] },
    Records { parent: "ID_SET", name: "ID", parts: &[] },
    Records { parent: "ID_SET", name: "ID_RANGE", parts: &[] },
    Records { parent: "ASSET_GROUP_LIST", name: "ASSET_GROUP", parts: &[] },
    Records { parent: "POLICY_LIST", name: "POLICY", parts: &[] },
    Records { parent: "INFO_LIST", name: "INFO", parts: &[] },
    Records { parent: "CONTROL_LIST", name: "CONTROL", parts: &[] },
    // The glossary of a posture, which may be long and says nothing that is kept.
    Records { parent: "USER_LIST", name: "USER", parts: &[] },
    Records { parent: "TECHNOLOGY_LIST", name: "TECHNOLOGY", parts: &[] },
    Records { parent: "DPD_LIST", name: "DPD", parts: &[] },
    Records { parent: "TP_LIST", name: "TP", parts: &[] },
    Records { parent: "FV_LIST", name: "FV", parts: &[] },
    Records { parent: "TM_LIST", name: "TM", parts: &[] },
];

/// The documents that hold records, by their root element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The host list.
    HostList,
    /// Hosts with their detections.
    Detections,
    /// Definitions.
    KnowledgeBase,
    /// The search of assets or of tags.
    AssetSearch,
    /// Asset groups.
    AssetGroups,
    /// Policies of compliance.
    Policies,
    /// How hosts comply with a policy.
    Posture,
    /// A scan report saved as XML.
    Report,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::HostList,
        Self::Detections,
        Self::KnowledgeBase,
        Self::AssetSearch,
        Self::AssetGroups,
        Self::Policies,
        Self::Posture,
        Self::Report,
    ];

    /// The root element.
    pub fn root(self) -> &'static str {
        match self {
            Self::HostList => "HOST_LIST_OUTPUT",
            Self::Detections => "HOST_LIST_VM_DETECTION_OUTPUT",
            Self::KnowledgeBase => "KNOWLEDGE_BASE_VULN_LIST_OUTPUT",
            Self::AssetSearch => "ServiceResponse",
            Self::AssetGroups => "ASSET_GROUP_LIST_OUTPUT",
            Self::Policies => "POLICY_LIST_OUTPUT",
            Self::Posture => "POSTURE_INFO_LIST_OUTPUT",
            Self::Report => "ASSET_DATA_REPORT",
        }
    }
}

/// A normalised record.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A host, with its findings where the document has them.
    Host(Box<HostItem>),
    /// A definition. In a scan report with the severity that its findings lack.
    Rule(Box<Rule>, Option<String>),
    /// Ids of hosts.
    Ids(RangeInclusive<u64>),
    /// An asset group.
    Group(Named),
    /// A tag; its name is left out.
    Tag {
        /// Its id.
        id: u64,
        /// 1 to 5.
        criticality: Option<u8>,
    },
    /// A policy of compliance.
    Policy(Policy),
    /// How a host complies with one control.
    Posture(Box<Posture>),
    /// What a control is about.
    Control(Box<Control>),
    /// A record that could not be read.
    Refused(BadRecord),
}

/// An id and what people call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The id.
    pub id: u64,
    /// The name.
    pub name: String,
}

/// A host and its findings.
#[derive(Debug, Clone, PartialEq)]
pub struct HostItem {
    /// The host.
    pub host: Host,
    /// Its findings.
    pub findings: Vec<Finding>,
    /// Nothing of it was refused: what is not here is not there.
    pub whole: bool,
    /// Ids of its tags and its asset groups.
    pub marks: Marks,
}

/// Ids of what a host is marked with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Its id in the asset search; `0` elsewhere.
    pub asset: u64,
    /// Whether the host has an id in the host list. One that was only discovered has none.
    pub is_scanned: bool,
    /// Tags.
    pub tags: Vec<u64>,
    /// Asset groups.
    pub groups: Vec<u64>,
}

/// What stands around the records of a document that was read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The address of the next page, where the document is one page of several.
    pub next: Option<String>,
    /// The answer in words, where the document is that and nothing else.
    pub simple: Option<SimpleReturn>,
    /// A search has more records.
    pub has_more: bool,
    /// The id of the last record of a search.
    pub last_id: Option<u64>,
}

/// `SIMPLE_RETURN`: Qualys' answer in words, mostly an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimpleReturn {
    /// Qualys' code; none where it only confirms.
    pub code: Option<u32>,
    /// What it says.
    pub text: String,
    /// Keys and values beside it.
    pub items: Vec<(String, String)>,
}

impl SimpleReturn {
    /// Reads an answer in words out of a whole body; `None` if it is something else.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut splitter = XmlSplitter::new(&[], 0);
        splitter.feed(body);
        let skeleton = splitter.finish().ok()?;
        (skeleton.root == "SIMPLE_RETURN").then(|| read_around(&skeleton.bytes).simple).flatten()
    }

    /// The number beside a key: `SECONDS_TO_WAIT`, `CALLS_TO_FINISH`.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.items.iter().find(|(name, _)| name == key)?.1.trim().parse().ok()
    }
}

impl std::fmt::Display for SimpleReturn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "code {code}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Reads a document incrementally. Memory is bounded by one record and the findings of one host.
pub struct Document {
    splitter: XmlSplitter,
    findings: Vec<Finding>,
    whole: bool,
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// A document of which nothing was read yet.
    pub fn new() -> Self {
        Self { splitter: XmlSplitter::new(RECORDS, RECORD_LIMIT), findings: Vec::new(), whole: true }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.splitter.feed(bytes);
    }

    /// The error that makes reading on useless, as soon as it is known.
    pub fn error(&self) -> Option<&SplitError> {
        self.splitter.error()
    }

    /// The root element, as soon as it was seen.
    pub fn root(&self) -> Option<&str> {
        self.splitter.root()
    }

    /// What kind of document it is; `None` also for one that holds no records.
    pub fn kind(&self) -> Option<Kind> {
        let root = self.root()?;
        Kind::ALL.into_iter().find(|kind| kind.root() == root)
    }

    /// The next record that was read.
    pub fn next_item(&mut self) -> Option<Item> {
        while let Some(Cut { is_part, offset, read }) = self.splitter.next_cut(read) {
            match read {
                Ok(Read::Finding(finding)) => self.findings.extend(*finding),
                Ok(Read::Host(read)) => {
                    let (host, marks) = *read;
                    let (findings, whole) = self.begin_host();
                    return Some(Item::Host(Box::new(HostItem { host, findings, whole, marks })));
                }
                Ok(Read::Item(item)) => return Some(item),
                Ok(Read::Nothing) => {}
                Err(problem) => {
                    if is_part {
                        self.whole = false;
                    } else {
                        self.begin_host();
                    }
                    return Some(Item::Refused(BadRecord { offset, problem }));
                }
            }
        }
        None
    }

    fn begin_host(&mut self) -> (Vec<Finding>, bool) {
        (std::mem::take(&mut self.findings), std::mem::replace(&mut self.whole, true))
    }

    /// Says that there is no more. A document that was cut off is an error.
    pub fn finish(&mut self) -> Result<Around, SplitError> {
        let skeleton = self.splitter.finish()?;
        Ok(read_around(&skeleton.bytes))
    }
}

/// What was read of a part or a record.
enum Read {
    /// A part.
    Finding(Box<Option<Finding>>),
    Host(Box<(Host, Marks)>),
    /// Any other record.
    Item(Item),
    /// A record that says nothing that is kept.
    Nothing,
}

fn read(name: &'static str, xml: &Xml<'_>) -> Result<Read, String> {
    Ok(Read::Item(match name {
        "DETECTION" => return Ok(Read::Finding(Box::new(detection(xml)?))),
        "VULN_INFO" => return Ok(Read::Finding(Box::new(report_finding(xml)?))),
        "HOST" => return Ok(Read::Host(Box::new(host(xml)?))),
        "HostAsset" => return Ok(Read::Host(Box::new(host_asset(xml)?))),
        "Tag" => {
            let (id, criticality) = tag(xml)?;
            Item::Tag { id, criticality }
        }
        "ID" | "ID_RANGE" => Item::Ids(ids(xml)?),
        "ASSET_GROUP" => Item::Group(asset_group(xml)?),
        "POLICY" => Item::Policy(policy(xml)?),
        "INFO" => Item::Posture(Box::new(posture(xml)?)),
        "CONTROL" => Item::Control(Box::new(control(xml)?)),
        "VULN" => Item::Rule(Box::new(rule(xml)?), None),
        "VULN_DETAILS" => {
            let (rule, severity) = report_detail(xml)?;
            Item::Rule(Box::new(rule), Some(severity))
        }
        _ => return Ok(Read::Nothing),
    }))
}

/// What stands around the records: the warning with the next page, or an answer in words.
fn read_around(skeleton: &[u8]) -> Around {
    let mut around = Around::default();
    let mut simple = SimpleReturn::default();
    let (mut truncated, mut url, mut key, mut failed) = (false, None, String::new(), None);
    let text = clean(skeleton);
    let is_simple = text.trim_start().starts_with("<SIMPLE_RETURN");
    // A skeleton that the splitter passed is balanced; should an attribute be broken, nothing is known around it.
    let _ = Xml::alone(&text).walk(|path, element| match path {
        "RESPONSE/WARNING/CODE" | "RESPONSE/WARNING_LIST/WARNING/CODE" => truncated |= element.text == "1980",
        "RESPONSE/WARNING/URL" | "RESPONSE/WARNING_LIST/WARNING/URL" if !element.text.is_empty() => {
            url = Some(element.text.to_owned());
        }
        "hasMoreRecords" => around.has_more = element.text == "true",
        "lastId" => around.last_id = element.text.parse().ok(),
        "responseCode" if element.text != "SUCCESS" => failed = Some(element.text.to_owned()),
        "responseErrorDetails/errorMessage" => element.text.clone_into(&mut simple.text),
        "RESPONSE/CODE" => simple.code = element.text.parse().ok(),
        "RESPONSE/TEXT" => element.text.clone_into(&mut simple.text),
        "RESPONSE/ITEM_LIST/ITEM/KEY" => element.text.clone_into(&mut key),
        "RESPONSE/ITEM_LIST/ITEM/VALUE" => {
            simple.items.push((std::mem::take(&mut key), element.text.to_owned()));
        }
        _ => {}
    });
    if truncated {
        // Without an address the next page is somewhere, and saying that there is none would hide it.
        around.next = Some(url.unwrap_or_default());
    }
    if let Some(code) = &failed {
        simple.text = format!("{code} {}", simple.text).trim_end().to_owned();
    }
    around.simple = (is_simple || failed.is_some()).then_some(simple);
    around
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> (Vec<Item>, Result<Around, SplitError>) {
        let mut reader = Document::new();
        let mut items = Vec::new();
        for chunk in document.as_bytes().chunks(7) {
            reader.feed(chunk);
            items.extend(std::iter::from_fn(|| reader.next_item()));
        }
        let around = reader.finish();
        (items, around)
    }

    fn page(hosts: &str, after: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<!DOCTYPE HOST_LIST_VM_DETECTION_OUTPUT SYSTEM \"https://q.example/o.dtd\">
            <HOST_LIST_VM_DETECTION_OUTPUT><RESPONSE><DATETIME>2026-11-22T00:00:00Z</DATETIME>{hosts}{after}</RESPONSE>
            </HOST_LIST_VM_DETECTION_OUTPUT><!-- CONFIDENTIAL //-->"
        )
    }

    fn host(id: u32, detections: &str) -> String {
        format!("<HOST><ID>{id}</ID><DETECTION_LIST>{detections}</DETECTION_LIST></HOST>")
    }

    #[test]
    fn pitfall_13_none_one_and_many_hosts_are_read_alike() {
        assert_eq!(read(&page("", "")), (vec![], Ok(Around::default())));
        let one = "<DETECTION><QID>1</QID><STATUS>New</STATUS></DETECTION>";
        let (items, _) = read(&page(
            &format!("<HOST_LIST>{}{}{}</HOST_LIST>", host(1, ""), host(2, one), host(3, &one.repeat(3))),
            "",
        ));
        let counts: Vec<_> = items
            .iter()
            .map(|item| match item {
                Item::Host(item) => (item.host.native.clone(), item.findings.len(), item.whole),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [("1".into(), 0, true), ("2".into(), 1, true), ("3".into(), 3, true)]);
    }

    #[test]
    fn pitfall_13_cves_do_not_leak_into_the_next_definition() {
        let (items, _) = read(
            "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST><VULN><QID>1</QID><CVE_LIST><CVE><ID>CVE-2026-1000</ID>\
             </CVE></CVE_LIST></VULN><VULN><QID>2</QID></VULN></VULN_LIST></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>",
        );
        let cves: Vec<_> = items
            .iter()
            .map(|item| match item {
                Item::Rule(rule, _) => rule.cves.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(cves, [1, 0]);
    }

    #[test]
    fn pitfall_19_each_detection_is_a_finding_of_its_own() {
        let detections: String = (1..=40)
            .map(|qid| format!("<DETECTION><QID>{qid}</QID><STATUS>Active</STATUS></DETECTION>"))
            .collect();
        let (items, _) = read(&page(&format!("<HOST_LIST>{}</HOST_LIST>", host(1, &detections)), ""));
        let Item::Host(item) = &items[0] else { panic!("{items:?}") };
        let keys: std::collections::BTreeSet<_> = item.findings.iter().map(|finding| &finding.key).collect();
        assert_eq!((item.findings.len(), keys.len()), (40, 40));
    }

    #[test]
    fn one_bad_detection_fails_alone_and_its_host_is_not_whole() {
        let bad = "<DETECTION><QID>none</QID></DETECTION><DETECTION><QID>2</QID></DETECTION>";
        let (items, around) =
            read(&page(&format!("<HOST_LIST>{}{}</HOST_LIST>", host(1, bad), host(2, "")), ""));
        assert!(around.is_ok());
        assert!(matches!(&items[0], Item::Refused(bad) if bad.problem.contains("QID") && bad.offset > 0));
        assert!(matches!(&items[1], Item::Host(item) if item.findings.len() == 1 && !item.whole));
        assert!(matches!(&items[2], Item::Host(item) if item.whole));
    }

    #[test]
    fn a_bad_host_takes_its_detections_and_no_others() {
        let nameless =
            "<HOST><OS>x</OS><DETECTION_LIST><DETECTION><QID>1</QID></DETECTION></DETECTION_LIST></HOST>";
        let (items, _) = read(&page(&format!("<HOST_LIST>{nameless}{}</HOST_LIST>", host(2, "")), ""));
        assert!(matches!(&items[0], Item::Refused(_)));
        assert!(matches!(&items[1], Item::Host(item) if item.findings.is_empty() && item.whole));
    }

    #[test]
    fn the_next_page_is_named_by_the_warning() {
        let warning =
            |code: u32, url: &str| format!("<WARNING><CODE>{code}</CODE><TEXT>more</TEXT>{url}</WARNING>");
        let next = |warning: String| read(&page("", &warning)).1.unwrap().next;
        let url = "<URL><![CDATA[https://q.example/api/?action=list&id_min=5]]></URL>";
        assert_eq!(next(warning(1980, url)).as_deref(), Some("https://q.example/api/?action=list&id_min=5"));
        assert_eq!(next(warning(1981, url)), None);
        assert_eq!(next(warning(1980, "")).as_deref(), Some(""), "more to come, but nobody knows where");
    }

    #[test]
    fn answers_in_words_are_read() {
        let body = b"<?xml version=\"1.0\"?><!DOCTYPE SIMPLE_RETURN SYSTEM \"x.dtd\"><SIMPLE_RETURN><RESPONSE>
            <DATETIME>2026-11-22T00:00:00Z</DATETIME><CODE>1965</CODE><TEXT>Too many calls.</TEXT>
            <ITEM_LIST><ITEM><KEY>CALLS_TO_FINISH</KEY><VALUE>2</VALUE></ITEM>
            <ITEM><KEY>SECONDS_TO_WAIT</KEY><VALUE>68928</VALUE></ITEM></ITEM_LIST></RESPONSE></SIMPLE_RETURN>";
        let simple = SimpleReturn::parse(body).unwrap();
        assert_eq!(
            (simple.code, simple.number("SECONDS_TO_WAIT"), simple.number("X")),
            (Some(1965), Some(68928), None)
        );
        assert_eq!(simple.to_string(), "code 1965: Too many calls.");
        assert_eq!(SimpleReturn::parse(b"<html></html>"), None);
        assert_eq!(SimpleReturn::parse(b"<SIMPLE_RETURN>"), None);
    }

    #[test]
    fn a_page_that_is_cut_off_is_an_error_after_whole_hosts() {
        let whole = page(&format!("<HOST_LIST>{}{}</HOST_LIST>", host(1, ""), host(2, "")), "");
        let cut = &whole[..whole.find("<ID>2").unwrap()];
        let (items, around) = read(cut);
        assert_eq!(items.len(), 1);
        assert!(around.unwrap_err().problem.contains("cut off inside <HOST>"));
    }

    #[test]
    fn definitions_and_other_documents_are_told_by_their_root() {
        let kb = "<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE><VULN_LIST><!-- keep-alive --><VULN><QID>1</QID></VULN></VULN_LIST></RESPONSE></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>";
        let (items, _) = read(kb);
        assert!(matches!(&items[0], Item::Rule(rule, None) if rule.id.as_str() == "1"));
        let (items, _) = read(
            "<HOST_LIST_OUTPUT><RESPONSE><ID_SET><ID>7</ID><ID>9</ID></ID_SET></RESPONSE></HOST_LIST_OUTPUT>",
        );
        assert_eq!(items, [Item::Ids(7..=7), Item::Ids(9..=9)]);
        let (items, _) = read(
            "<HOST_LIST_OUTPUT><RESPONSE><ID_SET><ID_RANGE>7-19</ID_RANGE><ID_RANGE>9-8</ID_RANGE></ID_SET></RESPONSE></HOST_LIST_OUTPUT>",
        );
        assert!(
            matches!(&items[..], [Item::Ids(range), Item::Refused(_)] if *range == (7..=19)),
            "{items:?}"
        );
        let failed = "<ServiceResponse><responseCode>INVALID_REQUEST</responseCode><responseErrorDetails><errorMessage>No.</errorMessage></responseErrorDetails></ServiceResponse>";
        assert_eq!(read(failed).1.unwrap().simple.unwrap().text, "INVALID_REQUEST No.");
        let mut document = Document::new();
        document.feed(b"<!DOCTYPE html><html><he");
        assert_eq!((document.root(), document.kind()), (Some("html"), None));
    }
}
