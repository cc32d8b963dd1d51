//! A finding in the words of Amazon Inspector (version 2).

use domain::{Finding, FindingKey, FindingKind, FindingState};
use jiff::Timestamp;
use serde_json::Value;
use store::{Push, Said};

use super::resource::Resource;
use super::{Package, Told};

/// Reads one finding, once per resource that it names. `sent` is the time of its event.
pub fn finding(finding: &Value, sent: Option<Timestamp>) -> Result<Vec<Told>, String> {
    let get = |name: &str| finding.get(name);
    let arn = super::text(get("findingArn")).ok_or("a finding without its findingArn")?;
    let said_at = super::time(get("updatedAt")).ok_or_else(|| {
        format!("{arn}: updatedAt is missing or not a time; without it nobody knows what is newer")
    })?;
    let last_found = super::time(get("lastObservedAt"));
    let source_state = super::text(get("status")).unwrap_or_default();
    let state = match source_state.to_ascii_uppercase().as_str() {
        "CLOSED" => FindingState::Fixed,
        "SUPPRESSED" => FindingState::Suppressed,
        _ => FindingState::Open,
    };
    let source_severity = super::text(get("severity")).unwrap_or_default();
    let title = super::text(get("title")).unwrap_or_else(|| arn.clone());
    let details = finding.get("packageVulnerabilityDetails").unwrap_or(&Value::Null);
    let packages = packages(details);
    let ports = finding.pointer("/networkReachabilityDetails/openPortRange");
    let port = |end: &str| ports.and_then(|ports| ports.get(end)).and_then(Value::as_u64);
    let port =
        port("begin").filter(|begin| port("end") == Some(*begin)).and_then(|port| u16::try_from(port).ok());
    let scores = super::list(details.get("cvss"));
    let adjusted = finding.pointer("/inspectorScoreDetails/adjustedCvss");
    let cvss = super::best_cvss(
        scores.iter().map(|s| (s.get("version"), s.get("baseScore"), s.get("scoringVector"))),
    )
    .or_else(|| {
        super::best_cvss(adjusted.iter().map(|s| (s.get("version"), s.get("score"), s.get("scoringVector"))))
    });

    // What is no package's weakness has no id of its own; its title tells what it is, on whatever resource.
    let id = super::text(details.get("vulnerabilityId")).unwrap_or_else(|| title.clone());
    let cves = super::cves(&id, super::list(details.get("relatedVulnerabilities")).iter());
    let mut rule = super::rule(id, title, cves);
    rule.description = super::text(get("description")).map(super::cut);
    rule.solution =
        super::solution(super::text(finding.pointer("/remediation/recommendation/text")), &packages);
    rule.patchable = super::yes(get("fixAvailable"));

    let template = Finding {
        key: FindingKey::new(arn.as_str()),
        rule: rule.id.clone(),
        kind: FindingKind::Vulnerability,
        severity: super::severity(&source_severity),
        source_severity,
        state,
        source_state,
        cvss,
        epss: super::number(finding.pointer("/epss/score")).filter(|p| (0.0..=1.0).contains(p)),
        vendor_risk: super::number(get("inspectorScore")).filter(|score| *score > 0.0),
        exploit_available: super::yes(get("exploitAvailable")),
        first_found: super::time(get("firstObservedAt")),
        last_found,
        fixed_at: (state == FindingState::Fixed).then_some(said_at),
        reopened_at: None,
        port,
        protocol: super::text(finding.pointer("/networkReachabilityDetails/protocol"))
            .map(|p| p.to_lowercase()),
        service: None,
        evidence: super::evidence(&packages).or_else(|| code(finding)),
    };
    let account = super::text(get("awsAccountId"));
    let said = Said { at: said_at, sent: sent.unwrap_or(said_at) };
    let resources = super::list(get("resources"));
    if resources.is_empty() {
        return Err(format!("{arn}: it names no resource"));
    }
    resources
        .iter()
        .map(|resource| {
            let host =
                Resource::of_inspector(resource).host(account.as_deref(), last_found.or(Some(said_at)));
            let host = host.map_err(|problem| format!("{arn}: {problem}"))?;
            let push = Push { host, finding: template.clone(), said };
            Ok(Told { push, rule: rule.clone() })
        })
        .collect()
}

fn packages(details: &Value) -> Vec<Package> {
    let each = super::list(details.get("vulnerablePackages")).iter();
    each.map(|package| {
        let get = |name: &str| super::text(package.get(name));
        Package {
            name: get("name").unwrap_or_default(),
            version: get("version").unwrap_or_default(),
            release: get("release"),
            path: get("filePath"),
            fixed_in: get("fixedInVersion"),
            remedy: get("remediation"),
        }
    })
    .collect()
}

/// Where a weakness of the code is.
fn code(finding: &Value) -> Option<String> {
    let place = finding.pointer("/codeVulnerabilityDetails/filePath")?;
    let file = super::text(place.get("filePath")).or_else(|| super::text(place.get("fileName")))?;
    let line = |name: &str| place.get(name).and_then(Value::as_u64);
    Some(match (line("startLine"), line("endLine")) {
        (Some(start), Some(end)) if start != end => format!("{file}, lines {start} to {end}"),
        (Some(start), _) => format!("{file}, line {start}"),
        _ => file,
    })
}
