//! The rows of our two reports ([`crate::query`]).

use std::collections::HashMap;

use domain::{Finding, Host, Rule, RuleId, Scanner, Severity};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use sync::lenient::moment;
use sync::text::plain;
use sync::{BadRecord, rapid7};

use super::json::{SOLUTIONS, Solution, attach, cves, is_patch, joined, remedy, tag};
use super::state::{self, Instance};
use crate::csv::{Row, Rows};

/// Columns without which a report of findings is none.
pub const FINDING_COLUMNS: &[&str] =
    &["asset_id", "announced", "vulnerability", "status", "port", "protocol", "key"];
/// Columns without which a report of definitions is none.
pub const RULE_COLUMNS: &[&str] = &["vulnerability", "title", "severity"];
/// Summary, steps and kind of each solution of a definition.
const SOLUTION_COLUMNS: [[&str; 3]; SOLUTIONS] = [
    ["summary", "fix", "solution_type"],
    ["summary_2", "fix_2", "solution_type_2"],
    ["summary_3", "fix_3", "solution_type_3"],
];

/// What a report says of one asset.
#[derive(Debug, Clone, PartialEq)]
pub struct OnAsset {
    /// The asset: its id, its tags and sites, and when it was last looked at.
    pub host: Host,
    /// What is found on it. Severities are those of the definitions.
    pub findings: Vec<Finding>,
    /// Instances that the asset has by its own count, and those that came.
    pub announced: u64,
    /// See there.
    pub received: u64,
    /// All came, each says something, and somebody has looked: what is not here is not on the asset.
    pub whole: bool,
}

