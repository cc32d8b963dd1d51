//! One element of an asset's `same`, `new` or `remediated`.
//!
//! | ours | InsightVM |
//! | --- | --- |
//! | state open | in `same` or `new` |
//! | state reopened | likewise, with `reintroduced` after `first_found` |
//! | state fixed | in `remediated` |
//! | severity, CVSS, CVEs, title | not here, but in the definition of `vulnerability_id` |
//! | `solution` of the rule | `solution_summary`, `solution_fix`: not in the definition, but here |

use domain::{Finding, FindingKey, FindingKind, FindingState, RuleId, Severity};
use jiff::Timestamp;
use serde::Deserialize;
use sync::lenient::{Field, Object};
use sync::text::plain;

use sync::split::json::brief;

/// What one element says.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The finding.
    pub finding: Finding,
    /// What to do about its rule.
    pub remedy: Remedy,
}

/// What is to be done about a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remedy {
    /// In plain words.
    pub solution: Option<String>,
    /// Whether the vendor of the software offers a patch.
    pub patchable: Option<bool>,
}

/// In which list of the asset the element stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// There as before.
    Same,
    /// There since the comparison time.
    New,
    /// Gone since the comparison time.
    Remediated,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Record<'a> {
    vulnerability_id: Field<'a>,
    check_id: Field<'a>,
    key: Field<'a>,
    nic: Field<'a>,
    port: Field<'a>,
    protocol: Field<'a>,
    proof: Field<'a>,
    status: Field<'a>,
    first_found: Field<'a>,
    last_found: Field<'a>,
    reintroduced: Field<'a>,
    risk_score: Field<'a>,
    solution_summary: Field<'a>,
    solution_fix: Field<'a>,
    solution_type: Field<'a>,
}

/// What makes a finding one and the same, within its host.
#[derive(Default)]
pub(super) struct Instance<'a> {
    pub vulnerability: &'a str,
    pub check: Option<&'a str>,
    pub port: Option<u16>,
    pub protocol: Option<&'a str>,
    pub nic: Option<&'a str>,
    pub key: Option<&'a str>,
}

impl Instance<'_> {
    pub(super) fn finding_key(&self) -> FindingKey {
        let port = self.port.map(|port| port.to_string());
        let parts =
            [Some(self.vulnerability), self.check, port.as_deref(), self.protocol, self.nic, self.key];
        let key = parts.map(Option::unwrap_or_default).join("|");
        FindingKey::new(key.trim_end_matches('|'))
    }
}

/// Reads one element. `scanned_at` is the end of the last scan, which found the remediated ones gone.
pub(super) fn finding(bytes: &[u8], list: List, scanned_at: Option<Timestamp>) -> Result<Statement, String> {
    let Object(record): Object<Record<'_>> =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no finding: {}", brief(&error)))?;
    statement(record, list, scanned_at)
}

/// What an element says.
pub(super) fn statement(
    record: Record<'_>,
    list: List,
    scanned_at: Option<Timestamp>,
) -> Result<Statement, String> {
    let vulnerability = record.vulnerability_id.words().ok_or("a finding without vulnerability_id")?;
    let (check, nic, key) = (record.check_id.words(), record.nic.words(), record.key.words());
    let protocol = record.protocol.words().map(|protocol| protocol.trim().to_ascii_lowercase());
    let port = port(record.port.number());
    let first_found = record.first_found.time();
    let last_found = record.last_found.time();
    let reintroduced = record.reintroduced.time();
    let back = reintroduced.is_some_and(|back| first_found.is_none_or(|first| back > first));
    let state = match list {
        List::Remediated => FindingState::Fixed,
        List::Same | List::New if back => FindingState::Reopened,
        List::Same | List::New => FindingState::Open,
    };
    let instance = Instance {
        vulnerability: &vulnerability,
        check: check.as_deref(),
        port,
        protocol: protocol.as_deref(),
        nic: nic.as_deref(),
        key: key.as_deref(),
    };
    let finding = Finding {
        key: instance.finding_key(),
        rule: RuleId::new(&*vulnerability),
        // The definition says it; this is what counts where there is none, neither silent nor alarming.
        severity: Severity::Medium,
        source_severity: String::new(),
        kind: FindingKind::Vulnerability,
        state,
        source_state: record.status.text().unwrap_or_default(),
        cvss: None,
        epss: None,
        vendor_risk: record.risk_score.number().filter(|risk| *risk > 0.0),
        exploit_available: None,
        vendor_factors: std::collections::BTreeMap::new(),
        first_found,
        last_found,
        fixed_at: scanned_at
            .filter(|at| state == FindingState::Fixed && last_found.is_none_or(|last| *at > last)),
        reopened_at: reintroduced.filter(|_| back),
        port,
        protocol,
        service: None,
        evidence: record.proof.words().map(|proof| plain(&proof)).filter(|text| !text.is_empty()),
    };
    let remedy = Remedy {
        solution: solution(record.solution_summary.words(), record.solution_fix.words()),
        patchable: record.solution_type.words().and_then(|kind| patchable(&kind)),
    };
    Ok(Statement { finding, remedy })
}

/// Summary and steps, as far as they differ.
pub(super) fn solution<T: AsRef<str>>(summary: Option<T>, fix: Option<T>) -> Option<String> {
    let text = |html: Option<T>| html.map(|html| plain(html.as_ref())).filter(|text| !text.is_empty());
    match (text(summary), text(fix)) {
        (Some(summary), Some(fix)) if fix.contains(&summary) => Some(fix),
        (Some(summary), Some(fix)) => Some(format!("{summary}\n\n{fix}")),
        (summary, fix) => summary.or(fix),
    }
}

/// Whether the kind of solution is a patch; `None` where it does not say.
pub(super) fn patchable(kind: &str) -> Option<bool> {
    match kind.trim().to_ascii_lowercase().as_str() {
        "patch" | "rollup" | "rollup_patch" => Some(true),
        "workaround" | "configuration" => Some(false),
        _ => None,
    }
}

/// A port, where there is one: 0 stands for the host as a whole.
pub(super) fn port(number: Option<f64>) -> Option<u16> {
    let number = number?;
    // The range check makes the cast exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (number.fract() == 0.0 && (1.0..=65_535.0).contains(&number)).then_some(number as u16)
}
