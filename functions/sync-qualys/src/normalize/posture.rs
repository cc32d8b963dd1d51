//! `INFO` and `CONTROL` of the compliance posture.
//!
//! A host either passes a control of a policy or fails it. One rule stands for one control, whatever the policy; the
//! same control in two policies, on two technologies or two instances of one is a finding each.

use domain::{Finding, FindingKey, FindingKind, FindingState, Rule, RuleId, Scanner, Severity};
use jiff::Timestamp;

use sync::text::plain;

use super::{severity, some, time};
use crate::xml::Xml;

/// What is kept of what a check saw; the table keeps less.
const EVIDENCE_LIMIT: usize = 4_000;

/// How one host complies with one control.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Posture {
    /// The host.
    pub host: String,
    /// The control.
    pub control: String,
    technology: String,
    instance: String,
    status: String,
    exception: String,
    exception_end: Option<Timestamp>,
    evidence: String,
    changed: Option<Timestamp>,
    evaluated: Option<Timestamp>,
    first_failed: Option<Timestamp>,
    last_failed: Option<Timestamp>,
    last_passed: Option<Timestamp>,
}

/// What a control is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Qualys' id.
    pub id: String,
    statement: String,
    label: String,
    value: String,
    rationale: String,
}

/// Reads one `INFO`.
pub fn posture(xml: &Xml<'_>) -> Result<Posture, String> {
    let mut read = Posture::default();
    xml.walk(|path, element| {
        let text = element.text;
        let field = match path {
            "HOST_ID" => &mut read.host,
            "CONTROL_ID" => &mut read.control,
            "TECHNOLOGY_ID" => &mut read.technology,
            "INSTANCE" => &mut read.instance,
            "STATUS" => &mut read.status,
            "EXCEPTION/STATUS" => &mut read.exception,
            "EXCEPTION/END_DATETIME" | "EXCEPTION/END_DATE" => {
                read.exception_end = time(text);
                return;
            }
            "POSTURE_MODIFIED_DATE" => {
                read.changed = time(text);
                return;
            }
            "EVALUATION_DATE" => {
                read.evaluated = time(text);
                return;
            }
            "FIRST_FAIL_DATE" => {
                read.first_failed = time(text);
                return;
            }
            "LAST_FAIL_DATE" => {
                read.last_failed = time(text);
                return;
            }
            "LAST_PASS_DATE" => {
                read.last_passed = time(text);
                return;
            }
            _ => {
                let is_seen = (path.starts_with("EVIDENCE/") || path.starts_with("CAUSE_OF_FAILURE/"))
                    && (path.ends_with("/V") || path.ends_with("EXTENDED_EVIDENCE"));
                if is_seen && !text.is_empty() && read.evidence.len() + text.len() < EVIDENCE_LIMIT {
                    if !read.evidence.is_empty() {
                        read.evidence.push('\n');
                    }
                    read.evidence.push_str(text);
                }
                return;
            }
        };
        text.clone_into(field);
    })?;
    let number =
        |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    if number(&read.host) && number(&read.control) {
        Ok(read)
    } else {
        Err("a posture without the ids of host and control".to_owned())
    }
}

impl Posture {
    /// The finding, under a policy. `None` where the check could not be made: that says nothing.
    pub fn finding(self, policy: u64, control: Option<&Control>, now: Timestamp) -> Option<Finding> {
        let excepted =
            self.exception.eq_ignore_ascii_case("approved") && self.exception_end.is_none_or(|end| end > now);
        let state = match self.status.to_ascii_lowercase().as_str() {
            "passed" => FindingState::Fixed,
            "failed" if excepted => FindingState::Suppressed,
            "failed" => FindingState::Open,
            _ => return None,
        };
        let key = format!("pc|{policy}|{}|{}|{}", self.control, self.technology, self.instance);
        Some(Finding {
            key: FindingKey::new(key),
            rule: rule_id(&self.control),
            kind: FindingKind::Compliance,
            severity: control.map_or(Severity::Medium, Control::severity),
            source_severity: control.map(|control| control.label.clone()).unwrap_or_default(),
            state,
            source_state: if self.exception.is_empty() {
                self.status
            } else {
                format!("{}, exception {}", self.status, self.exception)
            },
            cvss: None,
            epss: None,
            vendor_risk: None,
            exploit_available: None,
            vendor_factors: std::collections::BTreeMap::new(),
            first_found: self.first_failed.or(self.changed),
            last_found: self.last_failed.or(self.evaluated),
            fixed_at: (state == FindingState::Fixed).then(|| self.changed.or(self.last_passed)).flatten(),
            reopened_at: None,
            port: None,
            protocol: None,
            service: some(&self.instance),
            evidence: some(&self.evidence),
        })
    }
}

/// The rule of a control. Its id cannot be taken for a QID.
pub fn rule_id(control: &str) -> RuleId {
    RuleId::new(format!("control-{control}"))
}

/// Reads one `CONTROL` of the glossary.
pub fn control(xml: &Xml<'_>) -> Result<Control, String> {
    let mut read = Control::default();
    xml.walk(|path, element| {
        let field = match path {
            "ID" => &mut read.id,
            "STATEMENT" => &mut read.statement,
            "CRITICALITY/LABEL" => &mut read.label,
            "CRITICALITY/VALUE" => &mut read.value,
            "RATIONALE_LIST/RATIONALE/TEXT" if read.rationale.is_empty() => &mut read.rationale,
            _ => return,
        };
        element.text.clone_into(field);
    })?;
    if read.id.is_empty() { Err("a control without id".to_owned()) } else { Ok(read) }
}

impl Control {
    fn severity(&self) -> Severity {
        severity(if self.value.is_empty() { &self.label } else { &self.value })
    }

