//! `ReportItem`: a plugin's word on a host, or the result of one check of an audit.
//!
//! | ours | Nessus |
//! | --- | --- |
//! | severity critical, high, medium, low, info | `severity` 4, 3, 2, 1, 0 |
//! | state | a report has none: what is in it is open. Of an audit, `PASSED` is fixed, every other word is open |
//! | `vendor_risk` | `vpr_score`, 0.1 to 10 |
//! | `epss` | `epss_score`, a share |
//! | finding key | plugin, port and protocol; of an audit, check, port and protocol |
//!
//! The name that Nessus gives to the service on a port is no part of the key: it guesses, and guesses otherwise next time.

use std::borrow::Cow;

use domain::{CveId, Cvss, Finding, FindingKey, FindingKind, FindingState, Rule, RuleId, Scanner, Severity};
use sync::xml::{Element, Xml};

use super::{cvss, day, number, says_something, severity, some};

/// Says how the host was scanned.
const SCAN_INFORMATION: &str = "19506";
/// Says whether it answers.
const PING: &str = "10180";

/// What one report item says.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The finding.
    pub finding: Finding,
    /// The definition of its rule; `None` where the caller has it already.
    pub rule: Option<Rule>,
    /// Whether the scan could log in to the host, where the item says that.
    pub credentialed: Option<bool>,
    /// The host did not answer, and was not scanned.
    pub dead: bool,
}

/// What is put together of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Nothing,
    /// All but its description.
    Names,
    /// All.
    Definition,
}

/// Reads one `ReportItem`. `wanted` says what is put together of its rule.
pub fn item(xml: &Xml<'_>, wanted: impl Fn(&RuleId) -> Wanted) -> Result<Item, String> {
    let mut all = Gathered::default();
    xml.outer_attributes(|name, value| all.attribute(name, value));
    xml.walk(|path, element| all.take(path, element))?;
    all.finish(wanted)
}

/// What is gathered before it can be put together.
#[derive(Default)]
struct Gathered<'x> {
    plugin: Cow<'x, str>,
    name: Cow<'x, str>,
    severity: Cow<'x, str>,
    port: Cow<'x, str>,
    protocol: Cow<'x, str>,
    service: Cow<'x, str>,
    output: Cow<'x, str>,
    synopsis: Cow<'x, str>,
    description: Cow<'x, str>,
    solution: Cow<'x, str>,
    cves: Vec<CveId>,
    score: [Cow<'x, str>; 3],
    vector: [Cow<'x, str>; 3],
    epss: Option<f64>,
    vpr: Option<f64>,
    exploit: Option<bool>,
    patched: bool,
    modified: Cow<'x, str>,
    audit: Option<Box<Audit<'x>>>,
}

/// The `cm:` elements: one check of an audit.
#[derive(Default)]
struct Audit<'x> {
    id: Cow<'x, str>,
    name: Cow<'x, str>,
    file: Cow<'x, str>,
    result: Cow<'x, str>,
    info: Cow<'x, str>,
    solution: Cow<'x, str>,
    actual: Cow<'x, str>,
    wanted: Cow<'x, str>,
    error: Cow<'x, str>,
}

impl<'x> Gathered<'x> {
    fn attribute(&mut self, name: &str, value: Cow<'x, str>) {
        match name {
            "pluginID" => self.plugin = value,
            "pluginName" => self.name = value,
            "severity" => self.severity = value,
            "port" => self.port = value,
            "protocol" => self.protocol = lowercase(value),
            "svc_name" => self.service = value,
            _ => {}
        }
    }

