//! `DETECTION` of host detections.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use domain::{Finding, FindingKey, FindingState, RuleId};

use super::{cvss, qid, severity, some, time, yes};
use crate::xml::Xml;

/// The fields of a detection as they came.
#[derive(Debug, Default)]
pub(super) struct Raw<'x> {
    pub unique: Cow<'x, str>,
    pub rule: Cow<'x, str>,
    pub kind: Cow<'x, str>,
    pub severity: Cow<'x, str>,
    pub port: Cow<'x, str>,
    pub protocol: Cow<'x, str>,
    pub service: Cow<'x, str>,
    pub fqdn: Cow<'x, str>,
    pub ssl: Cow<'x, str>,
    pub instance: Cow<'x, str>,
    pub evidence: Option<String>,
    pub status: Cow<'x, str>,
    pub first_found: Cow<'x, str>,
    pub last_found: Cow<'x, str>,
    pub last_fixed: Cow<'x, str>,
    pub first_reopened: Cow<'x, str>,
    pub last_reopened: Cow<'x, str>,
    pub ignored: bool,
    pub disabled: bool,
    pub risk: Cow<'x, str>,
    pub epss: Cow<'x, str>,
    pub cvss: Cow<'x, str>,
    pub cvss_vector: Cow<'x, str>,
    pub cvss_version: Cow<'x, str>,
    pub factors: BTreeMap<String, String>,
}

/// Factors of the QDS that are kept: what is known of exploits, malware and those who use them, and what stands in their way.
/// `trending`, a list of days, changes by itself.
const FACTORS: [&str; 6] =
    ["RTI", "exploit_maturity", "CISA_vuln", "malware_name", "threat_actors", "mitigation_controls"];
/// Characters of one of them.
const FACTOR_LIMIT: usize = 500;

/// Reads one `DETECTION` element. `None` for information that was gathered: it has no state and is no finding.
pub fn detection(xml: &Xml<'_>) -> Result<Option<Finding>, String> {
    let mut raw = Raw::default();
    xml.walk(|path, element| {
        let text = element.text;
        let field = match path {
            "UNIQUE_VULN_ID" => &mut raw.unique,
            "QID" => &mut raw.rule,
            "TYPE" => &mut raw.kind,
            "SEVERITY" => &mut raw.severity,
            "PORT" => &mut raw.port,
            "PROTOCOL" => &mut raw.protocol,
            "SERVICE" => &mut raw.service,
            "FQDN" => &mut raw.fqdn,
            "SSL" => &mut raw.ssl,
            "INSTANCE" => &mut raw.instance,
            "STATUS" => &mut raw.status,
            "FIRST_FOUND_DATETIME" => &mut raw.first_found,
            "LAST_FOUND_DATETIME" => &mut raw.last_found,
            "LAST_FIXED_DATETIME" => &mut raw.last_fixed,
            "FIRST_REOPENED_DATETIME" => &mut raw.first_reopened,
            "LAST_REOPENED_DATETIME" => &mut raw.last_reopened,
            "QDS" => &mut raw.risk,
            "QDS_FACTORS/QDS_FACTOR" => match element.attribute("name").as_deref() {
                Some("epss") => &mut raw.epss,
                Some("CVSS") => &mut raw.cvss,
                Some("CVSS_vector") => &mut raw.cvss_vector,
                Some("CVSS_version") => &mut raw.cvss_version,
                Some(name) if FACTORS.contains(&name) && !text.trim().is_empty() => {
                    raw.factors.insert(name.to_owned(), listed(text));
                    return;
                }
                _ => return,
            },
            "RESULTS" => {
                raw.evidence = some(text);
                return;
            }
            "IS_IGNORED" => {
                raw.ignored = yes(text);
                return;
            }
            "IS_DISABLED" => {
                raw.disabled = yes(text);
                return;
            }
            _ => return,
        };
        *field = element.kept();
    })?;
    raw.finding()
}

