//! The rows of the three tables.
//!
//! | ours | Bulk Export |
//! | --- | --- |
//! | state open, reopened | a row of `asset_vulnerability`, `reintroducedTimestamp` after `firstFoundTimestamp` |
//! | state fixed | `lastRemoved` of `vulnerability_remediation`, unless it was reintroduced later |
//! | `vendor_risk` | `riskScoreV2_0` (Active Risk, 1 to 1000), else `riskScore`, its deprecated forerunner; that is a vendor factor where both are told |
//! | `last_found` | is not told |

use domain::finding::{Finding, FindingKind};
use domain::{FindingState, Host, Rule, RuleId, Scanner, Severity};
use parquet::record::Row;
use sync::names;
use sync::rapid7::{best_cvss, severity};
use sync::scanner::Fix;
use sync::text::plain;

use super::Record;
use super::cells::{Cells, tag};
use crate::normalize::asset::{add_azure, add_cloud, add_tag};
use crate::normalize::finding::{Instance, patchable, port, solution};
use crate::normalize::rule::cves;

pub(super) const ASSET: &[&str] = &[
    "assetid",
    "agentid",
    "awsinstanceid",
    "azureresourceid",
    "gcpobjectid",
    "mac",
    "ip",
    "hostname",
    "osproduct",
    "osversion",
    "osdescription",
    "sites",
    "assetgroups",
    "tags",
];

pub(super) const VULNERABILITY: &[&str] = &[
    "assetid",
    "vulnid",
    "checkid",
    "key",
    "port",
    "protocol",
    "nic",
    "proof",
    "title",
    "description",
    "cves",
    "cvssscore",
    "cvssv3score",
    "severity",
    "severityscore",
    "riskscore",
    "riskscorev2_0",
    "hasexploits",
    "epssscore",
    "firstfoundtimestamp",
    "reintroducedtimestamp",
    "datemodified",
    "bestsolutiontype",
    "bestsolutionsummary",
    "bestsolutionfix",
];

pub(super) const REMEDIATION: &[&str] =
    &["assetid", "vulnid", "proof", "firstfoundtimestamp", "reintroducedtimestamp", "lastremoved"];

/// Reads a row of `asset`.
pub(super) fn asset(row: &Row) -> Result<Host, String> {
    let cells = Cells::new(row);
    let os = cells.text("osdescription").or_else(|| {
        let parts: Vec<String> =
            ["osproduct", "osversion"].into_iter().filter_map(|n| cells.text(n)).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    });
    let agent = cells.text("agentid");
    let mut host = Host {
        native: cells.text("assetid").ok_or("it has no assetId")?,
        macs: names::macs(cells.texts("mac")),
        os,
        // The agent looks from inside: it needs no credentials. Of others the export does not tell.
        credentialed: agent.is_some().then_some(true),
        agent_ids: agent.into_iter().collect(),
        ..Host::default()
    };
    if let Some(id) = cells.text("awsinstanceid") {
        add_cloud(&mut host, "aws", None, id);
    }
    if let Some(id) = cells.text("azureresourceid") {
        add_azure(&mut host, &id);
    }
    if let Some(id) = cells.text("gcpobjectid") {
        add_cloud(&mut host, "gcp", None, id);
    }
    for (column, kind) in [("sites", "SITE"), ("assetgroups", "ASSET_GROUP")] {
        cells.texts(column).iter().for_each(|name| add_tag(&mut host, name, kind));
    }
    for (name, kind) in cells.list("tags").into_iter().filter_map(tag) {
        add_tag(&mut host, &name, &kind);
    }
    names::sort_into(&mut host, cells.texts("ip"), cells.texts("hostname"), vec![]);
    Ok(host)
}