    fn take(&mut self, path: &str, element: &Element<'_, 'x>) {
        let text = element.text;
        match path {
            "plugin_output" => self.output = element.kept(),
            "synopsis" => self.synopsis = element.kept(),
            "description" => self.description = element.kept(),
            "solution" => self.solution = element.kept(),
            "cve" => self.cves.extend(text.parse::<CveId>()),
            "cvss_base_score" => self.score[2] = element.kept(),
            "cvss_vector" => self.vector[2] = element.kept(),
            "cvss3_base_score" => self.score[1] = element.kept(),
            "cvss3_vector" => self.vector[1] = element.kept(),
            "cvss4_base_score" => self.score[0] = element.kept(),
            "cvss4_vector" => self.vector[0] = element.kept(),
            "epss_score" => self.epss = number(text).filter(|share| (0.0..=1.0).contains(share)),
            "vpr_score" => self.vpr = number(text).filter(|score| (0.0..=10.0).contains(score)),
            "exploit_available" => self.exploit = text.parse().ok(),
            "patch_publication_date" => self.patched = !text.is_empty(),
            "plugin_modification_date" => self.modified = element.kept(),
            "compliance" if text == "true" => {
                self.audit();
            }
            _ => {
                if let Some(field) = path.strip_prefix("cm:compliance-") {
                    self.audit().take(field, element);
                }
            }
        }
    }

    fn audit(&mut self) -> &mut Audit<'x> {
        self.audit.get_or_insert_default()
    }

    fn cvss(&self) -> Option<Cvss> {
        let versions = ["4.0", "3", "2.0"].into_iter().zip(&self.score).zip(&self.vector);
        versions.into_iter().find_map(|((version, score), vector)| cvss(version, score, vector))
    }

    fn finish(mut self, wanted: impl Fn(&RuleId) -> Wanted) -> Result<Item, String> {
        let digits = (1..=12).contains(&self.plugin.len()) && self.plugin.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            return Err(format!("{:?} is not a pluginID", sync::http::shorten(&self.plugin)));
        }
        let audit = self.audit.take();
        let rule = match &audit {
            None => RuleId::new(&*self.plugin),
            Some(audit) => audit.rule(&self.plugin)?,
        };
        let port = self.port.parse::<u16>().ok().filter(|port| *port > 0);
        let key = format!("{rule}|{}|{}", port.unwrap_or(0), self.protocol);
        let cvss = self.cvss();
        let credentialed = (self.plugin == SCAN_INFORMATION).then(|| logged_in(&self.output)).flatten();
        let dead = self.plugin == PING && self.output.contains("dead");
        let (state, source_state) = match &audit {
            Some(audit) if audit.result.eq_ignore_ascii_case("PASSED") => {
                (FindingState::Fixed, audit.result.clone().into_owned())
            }
            Some(audit) => (FindingState::Open, audit.result.clone().into_owned()),
            None => (FindingState::Open, String::new()),
        };
        let severity: Severity = severity(&self.severity);
        let definition = match wanted(&rule) {
            Wanted::Nothing => None,
            wanted => {
                let described = wanted == Wanted::Definition;
                Some(self.rule(&rule, (severity, cvss.clone()), audit.as_deref(), described))
            }
        };
        let finding = Finding {
            key: FindingKey::new(key),
            rule,
            kind: if audit.is_some() { FindingKind::Compliance } else { FindingKind::Vulnerability },
            severity,
            source_severity: self.severity.into_owned(),
            state,
            source_state,
            cvss,
            epss: self.epss,
            vendor_risk: self.vpr,
            exploit_available: self.exploit,
            vendor_factors: std::collections::BTreeMap::new(),
            first_found: None,
            last_found: None,
            fixed_at: None,
            reopened_at: None,
            port,
            protocol: some(&self.protocol),
            service: some(&self.service),
            evidence: audit.map_or_else(|| some(&self.output), |audit| audit.evidence(&self.output)),
        };
        Ok(Item { finding, rule: definition, credentialed, dead })
    }

    fn rule(
        &self,
        id: &RuleId,
        (severity, cvss): (Severity, Option<Cvss>),
        audit: Option<&Audit<'_>>,
        described: bool,
    ) -> Rule {
        let mut cves = self.cves.clone();
        cves.sort();
        cves.dedup();
        let texts = match audit {
            None => [&self.synopsis, &self.description],
            Some(audit) => [&audit.info, if audit.info.is_empty() { &self.description } else { &audit.file }],
        };
        let mut texts: Vec<&str> = texts.into_iter().map(|text| &**text).filter(|t| !t.is_empty()).collect();
        texts.dedup();
        let (title, solution) = match audit {
            None => (&self.name, &self.solution),
            Some(audit) => (&audit.name, &audit.solution),
        };
        Rule {
            scanner: Scanner::Nessus,
            id: id.clone(),
            title: some(title).unwrap_or_else(|| format!("Plugin {}", self.plugin)),
            cves,
            // Each result of a check has its own.
            severity: audit.is_none().then_some(severity),
            cvss,
            description: described.then(|| texts.join("\n\n")).filter(|text| says_something(text)),
            solution: some(solution),
            patchable: self.patched.then_some(true),
            vendor_risk: None,
            exploit_available: None,
            modified: day(&self.modified),
        }
    }
}

