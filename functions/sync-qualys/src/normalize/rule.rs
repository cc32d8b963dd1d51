//! `VULN` of the knowledge base.

use std::borrow::Cow;

use domain::{CveId, Rule, Scanner, Severity};

use sync::text::plain;

use super::{cvss, qid, severity, time, yes};
use crate::xml::Xml;

/// Qualys' real-time threat indicators that say that there is an exploit. That one would be easy (`Easy_Exploit`) does not.
const EXPLOITED: [&str; 6] = [
    "Exploit_Public",
    "Exploit_Kit",
    "Active_Attacks",
    "Malware",
    "Ransomware",
    "Cisa_Known_Exploited_Vulns",
];

/// The fields of a definition as they came.
#[derive(Default)]
pub(super) struct Raw<'x> {
    pub id: Cow<'x, str>,
    pub kind: Cow<'x, str>,
    pub severity: Cow<'x, str>,
    pub title: Cow<'x, str>,
    pub cves: Vec<CveId>,
    pub diagnosis: Cow<'x, str>,
    pub consequence: Cow<'x, str>,
    pub solution: Cow<'x, str>,
    pub patchable: Option<bool>,
    pub exploited: bool,
    pub modified: Cow<'x, str>,
    /// Score, vector and version of CVSS 4, 3 and 2.
    pub cvss: [[Cow<'x, str>; 3]; 3],
}

/// Reads one `VULN` element.
pub fn rule(xml: &Xml<'_>) -> Result<Rule, String> {
    let mut raw = Raw::default();
    xml.walk(|path, element| {
        let text = element.text;
        let field = match path {
            "QID" => &mut raw.id,
            "VULN_TYPE" => &mut raw.kind,
            "SEVERITY_LEVEL" => &mut raw.severity,
            "TITLE" => &mut raw.title,
            "DIAGNOSIS" => &mut raw.diagnosis,
            "CONSEQUENCE" => &mut raw.consequence,
            "SOLUTION" => &mut raw.solution,
            "LAST_SERVICE_MODIFICATION_DATETIME" => &mut raw.modified,
            "CVSS_V4/BASE" => &mut raw.cvss[0][0],
            "CVSS_V4/VECTOR_STRING" => &mut raw.cvss[0][1],
            "CVSS_V3/BASE" => &mut raw.cvss[1][0],
            "CVSS_V3/VECTOR_STRING" => &mut raw.cvss[1][1],
            "CVSS_V3/CVSS3_VERSION" => &mut raw.cvss[1][2],
            "CVSS/BASE" => &mut raw.cvss[2][0],
            "CVSS/VECTOR_STRING" => &mut raw.cvss[2][1],
            "PATCHABLE" => {
                raw.patchable = (!text.is_empty()).then(|| yes(text));
                return;
            }
            "THREAT_INTELLIGENCE/THREAT_INTEL" => {
                raw.exploited |= EXPLOITED.contains(&text);
                return;
            }
            _ if path.starts_with("CORRELATION/") => {
                raw.exploited |= path.ends_with("/EXPLT/REF") || path.ends_with("/MW_INFO/MW_ID");
                return;
            }
            "CVE_LIST/CVE/ID" => {
                raw.cves.extend(text.parse::<CveId>());
                return;
            }
            _ => return,
        };
        *field = element.kept();
    })?;
    raw.rule()
}

impl Raw<'_> {
    pub(super) fn rule(mut self) -> Result<Rule, String> {
        let id = qid(&self.id).ok_or("a definition without a numeric QID")?;
        self.cves.sort();
        self.cves.dedup();
        let gathered = self.kind.eq_ignore_ascii_case("Information Gathered");
        let versions = self.cvss.iter().zip(["4.0", "3", "2.0"]);
        let cvss = versions.into_iter().find_map(|([score, vector, given], version)| {
            cvss(score, vector, if given.is_empty() { version } else { given })
        });
        let mut description = said(&self.diagnosis);
        match (&mut description, said(&self.consequence)) {
            (Some(diagnosis), Some(consequence)) => {
                diagnosis.push_str("\n\n");
                diagnosis.push_str(&consequence);
            }
            (None, consequence) => description = consequence,
            (Some(_), None) => {}
        }
        Ok(Rule {
            scanner: Scanner::Qualys,
            title: if self.title.is_empty() { format!("QID {id}") } else { self.title.into_owned() },
            id,
            cves: self.cves,
            severity: if gathered {
                Some(Severity::Info)
            } else {
                (!self.severity.is_empty()).then(|| severity(&self.severity))
            },
            cvss,
            description,
            solution: said(&self.solution),
            patchable: self.patchable,
            vendor_risk: None,
            exploit_available: self.exploited.then_some(true),
            modified: time(&self.modified),
        })
    }
}