/// Reads a row of `asset_vulnerability`. `wants_rule` says whether the definition, which every row repeats, is of use.
pub(super) fn vulnerability(row: &Row, wants_rule: impl FnOnce(&RuleId) -> bool) -> Result<Record, String> {
    let cells = Cells::new(row);
    let host = cells.text("assetid").ok_or("it has no assetId")?;
    let vulnerability = cells.text("vulnid").ok_or("it has no vulnId")?;
    let rule = RuleId::new(&vulnerability);
    let (check, nic, key) = (cells.text("checkid"), cells.text("nic"), cells.text("key"));
    let protocol = cells.text("protocol").map(|protocol| protocol.trim().to_ascii_lowercase());
    let port = port(cells.number("port"));
    let instance = Instance {
        vulnerability: &vulnerability,
        check: check.as_deref(),
        port,
        protocol: protocol.as_deref(),
        nic: nic.as_deref(),
        key: key.as_deref(),
    };
    let word = cells.text("severity");
    let cvss3 = cells.number("cvssv3score");
    let ours = severity(word.as_deref(), cells.number("severityscore"), cvss3);
    let cvss = best_cvss((cvss3, None), (cells.number("cvssscore"), None));
    let first_found = cells.time("firstfoundtimestamp");
    let reopened_at =
        cells.time("reintroducedtimestamp").filter(|back| first_found.is_none_or(|first| *back > first));
    let positive = |name: &str| cells.number(name).filter(|score| *score > 0.0);
    let (active_risk, old_risk) = (positive("riskscorev2_0"), positive("riskscore"));
    let finding = Finding {
        key: instance.finding_key(),
        rule: rule.clone(),
        severity: ours.unwrap_or(Severity::Medium),
        source_severity: word.unwrap_or_default(),
        kind: FindingKind::Vulnerability,
        state: if reopened_at.is_some() { FindingState::Reopened } else { FindingState::Open },
        source_state: String::new(),
        cvss: cvss.clone(),
        epss: cells.number("epssscore").filter(|epss| (0.0..=1.0).contains(epss)),
        vendor_risk: active_risk.or(old_risk),
        exploit_available: cells.truth("hasexploits"),
        vendor_factors: old_risk
            .filter(|_| active_risk.is_some())
            .map(|score| ("riskScore".to_owned(), score.to_string()))
            .into_iter()
            .collect(),
        first_found,
        last_found: None,
        fixed_at: None,
        reopened_at,
        port,
        protocol,
        service: None,
        evidence: text(cells.text("proof")),
    };
    let rule = wants_rule(&rule).then(|| {
        Box::new(Rule {
            scanner: Scanner::Insightvm,
            id: rule,
            title: cells.text("title").unwrap_or(vulnerability),
            cves: cves(cells.texts("cves"), vec![]),
            severity: ours,
            cvss,
            description: text(cells.text("description")),
            solution: solution(cells.text("bestsolutionsummary"), cells.text("bestsolutionfix")),
            patchable: cells.text("bestsolutiontype").and_then(|kind| patchable(&kind)),
            vendor_risk: None,
            exploit_available: None,
            modified: cells.time("datemodified"),
        })
    });
    Ok(Record::Finding { host, finding: Box::new(finding), rule })
}

/// Reads a row of `vulnerability_remediation`. `None`: it is still there, or there again.
pub(super) fn remediation(row: &Row) -> Result<Option<Fix>, String> {
    let cells = Cells::new(row);
    let host = cells.text("assetid").ok_or("it has no assetId")?;
    let rule = RuleId::new(cells.text("vulnid").ok_or("it has no vulnId")?);
    let Some(at) = cells.time("lastremoved") else { return Ok(None) };
    if cells.time("reintroducedtimestamp").is_some_and(|back| back >= at) {
        return Ok(None);
    }
    let first_found = cells.time("firstfoundtimestamp");
    Ok(Some(Fix { host, rule, first_found, evidence: text(cells.text("proof")), at }))
}

fn text(html: Option<String>) -> Option<String> {
    html.map(|html| plain(&html)).filter(|text| !text.is_empty())
}