impl<'x> Audit<'x> {
    fn take(&mut self, field: &str, element: &Element<'_, 'x>) {
        let mine = match field {
            "check-id" => &mut self.id,
            "check-name" => &mut self.name,
            "audit-file" => &mut self.file,
            "result" => &mut self.result,
            "info" => &mut self.info,
            "solution" => &mut self.solution,
            "actual-value" => &mut self.actual,
            "policy-value" => &mut self.wanted,
            "error" => &mut self.error,
            _ => return,
        };
        *mine = element.kept();
    }

    /// All checks of an audit share one plugin; each is a rule of its own.
    fn rule(&self, plugin: &str) -> Result<RuleId, String> {
        let check = match (&*self.id, &*self.name) {
            ("", "") => return Err("the result of an audit without the check that it is of".to_owned()),
            ("", name) => format!("{:016x}", domain::digest(format!("{}\n{name}", self.file).as_bytes())),
            (id, _) => id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect(),
        };
        Ok(RuleId::new(format!("{plugin}-{check}")))
    }

    fn evidence(&self, output: &str) -> Option<String> {
        let parts = [("Is", &self.actual), ("Wanted", &self.wanted), ("Error", &self.error)];
        let lines: Vec<String> = parts
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(what, text)| format!("{what}: {text}"))
            .collect();
        if lines.is_empty() { some(output) } else { Some(lines.join("\n")) }
    }
}

/// In lower case, which it mostly is.
fn lowercase(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text }
}

