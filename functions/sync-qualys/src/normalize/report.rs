//! `VULN_INFO` and `VULN_DETAILS` of an asset data report: a scan report that somebody saved as XML.

use domain::{CveId, Finding, Rule};

use super::{detection, rule, some};
use crate::xml::Xml;

/// Reads one `VULN_INFO`: a finding whose severity stands in the glossary at the report's end. `None` for gathered
/// information.
pub fn report_finding(xml: &Xml<'_>) -> Result<Option<Finding>, String> {
    let mut raw = detection::Raw::default();
    xml.walk(|path, element| {
        let text = element.text;
        let field = match path {
            "QID" => &mut raw.rule,
            "TYPE" => &mut raw.kind,
            "PORT" => &mut raw.port,
            "PROTOCOL" => &mut raw.protocol,
            "SERVICE" => &mut raw.service,
            "FQDN" => &mut raw.fqdn,
            "SSL" => &mut raw.ssl,
            "INSTANCE" => &mut raw.instance,
            "VULN_STATUS" => &mut raw.status,
            "FIRST_FOUND" => &mut raw.first_found,
            "LAST_FOUND" => &mut raw.last_found,
            "LAST_FIXED" => &mut raw.last_fixed,
            "RESULT" => {
                raw.evidence = some(text);
                return;
            }
            _ => return,
        };
        *field = element.kept();
    })?;
    raw.finding()
}

/// Reads one `VULN_DETAILS`: the definition, and the severity as it is written there.
pub fn report_detail(xml: &Xml<'_>) -> Result<(Rule, String), String> {
    let mut raw = rule::Raw::default();
    xml.walk(|path, element| {
        let text = element.text;
        let field = match path {
            "QID" => &mut raw.id,
            "SEVERITY" => &mut raw.severity,
            "TITLE" => &mut raw.title,
            "THREAT" => &mut raw.diagnosis,
            "IMPACT" => &mut raw.consequence,
            "SOLUTION" => &mut raw.solution,
            "LAST_UPDATE" => &mut raw.modified,
            "CVE_ID_LIST/CVE_ID/ID" => {
                raw.cves.extend(text.parse::<CveId>());
                return;
            }
            // `9.0 (AV:N/AC:H/…)`
            "CVSS3_SCORE/CVSS3_BASE" | "CVSS_SCORE/CVSS_BASE" => {
                let (score, vector) = text.split_once(' ').unwrap_or((text, ""));
                let into = &mut raw.cvss[if path.starts_with("CVSS3") { 1 } else { 2 }];
                into[0] = score.to_owned().into();
                into[1] = vector.to_owned().into();
                return;
            }
            _ => return,
        };
        *field = element.kept();
    })?;
    let severity = raw.severity.clone().into_owned();
    Ok((raw.rule()?, severity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::FindingState;

    #[test]
    fn findings_and_definitions_of_a_report_are_read() {
        let finding = report_finding(&Xml::alone("<VULN_INFO><QID id=\"qid_38170\">38170</QID><TYPE>Vuln</TYPE><PORT>3389</PORT><SERVICE>win remote desktop</SERVICE>
            <PROTOCOL>tcp</PROTOCOL><SSL>true</SSL><RESULT format=\"table\"><![CDATA[a b]]></RESULT>
            <FIRST_FOUND>2019-07-31T21:57:48Z</FIRST_FOUND><VULN_STATUS>Re-Opened</VULN_STATUS></VULN_INFO>"))
        .unwrap()
        .unwrap();
        assert_eq!((finding.rule.as_str(), finding.port), ("38170", Some(3389)));
        assert_eq!(finding.service.as_deref(), Some("win remote desktop"));
        assert_eq!(finding.state, FindingState::Reopened);
        assert_eq!(finding.key.as_str(), "38170|3389|tcp|1||");
        assert_eq!(
            report_finding(&Xml::alone("<VULN_INFO><QID>6</QID><TYPE>Ig</TYPE></VULN_INFO>")),
            Ok(None)
        );

        let (rule, severity) = report_detail(&Xml::alone("<VULN_DETAILS id=\"qid_1\"><QID id=\"qid_1\">1</QID><TITLE>T</TITLE><SEVERITY>4</SEVERITY><IMPACT>N/A</IMPACT>
            <CVSS_SCORE><CVSS_BASE>9.3 (AV:N/AC:M/Au:N/C:C/I:C/A:C)</CVSS_BASE></CVSS_SCORE>
            <CVSS3_SCORE><CVSS3_BASE>9.0 (AV:N/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H)</CVSS3_BASE></CVSS3_SCORE>
            <CVE_ID_LIST><CVE_ID><ID>CVE-2018-8930</ID></CVE_ID></CVE_ID_LIST></VULN_DETAILS>"))
        .unwrap();
        let cvss = rule.cvss.unwrap();
        assert_eq!((severity.as_str(), cvss.score.0, cvss.version.as_str()), ("4", 90, "3"));
        assert_eq!(cvss.vector.as_deref(), Some("AV:N/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H"));
        assert_eq!((rule.cves.len(), rule.description), (1, None));
    }
}