    /// The rule that stands for it.
    pub fn rule(&self) -> Rule {
        let statement = plain(&self.statement);
        Rule {
            scanner: Scanner::Qualys,
            id: rule_id(&self.id),
            title: if statement.is_empty() { format!("Control {}", self.id) } else { statement },
            cves: vec![],
            severity: Some(self.severity()),
            cvss: None,
            description: some(&plain(&self.rationale)),
            solution: None,
            patchable: None,
            vendor_risk: None,
            exploit_available: None,
            modified: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T00:00:00Z";

    fn read(inner: &str) -> Posture {
        let info =
            format!("<INFO><ID>1</ID><HOST_ID>42</HOST_ID><CONTROL_ID>1071</CONTROL_ID>{inner}</INFO>");
        posture(&Xml::alone(&info)).unwrap()
    }

    fn finding(inner: &str) -> Option<Finding> {
        read(inner).finding(7, None, NOW.parse().unwrap())
    }

    #[test]
    fn a_failed_control_is_an_open_finding_of_its_own_kind() {
        let control = control(&Xml::alone("<CONTROL><ID>1071</ID><STATEMENT><![CDATA[Status of the <b>minimum password length</b>]]></STATEMENT>
            <CRITICALITY><LABEL>URGENT</LABEL><VALUE>5</VALUE></CRITICALITY><RATIONALE_LIST><RATIONALE><TECHNOLOGY_ID>1</TECHNOLOGY_ID>
            <TEXT>Short ones are guessed.</TEXT></RATIONALE></RATIONALE_LIST></CONTROL>"))
        .unwrap();
        let read = read(
            "<TECHNOLOGY_ID>11</TECHNOLOGY_ID><INSTANCE>os</INSTANCE><STATUS>Failed</STATUS>
            <POSTURE_MODIFIED_DATE>2026-11-20T00:00:00Z</POSTURE_MODIFIED_DATE><FIRST_FAIL_DATE>2026-10-01T00:00:00Z</FIRST_FAIL_DATE>
            <LAST_FAIL_DATE>2026-11-21T00:00:00Z</LAST_FAIL_DATE><EVIDENCE><BOOLEAN_EXPR>(:dp_1 ge $tp_1)</BOOLEAN_EXPR>
            <DPV_LIST><DPV lastUpdated='2026-11-21T00:00:00Z'><LABEL>:dp_1</LABEL><V>6</V></DPV></DPV_LIST></EVIDENCE>",
        );
        let finding = read.finding(7, Some(&control), NOW.parse().unwrap()).unwrap();
        assert_eq!(finding.key.as_str(), "pc|7|1071|11|os");
        assert_eq!((finding.rule.as_str(), finding.kind), ("control-1071", FindingKind::Compliance));
        assert_eq!((finding.state, finding.source_state.as_str()), (FindingState::Open, "Failed"));
        assert_eq!((finding.severity, finding.source_severity.as_str()), (Severity::Critical, "URGENT"));
        assert_eq!(finding.first_found, "2026-10-01T00:00:00Z".parse().ok());
        assert_eq!((finding.evidence.as_deref(), finding.fixed_at), (Some("6"), None));
        let rule = control.rule();
        assert_eq!((rule.id, rule.title.as_str()), (finding.rule, "Status of the minimum password length"));
        assert_eq!(rule.description.as_deref(), Some("Short ones are guessed."));
    }

    #[test]
    fn passed_is_fixed_and_an_approved_exception_suppresses() {
        let state = |inner: &str| finding(inner).map(|finding| finding.state);
        let passed = finding(
            "<STATUS>Passed</STATUS><POSTURE_MODIFIED_DATE>2026-11-20T00:00:00Z</POSTURE_MODIFIED_DATE>",
        );
        let passed = passed.unwrap();
        assert_eq!(
            (passed.state, passed.fixed_at),
            (FindingState::Fixed, "2026-11-20T00:00:00Z".parse().ok())
        );
        let with = |status: &str, end: &str| {
            state(&format!(
                "<STATUS>Failed</STATUS><EXCEPTION><ASSIGNEE>x</ASSIGNEE><STATUS>{status}</STATUS><END_DATETIME>{end}</END_DATETIME></EXCEPTION>"
            ))
        };
        assert_eq!(with("Approved", "2027-01-01T00:00:00Z"), Some(FindingState::Suppressed));
        assert_eq!(with("Approved", ""), Some(FindingState::Suppressed));
        assert_eq!(with("Approved", "2026-01-01T00:00:00Z"), Some(FindingState::Open), "it is over");
        assert_eq!(with("Pending", "2027-01-01T00:00:00Z"), Some(FindingState::Open));
        assert_eq!(state("<STATUS>Error</STATUS>"), None, "a check that could not be made says nothing");
        assert_eq!(state("<STATUS>Postponed</STATUS>"), None);
    }

    #[test]
    fn evidence_is_bounded_and_broken_records_are_errors() {
        let long = format!("<EVIDENCE>{}</EVIDENCE>", "<DPV><V>0123456789</V></DPV>".repeat(5_000));
        assert!(read(&long).evidence.len() < EVIDENCE_LIMIT);
        for bad in [
            "<INFO/>",
            "<INFO><HOST_ID>1</HOST_ID></INFO>",
            "<INFO><HOST_ID>a</HOST_ID><CONTROL_ID>1</CONTROL_ID></INFO>",
        ] {
            assert!(posture(&Xml::alone(bad)).is_err(), "{bad}");
        }
        assert!(control(&Xml::alone("<CONTROL><STATEMENT>x</STATEMENT></CONTROL>")).is_err());
    }
}