/// `Credentialed checks : yes, as 'root' via ssh`
fn logged_in(output: &str) -> Option<bool> {
    let line = output.lines().find_map(|line| line.trim().strip_prefix("Credentialed checks"))?;
    let answer = line.trim_start_matches([' ', ':']);
    if answer.starts_with("yes") { Some(true) } else { answer.starts_with("no").then_some(false) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::finding::Tenths;

    fn read(attributes: &str, inner: &str) -> Item {
        item(&Xml::alone(&format!("<ReportItem {attributes}>{inner}</ReportItem>")), |_| Wanted::Definition)
            .unwrap()
    }

    const PLUGIN: &str = "port='443' svc_name='www' protocol='TCP' severity='4' pluginID='156000' \
        pluginName='Apache Log4j' pluginFamily='Misc.'";

    #[test]
    fn every_field_is_mapped() {
        let read = read(
            PLUGIN,
            "<cve>CVE-2021-45046</cve><cve>CVE-2021-44228</cve><cve>CVE-2021-44228</cve><cve>none</cve>
            <cvss_base_score>9.3</cvss_base_score><cvss_vector>CVSS2#AV:N/AC:M/Au:N/C:C/I:C/A:C</cvss_vector>
            <cvss3_base_score>10.0</cvss3_base_score><cvss3_vector>CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H</cvss3_vector>
            <description>It is old.</description><synopsis>It is affected.</synopsis><solution>Upgrade.</solution>
            <epss_score>0.9436</epss_score><vpr_score>10.0</vpr_score><exploit_available>true</exploit_available>
            <patch_publication_date>2021/12/10</patch_publication_date><risk_factor>High</risk_factor>
            <plugin_modification_date>2024/10/07</plugin_modification_date>
            <plugin_output>\n  Path : /opt &amp; more\n</plugin_output><new_element>ignored</new_element>",
        );
        let cvss = Some(Cvss {
            version: "3.0".into(),
            score: Tenths(100),
            vector: Some("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H".into()),
        });
        let finding = Finding {
            key: FindingKey::new("156000|443|tcp"),
            rule: RuleId::new("156000"),
            kind: FindingKind::Vulnerability,
            severity: Severity::Critical,
            source_severity: "4".into(),
            state: FindingState::Open,
            source_state: String::new(),
            cvss: cvss.clone(),
            epss: Some(0.9436),
            vendor_risk: Some(10.0),
            exploit_available: Some(true),
            vendor_factors: std::collections::BTreeMap::new(),
            first_found: None,
            last_found: None,
            fixed_at: None,
            reopened_at: None,
            port: Some(443),
            protocol: Some("tcp".into()),
            service: Some("www".into()),
            evidence: Some("Path : /opt & more".into()),
        };
        assert_eq!(read.finding, finding);
        let rule = read.rule.unwrap();
        assert_eq!((rule.title.as_str(), rule.cvss), ("Apache Log4j", cvss));
        assert_eq!(
            rule.cves.iter().map(CveId::as_str).collect::<Vec<_>>(),
            ["CVE-2021-44228", "CVE-2021-45046"]
        );
        assert_eq!(rule.description.as_deref(), Some("It is affected.\n\nIt is old."));
        assert_eq!((rule.solution.as_deref(), rule.patchable), (Some("Upgrade."), Some(true)));
        assert_eq!(rule.modified, Some("2024-10-07T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn pitfall_18_only_the_severity_attribute_counts() {
        let read = read(
            "port='0' protocol='tcp' severity='4' pluginID='1'",
            "<risk_factor>High</risk_factor><cvss_base_score>7.5</cvss_base_score><cvss3_base_score>5.0</cvss3_base_score>",
        );
        assert_eq!(read.finding.severity, Severity::Critical);
        let other = self::read("severity='7' pluginID='1'", "").finding;
        assert_eq!((other.severity, other.source_severity.as_str()), (Severity::Medium, "7"));
    }

    #[test]
    fn pitfall_18_output_and_service_name_are_no_part_of_the_key() {
        let key = |service: &str, output: &str| {
            let attributes =
                format!("port='80' svc_name='{service}' protocol='tcp' severity='2' pluginID='9'");
            read(&attributes, &format!("<plugin_output>{output}</plugin_output>")).finding.key
        };
        assert_eq!(key("www", "session 1"), key("http?", "session 2"));
    }

    const CHECK: &str = "port='0' svc_name='general' protocol='tcp' severity='3' pluginID='21157' \
        pluginName='Unix Compliance Checks' pluginFamily='Policy Compliance'";

    fn check(name: &str, result: &str) -> Item {
        read(
            CHECK,
            &format!(
                "<compliance>true</compliance><cm:compliance-check-name>{name}</cm:compliance-check-name>
                <cm:compliance-check-id>{}</cm:compliance-check-id><cm:compliance-result>{result}</cm:compliance-result>
                <cm:compliance-info>Why.</cm:compliance-info><cm:compliance-solution>Set it.</cm:compliance-solution>
                <cm:compliance-audit-file>cis.audit</cm:compliance-audit-file>
                <cm:compliance-actual-value>yes</cm:compliance-actual-value>
                <cm:compliance-policy-value>no</cm:compliance-policy-value><description>\"{name}\" : [{result}]</description>",
                name.len()
            ),
        )
    }

    #[test]
    fn pitfall_18_checks_of_an_audit_share_a_plugin_and_are_rules_of_their_own() {
        let (one, two) = (check("5.2.1 Root login", "FAILED"), check("5.2.10 Banner", "WARNING"));
        assert_eq!((one.finding.rule.as_str(), two.finding.rule.as_str()), ("21157-16", "21157-13"));
        assert_ne!(one.finding.key, two.finding.key);
        assert_eq!(one.finding.kind, FindingKind::Compliance);
        assert_eq!((one.finding.severity, one.finding.state), (Severity::High, FindingState::Open));
        assert_eq!(one.finding.evidence.as_deref(), Some("Is: yes\nWanted: no"));
        let rule = one.rule.unwrap();
        assert_eq!((rule.title.as_str(), rule.solution.as_deref()), ("5.2.1 Root login", Some("Set it.")));
        assert_eq!(rule.description.as_deref(), Some("Why.\n\ncis.audit"));
    }

    #[test]
    fn only_a_passed_check_is_fixed() {
        let state = |result: &str| check("x", result).finding.state;
        assert_eq!(state("PASSED"), FindingState::Fixed);
        for open in ["FAILED", "WARNING", "ERROR", "SKIPPED", ""] {
            assert_eq!(state(open), FindingState::Open, "{open}");
        }
        assert_eq!(check("x", "WARNING").finding.source_state, "WARNING");
    }

    #[test]
    fn a_check_without_an_id_is_known_by_its_name() {
        let inner = |name: &str| {
            format!(
                "<compliance>true</compliance><cm:compliance-check-name>{name}</cm:compliance-check-name>"
            )
        };
        assert_ne!(read(CHECK, &inner("a")).finding.rule, read(CHECK, &inner("b")).finding.rule);
        let nameless = format!("<ReportItem {CHECK}><compliance>true</compliance></ReportItem>");
        assert!(
            item(&Xml::alone(&nameless), |_| Wanted::Definition).unwrap_err().contains("without the check")
        );
    }

    #[test]
    fn the_scan_s_own_words_on_a_host_are_read() {
        let said = |plugin: u32, output: &str| {
            let attributes = format!("port='0' protocol='tcp' severity='0' pluginID='{plugin}'");
            let read = read(&attributes, &format!("<plugin_output>{output}</plugin_output>"));
            (read.credentialed, read.dead)
        };
        assert_eq!(
            said(19506, "Nessus version : 10\nCredentialed checks : yes, as 'root' via ssh\n"),
            (Some(true), false)
        );
        assert_eq!(said(19506, "Credentialed checks : no"), (Some(false), false));
        assert_eq!(said(19506, "Scan duration : 3"), (None, false));
        assert_eq!(
            said(10180, "The remote host (10.0.0.1) is considered as dead - not scanning"),
            (None, true)
        );
        assert_eq!(said(10180, "The remote host is up"), (None, false));
        assert_eq!(said(1, "Credentialed checks : yes"), (None, false));
    }

    #[test]
    fn hostile_values_do_no_harm() {
        let read = read(
            "port='99999' severity='1' pluginID='7'",
            "<epss_score>95</epss_score><vpr_score>inf</vpr_score><exploit_available>perhaps</exploit_available>
            <cvss3_base_score>n/a</cvss3_base_score><solution>n/a</solution>",
        );
        let finding = read.finding;
        assert_eq!(
            (finding.port, finding.epss, finding.vendor_risk, finding.exploit_available),
            (None, None, None, None)
        );
        assert_eq!((finding.cvss, read.rule.unwrap().solution), (None, None));
        for bad in [
            "<ReportItem/>",
            "<ReportItem pluginID='x'/>",
            "<ReportItem pluginID='1'><a></ReportItem>",
            "junk",
        ] {
            assert!(item(&Xml::alone(bad), |_| Wanted::Definition).is_err(), "{bad}");
        }
        let raw = b"<ReportItem pluginID='1' severity='1'><plugin_output>a\x00b\x1bc\xff</plugin_output></ReportItem>";
        assert_eq!(
            item(&Xml::alone(&sync::xml::clean(raw)), |_| Wanted::Nothing)
                .unwrap()
                .finding
                .evidence
                .as_deref(),
            Some("abc\u{FFFD}")
        );
    }
}
