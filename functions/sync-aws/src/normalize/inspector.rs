//! A finding in the words of Amazon Inspector (version 2).

use domain::{Finding, FindingKey, FindingKind, FindingState};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use store::Said;
use sync::lenient::Field;

use super::resource::Resource;
use super::wire::{Listed, Object};
use super::{Package, Score, Told, WirePackage};

/// A finding, as far as it is looked at.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Record<'a> {
    #[serde(deserialize_with = "super::given")]
    finding_arn: Option<Field<'a>>,
    updated_at: Field<'a>,
    first_observed_at: Field<'a>,
    last_observed_at: Field<'a>,
    status: Field<'a>,
    severity: Field<'a>,
    title: Field<'a>,
    description: Field<'a>,
    aws_account_id: Field<'a>,
    inspector_score: Field<'a>,
    inspector_score_details: Object<ScoreDetails<'a>>,
    epss: Object<Epss<'a>>,
    exploit_available: Field<'a>,
    fix_available: Field<'a>,
    remediation: Object<Remediation<'a>>,
    package_vulnerability_details: Object<PackageDetails<'a>>,
    network_reachability_details: Object<NetworkDetails<'a>>,
    code_vulnerability_details: Object<CodeDetails<'a>>,
    resources: Listed<Object<Resource<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct ScoreDetails<'a> {
    adjusted_cvss: Object<Score<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Epss<'a> {
    score: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Remediation<'a> {
    recommendation: Object<Recommendation<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Recommendation<'a> {
    text: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct PackageDetails<'a> {
    vulnerability_id: Field<'a>,
    related_vulnerabilities: Listed<Field<'a>>,
    cvss: Listed<Object<Score<'a>>>,
    vulnerable_packages: Listed<Object<WirePackage<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct NetworkDetails<'a> {
    open_port_range: Object<Range<'a>>,
    protocol: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Range<'a> {
    begin: Field<'a>,
    end: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct CodeDetails<'a> {
    file_path: Object<Place<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Place<'a> {
    file_path: Field<'a>,
    file_name: Field<'a>,
    start_line: Field<'a>,
    end_line: Field<'a>,
}

/// Reads one finding, once per resource that it names. `sent` is the time of its event.
pub fn finding(finding: &Value, sent: Option<Timestamp>) -> Result<Vec<Told>, String> {
    let record = Record::deserialize(finding).map_err(|error| format!("it is no finding: {error}"))?;
    record.read(sent)
}

impl Record<'_> {
    /// Whether it is one of Inspector's findings at all.
    pub(super) fn is_finding(&self) -> bool {
        self.finding_arn.is_some()
    }

    /// See [`finding`].
    pub(super) fn read(self, sent: Option<Timestamp>) -> Result<Vec<Told>, String> {
        let arn =
            self.finding_arn.as_ref().and_then(super::text).ok_or("a finding without its findingArn")?;
        let said_at = super::moment(&self.updated_at).ok_or_else(|| {
            format!("{arn}: updatedAt is missing or not a time; without it nobody knows what is newer")
        })?;
        let last_found = super::moment(&self.last_observed_at);
        let source_state = super::text(&self.status).unwrap_or_default();
        let state = match source_state.to_ascii_uppercase().as_str() {
            "CLOSED" => FindingState::Fixed,
            "SUPPRESSED" => FindingState::Suppressed,
            _ => FindingState::Open,
        };
        let source_severity = super::text(&self.severity).unwrap_or_default();
        let title = super::text(&self.title).unwrap_or_else(|| arn.clone());
        let details = &self.package_vulnerability_details.0;
        let packages: Vec<Package> = details.vulnerable_packages.0.iter().map(Package::from).collect();
        let network = &self.network_reachability_details.0;
        let ports = &network.open_port_range.0;
        let port = super::whole(&ports.begin).filter(|begin| super::whole(&ports.end) == Some(*begin));
        let cvss = super::best_cvss(&details.cvss.0)
            .or_else(|| super::best_cvss([&self.inspector_score_details.0.adjusted_cvss]));

        // What is no package's weakness has no id of its own; its title tells what it is, on whatever resource.
        let id = super::text(&details.vulnerability_id).unwrap_or_else(|| title.clone());
        let cves = super::cves(&id, &details.related_vulnerabilities);
        let mut rule = super::rule(id, title, cves);
        rule.description = super::text(&self.description).map(super::cut);
        rule.solution = super::solution(super::text(&self.remediation.0.recommendation.0.text), &packages);
        rule.patchable = super::yes(&self.fix_available);

        let template = Finding {
            key: FindingKey::new(arn.as_str()),
            rule: rule.id.clone(),
            kind: FindingKind::Vulnerability,
            severity: super::severity(&source_severity),
            source_severity,
            state,
            source_state,
            cvss,
            epss: self.epss.0.score.number().filter(|p| (0.0..=1.0).contains(p)),
            vendor_risk: self.inspector_score.number().filter(|score| *score > 0.0),
            exploit_available: super::yes(&self.exploit_available),
            vendor_factors: std::collections::BTreeMap::new(),
            first_found: super::moment(&self.first_observed_at),
            last_found,
            fixed_at: (state == FindingState::Fixed).then_some(said_at),
            reopened_at: None,
            port: port.and_then(|port| u16::try_from(port).ok()),
            protocol: super::text(&network.protocol).map(|p| p.to_lowercase()),
            service: None,
            evidence: super::evidence(&packages)
                .or_else(|| self.code_vulnerability_details.0.file_path.0.line()),
        };
        let account = super::text(&self.aws_account_id);
        let said = Said { at: said_at, sent: sent.unwrap_or(said_at) };
        let hosts =
            self.resources.0.into_iter().map(|Object(resource)| {
                resource.host(account.as_deref(), None, last_found.or(Some(said_at)))
            });
        super::on_each(hosts, &arn, said, template, rule)
    }
}

impl Place<'_> {
    /// Where a weakness of the code is.
    fn line(&self) -> Option<String> {
        let file = super::text(&self.file_path).or_else(|| super::text(&self.file_name))?;
        Some(match (super::whole(&self.start_line), super::whole(&self.end_line)) {
            (Some(start), Some(end)) if start != end => format!("{file}, lines {start} to {end}"),
            (Some(start), _) => format!("{file}, line {start}"),
            _ => file,
        })
    }
}