/// The column that a report lacks.
pub fn missing_column(rows: &Rows, wanted: &[&'static str]) -> Option<&'static str> {
    let header = rows.header()?;
    wanted.iter().find(|column| !header.iter().any(|known| known == *column)).copied()
}

/// Collects the rows of one asset after the other: they stand together.
#[derive(Default)]
pub struct Assets {
    current: Option<Current>,
}

struct Current {
    host: Host,
    announced: u64,
    received: u64,
    refused: bool,
    instances: Vec<Instance>,
    severities: HashMap<RuleId, (Severity, String)>,
}

impl Assets {
    /// Takes a row. Answers the asset before, when this is the first row of another one.
    pub fn take(&mut self, rows: &Rows, row: &Row) -> (Option<OnAsset>, Result<(), BadRecord>) {
        let native = rows.field(row, "asset_id").filter(|id| id.parse::<u64>().is_ok());
        let Some(native) = native else {
            // Whose it is cannot be told: the asset that is being read may lack it.
            if let Some(current) = &mut self.current {
                current.refused = true;
            }
            let problem = "its asset_id is no number".to_owned();
            return (None, Err(BadRecord { offset: row.offset, problem }));
        };
        let before = match &self.current {
            Some(current) if current.host.native == native => None,
            _ => self.finish(),
        };
        (before, self.add(native, rows, row))
    }

    fn add(&mut self, native: &str, rows: &Rows, row: &Row) -> Result<(), BadRecord> {
        let bad = |problem: &str| BadRecord { offset: row.offset, problem: problem.to_owned() };
        let field = |name: &str| rows.field(row, name);
        let current = self.current.get_or_insert_with(|| {
            let (credentialed, partly_credentialed) = logins(field("logins"));
            let mut host = Host {
                native: native.to_owned(),
                last_scanned_at: field("last_assessed").and_then(time),
                credentialed,
                partly_credentialed,
                ..Host::default()
            };
            for label in field("tags").unwrap_or_default().lines() {
                let (kind, name) = label.split_once(':').unwrap_or(("", label));
                tag(kind, name).into_iter().for_each(|tag| attach(&mut host, tag));
            }
            let announced = field("announced").and_then(|count| count.parse().ok());
            let (refused, announced) = (announced.is_none(), announced.unwrap_or(0));
            let (instances, severities) = (Vec::new(), HashMap::new());
            Current { host, announced, received: 0, refused, instances, severities }
        });
        let Some(vulnerability) = field("vulnerability") else {
            // An asset on which nothing is found.
            if current.announced > 0 {
                current.refused = true;
                return Err(bad("it has no vulnerability"));
            }
            return Ok(());
        };
        current.received += 1;
        let Some(status) = field("status") else {
            current.refused = true;
            return Err(bad("it has no status"));
        };
        let number = |name: &str| field(name).and_then(|text| text.parse::<f64>().ok());
        let word = field("severity");
        let mapped = rapid7::severity(word, number("severity_score"), number("cvss_v3_score"));
        if let Some(severity) = mapped {
            let raw = || word.or_else(|| field("severity_score")).unwrap_or_default().to_owned();
            current.severities.entry(RuleId::new(vulnerability)).or_insert_with(|| (severity, raw()));
        }
        current.instances.push(Instance {
            vulnerability: vulnerability.to_owned(),
            status: status.to_owned(),
            excepted: matches!(field("excepted"), Some("1" | "t" | "true")),
            port: state::port(number("port")),
            protocol: field("protocol").map(str::to_ascii_lowercase),
            key: field("key").map(str::to_owned),
            evidence: field("proof").map(plain).filter(|proof| !proof.is_empty()),
            first_found: field("first_found").and_then(time),
            last_found: field("last_found").and_then(time),
            reopened_at: field("reopened_at").and_then(time),
            changed_at: None,
        });
        Ok(())
    }

    /// The last asset.
    pub fn finish(&mut self) -> Option<OnAsset> {
        let Current { host, announced, received, refused, instances, severities } = self.current.take()?;
        let silent = instances.iter().any(Instance::says_nothing);
        let mut findings = state::findings(instances);
        for finding in &mut findings {
            if let Some((severity, raw)) = severities.get(&finding.rule) {
                finding.severity = *severity;
                finding.source_severity.clone_from(raw);
            }
        }
        let whole = !refused && !silent && announced == received && host.last_scanned_at.is_some();
        Some(OnAsset { host, findings, announced, received, whole })
    }
}

/// Reads a definition.
pub fn rule(rows: &Rows, row: &Row) -> Result<Rule, BadRecord> {
    let field = |name: &str| rows.field(row, name);
    let number = |name: &str| field(name).and_then(|text| text.parse::<f64>().ok());
    let text = |name: &str| field(name).map(plain).filter(|text| !text.is_empty());
    let owned = |name: &str| field(name).map(str::to_owned);
    let id = field("vulnerability")
        .ok_or_else(|| BadRecord { offset: row.offset, problem: "it has no vulnerability".into() })?;
    let (score2, score3) = (number("cvss_v2_score"), number("cvss_v3_score"));
    let mut rule = Rule {
        scanner: Scanner::InsightvmConsole,
        id: RuleId::new(id),
        title: text("title").unwrap_or_else(|| id.to_owned()),
        cves: cves(field("cves").unwrap_or_default().split(',')),
        severity: rapid7::severity(field("severity"), number("severity_score"), score3),
        cvss: rapid7::best_cvss((score3, owned("cvss_v3_vector")), (score2, owned("cvss_v2_vector"))),
        description: text("description"),
        solution: None,
        patchable: None,
        vendor_risk: number("risk_score").filter(|risk| risk.is_finite() && *risk > 0.0),
        exploit_available: field("exploited").map(|_| true),
        modified: field("modified").and_then(time),
    };
    let solution = |[summary, fix, kind]: [&str; 3]| Solution {
        text: joined(text(summary), text(fix)),
        is_patch: field(kind).and_then(is_patch),
    };
    remedy(&mut rule, SOLUTION_COLUMNS.map(solution));
    Ok(rule)
}

/// Whether the last scan could log in, and if so, whether only some of its logins worked: `dim_aggregated_credential_status`
/// of the data model (2.3.0). It has 1 for no credentials supplied, 2 for all failed, 3 for some successful, 4 for all, and
/// -1 where nothing was found to log in to.
fn logins(status: Option<&str>) -> (Option<bool>, Option<bool>) {
    match status {
        Some("1" | "2") => (Some(false), None),
        Some("3") => (Some(true), Some(true)),
        Some("4") => (Some(true), Some(false)),
        _ => (None, None),
    }
}

/// A time as PostgreSQL writes it (`2023-08-09 17:33:45.998`, in UTC, which the report asks for), a date, or RFC 3339.
fn time(text: &str) -> Option<Timestamp> {
    let utc = || match text.split_once(' ') {
        Some((day, time)) => moment(&format!("{day}T{time}Z")),
        None => moment(&format!("{text}Z")),
    };
    let day = || Offset::UTC.to_timestamp(text.parse::<Date>().ok()?.at(0, 0, 0, 0)).ok();
    utc().or_else(|| moment(text)).or_else(day)
}

/// The finding as the API tells it, where the severity stands in the definition alone. What is stored must not depend on
/// the way by which it came: it would be rewritten whenever that changes.
#[must_use]
pub fn without_severity(findings: Vec<Finding>) -> Vec<Finding> {
    let plain = |finding| Finding { severity: Severity::Medium, source_severity: String::new(), ..finding };
    findings.into_iter().map(plain).collect()
}