impl Raw<'_> {
    pub(super) fn finding(self) -> Result<Option<Finding>, String> {
        let rule = qid(&self.rule).ok_or("a detection without a numeric QID")?;
        if matches!(&*self.kind, "Info" | "Ig" | "Information Gathered") {
            return Ok(None);
        }
        let state = self.state();
        Ok(Some(Finding {
            key: self.key(&rule),
            rule,
            severity: severity(&self.severity),
            state,
            cvss: cvss(&self.cvss, &self.cvss_vector, &self.cvss_version),
            epss: number(&self.epss).filter(|p| (0.0..=1.0).contains(p)),
            vendor_risk: number(&self.risk).filter(|risk| *risk > 0.0),
            exploit_available: self
                .factors
                .get("exploit_maturity")
                .filter(|words| says_exploit(words))
                .map(|_| true),
            vendor_factors: self.factors,
            first_found: time(&self.first_found),
            last_found: time(&self.last_found),
            // The date stays on a detection that has come back: only the status says that it is fixed.
            fixed_at: time(&self.last_fixed).filter(|_| state == FindingState::Fixed),
            reopened_at: time(&self.last_reopened).or_else(|| time(&self.first_reopened)),
            port: self.port.parse().ok().filter(|port| *port != 0),
            protocol: some(&self.protocol.to_ascii_lowercase()),
            service: some(&self.service).or_else(|| yes(&self.ssl).then(|| "ssl".to_owned())),
            evidence: self.evidence,
            kind: domain::FindingKind::Vulnerability,
            source_severity: self.severity.into_owned(),
            source_state: self.status.into_owned(),
        }))
    }

    /// Qualys' own id of the detection, else the fields by which its documentation tells detections apart.
    fn key(&self, rule: &RuleId) -> FindingKey {
        if !self.unique.is_empty() {
            return FindingKey::new(&*self.unique);
        }
        let ssl = if yes(&self.ssl) { "1" } else { "0" };
        let port = if self.port == "0" { "" } else { &*self.port };
        let protocol = self.protocol.to_ascii_lowercase();
        FindingKey::new([rule.as_str(), port, &protocol, ssl, &self.fqdn, &self.instance].join("|"))
    }

    /// `STATUS` alone decides; what nobody knows counts as open, so that nothing is closed by a new word.
    fn state(&self) -> FindingState {
        match self.status.to_ascii_lowercase().replace(['-', ' ', '_'], "").as_str() {
            "fixed" => FindingState::Fixed,
            _ if self.ignored || self.disabled => FindingState::Suppressed,
            "reopened" => FindingState::Reopened,
            _ => FindingState::Open,
        }
    }
}

/// A list with commas, in an order of its own: another order is nothing new.
fn listed(text: &str) -> String {
    let words: BTreeSet<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    words.into_iter().collect::<Vec<_>>().join(", ").chars().take(FACTOR_LIMIT).collect()
}

