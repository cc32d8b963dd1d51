//! A finding in the AWS Security Finding Format.

use domain::{Finding, FindingKey, FindingKind, FindingState};
use jiff::Timestamp;
use serde_json::Value;
use store::{Push, Said};

use super::resource::Resource;
use super::{Package, Told};

/// The namespace of weaknesses. The others are of attacks, of effects and of behaviour: they are no vulnerabilities.
const WEAKNESSES: &str = "Software and Configuration Checks";
/// The generator that all findings of Inspector name.
const INSPECTOR: &str = "AWSInspector";

/// Reads one finding, once per resource that it names; none if it is no weakness, or if the check could not be made.
/// `sent` is the time of its event.
pub fn finding(finding: &Value, sent: Option<Timestamp>) -> Result<Vec<Told>, String> {
    let get = |name: &str| finding.get(name);
    let id = super::text(get("Id")).ok_or("a finding without its Id")?;
    let said_at = super::time(get("UpdatedAt")).ok_or_else(|| {
        format!("{id}: UpdatedAt is missing or not a time; without it nobody knows what is newer")
    })?;
    let vulnerabilities = super::list(get("Vulnerabilities"));
    let compliance = super::text(finding.pointer("/Compliance/Status")).unwrap_or_default();
    let types = super::texts(get("Types"));
    let weakness = if types.is_empty() {
        !vulnerabilities.is_empty() || !compliance.is_empty()
    } else {
        types.iter().any(|of| of.starts_with(WEAKNESSES))
    };
    if !weakness || compliance == "NOT_AVAILABLE" {
        return Ok(vec![]);
    }
    let last_found = super::time(get("LastObservedAt"));
    let (state, source_state) = state(finding, &compliance);
    let label = super::text(finding.pointer("/Severity/Label")).or_else(|| normalized(finding));
    let source_severity = label.unwrap_or_default();
    let title = super::text(get("Title")).unwrap_or_else(|| id.clone());
    let packages: Vec<Package> = vulnerabilities.iter().flat_map(packages).collect();

    let mut rule = super::rule(
        rule_id(finding, vulnerabilities, &title),
        title,
        vulnerabilities
            .iter()
            .flat_map(cves)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect(),
    );
    rule.description = super::text(get("Description")).map(super::cut);
    let advice = finding.pointer("/Remediation/Recommendation");
    let advice = ["Text", "Url"].iter().filter_map(|part| super::text(advice?.get(part))).collect::<Vec<_>>();
    rule.solution = super::solution((!advice.is_empty()).then(|| advice.join("\n")), &packages);
    rule.patchable = vulnerabilities.first().and_then(|v| super::yes(v.get("FixAvailable")));

    let scores = vulnerabilities.iter().flat_map(|v| super::list(v.get("Cvss")));
    let product = |name: &str| finding.get("ProductFields").and_then(|fields| fields.get(name));
    let exploits: Vec<bool> =
        vulnerabilities.iter().filter_map(|v| super::yes(v.get("ExploitAvailable"))).collect();
    let epss = vulnerabilities.iter().filter_map(|v| super::number(v.get("EpssScore"))).reduce(f64::max);
    let template = Finding {
        key: FindingKey::new(id.as_str()),
        rule: rule.id.clone(),
        kind: FindingKind::Vulnerability,
        severity: super::severity(&source_severity),
        source_severity,
        state,
        source_state,
        cvss: super::best_cvss(scores.map(|s| (s.get("Version"), s.get("BaseScore"), s.get("BaseVector")))),
        epss: epss.filter(|p| (0.0..=1.0).contains(p)),
        vendor_risk: super::number(product("aws/inspector/inspectorScore")).filter(|score| *score > 0.0),
        exploit_available: exploits.iter().max().copied(),
        first_found: super::time(get("FirstObservedAt")).or_else(|| super::time(get("CreatedAt"))),
        last_found,
        fixed_at: (state == FindingState::Fixed).then_some(said_at),
        reopened_at: None,
        port: None,
        protocol: None,
        service: None,
        evidence: super::evidence(&packages),
    };
    let account = super::text(get("AwsAccountId"));
    let region = super::text(get("Region"));
    let said = Said { at: said_at, sent: sent.unwrap_or(said_at) };
    let resources = super::list(get("Resources"));
    if resources.is_empty() {
        return Err(format!("{id}: it names no resource"));
    }
    resources
        .iter()
        .map(|resource| {
            let resource = Resource::of_security_hub(resource, region.as_deref());
            let host = resource.host(account.as_deref(), last_found.or(Some(said_at)));
            let host = host.map_err(|problem| format!("{id}: {problem}"))?;
            let push = Push { host, finding: template.clone(), said };
            Ok(Told { push, rule: rule.clone() })
        })
        .collect()
}

/// Where it stands, with the words that say so. For Inspector's findings the word is Inspector's own.
fn state(finding: &Value, compliance: &str) -> (FindingState, String) {
    let inspector = finding.get("ProductFields").and_then(|fields| fields.get("aws/inspector/FindingStatus"));
    let record = super::text(finding.get("RecordState")).unwrap_or_default();
    let workflow = super::text(finding.pointer("/Workflow/Status"))
        .or_else(|| super::text(finding.get("WorkflowState")))
        .unwrap_or_default();
    let word = super::text(inspector).unwrap_or_else(|| record.clone());
    let state =
        if record == "ARCHIVED" || word == "CLOSED" || workflow == "RESOLVED" || compliance == "PASSED" {
            FindingState::Fixed
        } else if workflow == "SUPPRESSED" || word == "SUPPRESSED" {
            FindingState::Suppressed
        } else {
            FindingState::Open
        };
    let mut words = vec![word];
    if record == "ARCHIVED" && words[0] != record {
        words.push(record);
    }
    if matches!(workflow.as_str(), "RESOLVED" | "SUPPRESSED") {
        words.push(workflow);
    }
    if !compliance.is_empty() {
        words.push(compliance.to_owned());
    }
    (state, words.join(" "))
}

/// The label that belongs to a number of 0 to 100.
fn normalized(finding: &Value) -> Option<String> {
    let number = super::number(finding.pointer("/Severity/Normalized"))?;
    let label = match number {
        n if n < 1.0 => "INFORMATIONAL",
        n if n < 40.0 => "LOW",
        n if n < 70.0 => "MEDIUM",
        n if n < 90.0 => "HIGH",
        _ => "CRITICAL",
    };
    Some(label.to_owned())
}

/// The vulnerability's id where there is one; else what found it. Inspector names itself there, so that its title has
/// to tell.
fn rule_id(finding: &Value, vulnerabilities: &[Value], title: &str) -> String {
    let one = if let [one] = vulnerabilities { super::text(one.get("Id")) } else { None };
    one.or_else(|| super::text(finding.get("GeneratorId")).filter(|generator| generator != INSPECTOR))
        .unwrap_or_else(|| title.to_owned())
}

fn cves(vulnerability: &Value) -> Vec<domain::CveId> {
    let id = super::text(vulnerability.get("Id")).unwrap_or_default();
    super::cves(&id, super::list(vulnerability.get("RelatedVulnerabilities")).iter())
}

fn packages(vulnerability: &Value) -> Vec<Package> {
    let each = super::list(vulnerability.get("VulnerablePackages")).iter();
    each.map(|package| {
        let get = |name: &str| super::text(package.get(name));
        Package {
            name: get("Name").unwrap_or_default(),
            version: get("Version").unwrap_or_default(),
            release: get("Release"),
            path: get("FilePath"),
            fixed_in: get("FixedInVersion"),
            remedy: get("Remediation"),
        }
    })
    .collect()
}