/// The plain text, unless it says nothing.
fn said(html: &str) -> Option<String> {
    let text = plain(html);
    let words = text.trim_end_matches('.');
    let nothing = ["", "n/a", "not applicable"].iter().any(|word| words.eq_ignore_ascii_case(word));
    (!nothing).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Rule {
        rule(&Xml::alone(&format!("<VULN><QID>38739</QID>{inner}</VULN>"))).unwrap()
    }

    #[test]
    fn every_field_is_mapped() {
        let read = read(
            "<VULN_TYPE>Vulnerability</VULN_TYPE><SEVERITY_LEVEL>4</SEVERITY_LEVEL><TITLE><![CDATA[Deprecated Key Exchange]]></TITLE>
            <LAST_SERVICE_MODIFICATION_DATETIME>2026-10-01T00:00:00Z</LAST_SERVICE_MODIFICATION_DATETIME><PATCHABLE>1</PATCHABLE>
            <CVE_LIST><CVE><ID><![CDATA[CVE-2026-2000]]></ID><URL>x</URL></CVE><CVE><ID>cve-2025-1000</ID></CVE>
            <CVE><ID>CVE-2026-2000</ID></CVE><CVE><ID>none</ID></CVE></CVE_LIST>
            <DIAGNOSIS><![CDATA[Old &quot;crypto&quot;.<P>Very old.]]></DIAGNOSIS><CONSEQUENCE><![CDATA[Bad things.]]></CONSEQUENCE>
            <SOLUTION><![CDATA[Upgrade to <A HREF=\"https://v.example\">1.2</A>]]></SOLUTION>
            <CVSS><BASE source=\"service\">5.0</BASE><VECTOR_STRING>CVSS:2.0/AV:N/AC:L/Au:N/C:P/I:N/A:N</VECTOR_STRING></CVSS>
            <CVSS_V3><BASE>7.5</BASE><TEMPORAL>6.5</TEMPORAL><VECTOR_STRING>CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N</VECTOR_STRING>
            <CVSS3_VERSION>3.1</CVSS3_VERSION></CVSS_V3>",
        );
        assert_eq!(read.id.as_str(), "38739");
        assert_eq!(read.title, "Deprecated Key Exchange");
        assert_eq!(
            read.cves.iter().map(CveId::as_str).collect::<Vec<_>>(),
            ["CVE-2025-1000", "CVE-2026-2000"]
        );
        assert_eq!(read.severity, Some(Severity::High));
        let cvss = read.cvss.unwrap();
        assert_eq!((cvss.version.as_str(), cvss.score.as_f64()), ("3.1", 7.5));
        assert_eq!(cvss.vector.as_deref(), Some("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"));
        assert_eq!(read.description.as_deref(), Some("Old \"crypto\".\n\nVery old.\n\nBad things."));
        assert_eq!(read.solution.as_deref(), Some("Upgrade to 1.2 (https://v.example)"));
        assert_eq!(read.patchable, Some(true));
        assert_eq!(read.modified, "2026-10-01T00:00:00Z".parse().ok());
    }

    #[test]
    fn a_definition_that_names_an_exploit_or_malware_says_so() {
        let exploits = |inner: &str| read(inner).exploit_available;
        let indicators = |words: &[&str]| {
            let all: String = words
                .iter()
                .map(|word| format!("<THREAT_INTEL id=\"1\"><![CDATA[{word}]]></THREAT_INTEL>"))
                .collect();
            exploits(&format!("<THREAT_INTELLIGENCE>{all}</THREAT_INTELLIGENCE>"))
        };
        assert_eq!(indicators(&["No_Patch", "Cisa_Known_Exploited_Vulns", "Easy_Exploit"]), Some(true));
        assert_eq!(indicators(&["Easy_Exploit", "No_Patch"]), None);
        let source = "<EXPLT_SRC><SRC_NAME>Metasploit</SRC_NAME><EXPLT_LIST><EXPLT><REF>CVE-2026-2000</REF><DESC>x</DESC></EXPLT>\
            </EXPLT_LIST></EXPLT_SRC>";
        assert_eq!(
            exploits(&format!("<CORRELATION><EXPLOITS>{source}</EXPLOITS></CORRELATION>")),
            Some(true)
        );
        let malware = "<MW_SRC><SRC_NAME>Trend Micro</SRC_NAME><MW_LIST><MW_INFO><MW_ID>W32</MW_ID></MW_INFO></MW_LIST></MW_SRC>";
        assert_eq!(exploits(&format!("<CORRELATION><MALWARE>{malware}</MALWARE></CORRELATION>")), Some(true));
        assert_eq!(exploits("<CORRELATION><EXPLOITS/><MALWARE/></CORRELATION>"), None);
    }

    #[test]
    fn pitfall_13_a_subscription_without_cvss_has_none() {
        let bare = read("<TITLE>T</TITLE><SOLUTION>Not  applicable.</SOLUTION>");
        assert_eq!((bare.cvss, bare.solution, bare.severity, bare.patchable), (None, None, None, None));
        assert!(bare.cves.is_empty());
    }

    #[test]
    fn pitfall_13_cvss_may_be_a_text_and_only_version_2() {
        let v2 = read(
            "<CVSS_V3><BASE>-</BASE></CVSS_V3><CVSS><BASE source='service'><![CDATA[ 4.3 ]]></BASE></CVSS>",
        );
        assert_eq!(v2.cvss.map(|c| (c.version, c.score.0)), Some(("2.0".into(), 43)));
        let words = read("<CVSS><BASE>unknown</BASE></CVSS>");
        assert_eq!(words.cvss, None);
    }

    #[test]
    fn gathered_information_is_info() {
        let info = read("<VULN_TYPE>Information Gathered</VULN_TYPE><SEVERITY_LEVEL>3</SEVERITY_LEVEL>");
        assert_eq!(info.severity, Some(Severity::Info));
        assert_eq!(info.title, "QID 38739");
    }

    #[test]
    fn broken_definitions_are_errors() {
        for bad in ["<VULN/>", "<VULN><QID>1'; DROP</QID></VULN>", "<VULN><QID>1</VULN>", ""] {
            assert!(rule(&Xml::alone(bad)).is_err(), "{bad}");
        }
    }
}