/// Whether there is an exploit, by the words of CVSS' exploit code maturity and by Qualys' own.
fn says_exploit(maturity: &str) -> bool {
    let words = ["poc", "proof", "functional", "high", "weaponized"];
    maturity.to_ascii_lowercase().split(", ").any(|word| words.iter().any(|known| word.starts_with(known)))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Severity;
    use domain::finding::{Cvss, Tenths};

    fn read(inner: &str) -> Option<Finding> {
        detection(&Xml::alone(&format!("<DETECTION><QID>38739</QID>{inner}</DETECTION>"))).unwrap()
    }

    fn at(text: &str) -> Option<jiff::Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn every_field_is_mapped() {
        let read = read(
            "<UNIQUE_VULN_ID>5555</UNIQUE_VULN_ID><TYPE>Confirmed</TYPE><SEVERITY>5</SEVERITY><PORT>443</PORT><PROTOCOL>TCP</PROTOCOL>
            <FQDN>www.example.com</FQDN><SSL>1</SSL><INSTANCE>a</INSTANCE><RESULTS><![CDATA[line 1\n<b>&amp;]]></RESULTS>
            <STATUS>Re-Opened</STATUS><FIRST_FOUND_DATETIME>2026-01-01T00:00:00Z</FIRST_FOUND_DATETIME>
            <LAST_FOUND_DATETIME>2026-11-20T00:00:00Z</LAST_FOUND_DATETIME><QDS severity=\"CRITICAL\">95</QDS>
            <QDS_FACTORS><QDS_FACTOR name=\"RTI\">Active_Attacks</QDS_FACTOR><QDS_FACTOR name=\"CVSS\">9.8</QDS_FACTOR>
            <QDS_FACTOR name=\"CVSS_version\">v3.1</QDS_FACTOR>
            <QDS_FACTOR name=\"CVSS_vector\">AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H</QDS_FACTOR>
            <QDS_FACTOR name=\"exploit_maturity\">weaponized,poc</QDS_FACTOR><QDS_FACTOR name=\"malware_name\"> </QDS_FACTOR>
            <QDS_FACTOR name=\"trending\">11202026,11192026</QDS_FACTOR>
            <QDS_FACTOR name=\"epss\">0.97432</QDS_FACTOR></QDS_FACTORS>
            <TIMES_FOUND>3</TIMES_FOUND><LAST_FIXED_DATETIME>2026-05-01T00:00:00Z</LAST_FIXED_DATETIME>
            <FIRST_REOPENED_DATETIME>2026-06-01T00:00:00Z</FIRST_REOPENED_DATETIME>
            <LAST_REOPENED_DATETIME>2026-07-01T00:00:00Z</LAST_REOPENED_DATETIME><TIMES_REOPENED>2</TIMES_REOPENED>
            <IS_IGNORED>0</IS_IGNORED><IS_DISABLED>0</IS_DISABLED>",
        );
        let expected = Finding {
            key: FindingKey::new("5555"),
            rule: RuleId::new("38739"),
            severity: Severity::Critical,
            kind: domain::FindingKind::Vulnerability,
            source_severity: "5".into(),
            state: FindingState::Reopened,
            source_state: "Re-Opened".into(),
            cvss: Some(Cvss {
                version: "3.1".into(),
                score: Tenths(98),
                vector: Some("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H".into()),
            }),
            epss: Some(0.97432),
            vendor_risk: Some(95.0),
            exploit_available: Some(true),
            vendor_factors: [("RTI", "Active_Attacks"), ("exploit_maturity", "poc, weaponized")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            first_found: at("2026-01-01T00:00:00Z"),
            last_found: at("2026-11-20T00:00:00Z"),
            fixed_at: None,
            reopened_at: at("2026-07-01T00:00:00Z"),
            port: Some(443),
            protocol: Some("tcp".into()),
            service: Some("ssl".into()),
            evidence: Some("line 1\n<b>&amp;".into()),
        };
        assert_eq!(read, Some(expected));
    }

    #[test]
    fn only_the_status_decides() {
        let state = |inner: &str| read(inner).map(|finding| (finding.state, finding.fixed_at.is_some()));
        let fixed = "<LAST_FIXED_DATETIME>2026-05-01T00:00:00Z</LAST_FIXED_DATETIME>";
        let with = |status: &str| state(&format!("{fixed}<STATUS>{status}</STATUS>"));
        assert_eq!(with("New"), Some((FindingState::Open, false)));
        assert_eq!(with("Active"), Some((FindingState::Open, false)));
        assert_eq!(with("Re-Opened"), Some((FindingState::Reopened, false)));
        assert_eq!(with("Fixed"), Some((FindingState::Fixed, true)));
        assert_eq!(with("Pending"), Some((FindingState::Open, false)), "a new word never closes");
        assert_eq!(with(""), Some((FindingState::Open, false)));
        let marked = |status: &str| state(&format!("<STATUS>{status}</STATUS><IS_IGNORED>1</IS_IGNORED>"));
        assert_eq!(marked("Active"), Some((FindingState::Suppressed, false)));
        assert_eq!(marked("Fixed"), Some((FindingState::Fixed, false)));
        assert_eq!(
            state("<STATUS>Active</STATUS><IS_DISABLED>1</IS_DISABLED>"),
            Some((FindingState::Suppressed, false))
        );
    }

    #[test]
    fn pitfall_18_what_a_check_saw_is_no_part_of_the_key() {
        let saw = |results: &str| read(&format!("<PORT>22</PORT><RESULTS>{results}</RESULTS>")).unwrap();
        assert_eq!(saw("one").key, saw("two").key);
        assert_ne!(saw("one").digest(), saw("two").digest());
    }

    #[test]
    fn raw_values_stay() {
        let finding = read("<SEVERITY>7</SEVERITY><STATUS>Dormant</STATUS>").unwrap();
        assert_eq!((finding.source_severity.as_str(), finding.source_state.as_str()), ("7", "Dormant"));
        assert_eq!(finding.severity, Severity::Medium);
    }

    #[test]
    fn information_is_no_finding() {
        assert_eq!(read("<TYPE>Info</TYPE><RESULTS>x</RESULTS>"), None);
        assert!(read("<TYPE>Potential</TYPE><STATUS>New</STATUS>").is_some());
    }

    #[test]
    fn without_an_id_of_its_own_the_place_tells_findings_apart() {
        let key = |inner: &str| read(inner).map(|finding| finding.key.to_string()).unwrap();
        assert_eq!(
            key("<PORT>443</PORT><PROTOCOL>tcp</PROTOCOL><SSL>1</SSL><FQDN>a.b</FQDN>"),
            "38739|443|tcp|1|a.b|"
        );
        assert_eq!(key("<SSL>0</SSL>"), "38739|||0||");
        assert_eq!(key("<PORT>0</PORT><INSTANCE>x</INSTANCE>"), "38739|||0||x");
    }

    #[test]
    fn hostile_values_do_no_harm() {
        let finding = read(
            "<PORT>99999</PORT><QDS>-3</QDS><FIRST_FOUND_DATETIME>soon</FIRST_FOUND_DATETIME>
            <QDS_FACTORS><QDS_FACTOR name='epss'>inf</QDS_FACTOR><QDS_FACTOR name='CVSS'>n/a</QDS_FACTOR>
            <QDS_FACTOR>nameless</QDS_FACTOR></QDS_FACTORS>",
        )
        .unwrap();
        assert_eq!(
            (finding.port, finding.epss, finding.vendor_risk, finding.first_found),
            (None, None, None, None)
        );
        assert_eq!(finding.cvss, None);
        for bad in
            ["<DETECTION/>", "<DETECTION><QID>x</QID></DETECTION>", "<DETECTION><QID>1</DETECTION>", "junk"]
        {
            assert!(detection(&Xml::alone(bad)).is_err(), "{bad}");
        }
    }
}
