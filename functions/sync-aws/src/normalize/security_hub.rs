//! A finding in the AWS Security Finding Format.

use std::collections::BTreeSet;

use domain::{CveId, Finding, FindingKey, FindingKind, FindingState};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use store::Said;
use sync::lenient::Field;

use super::resource::Resource;
use super::wire::{Listed, Object};
use super::{Package, Score, Told, WirePackage};

/// The namespace of weaknesses. The others are of attacks, of effects and of behaviour: they are no vulnerabilities.
const WEAKNESSES: &str = "Software and Configuration Checks";
/// The generator that all findings of Inspector name.
const INSPECTOR: &str = "AWSInspector";

/// A finding, as far as it is looked at.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Record<'a> {
    #[serde(rename = "findingArn", deserialize_with = "super::given")]
    of_inspector: Option<IgnoredAny>,
    #[serde(deserialize_with = "super::given")]
    product_arn: Option<IgnoredAny>,
    #[serde(deserialize_with = "super::given")]
    schema_version: Option<IgnoredAny>,
    id: Field<'a>,
    updated_at: Field<'a>,
    created_at: Field<'a>,
    first_observed_at: Field<'a>,
    last_observed_at: Field<'a>,
    types: Listed<Field<'a>>,
    severity: Object<Severity<'a>>,
    title: Field<'a>,
    description: Field<'a>,
    generator_id: Field<'a>,
    aws_account_id: Field<'a>,
    region: Field<'a>,
    compliance: Object<Status<'a>>,
    workflow: Object<Status<'a>>,
    workflow_state: Field<'a>,
    record_state: Field<'a>,
    remediation: Object<Remediation<'a>>,
    product_fields: Object<ProductFields<'a>>,
    vulnerabilities: Listed<Object<Vulnerability<'a>>>,
    resources: Listed<Object<Resource<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct Severity<'a> {
    label: Field<'a>,
    normalized: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct Status<'a> {
    status: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct Remediation<'a> {
    recommendation: Object<Recommendation<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct Recommendation<'a> {
    text: Field<'a>,
    url: Field<'a>,
}

/// What Inspector says of its own.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ProductFields<'a> {
    #[serde(rename = "aws/inspector/FindingStatus")]
    status: Field<'a>,
    #[serde(rename = "aws/inspector/inspectorScore")]
    score: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct Vulnerability<'a> {
    id: Field<'a>,
    related_vulnerabilities: Listed<Field<'a>>,
    vulnerable_packages: Listed<Object<WirePackage<'a>>>,
    cvss: Listed<Object<Score<'a>>>,
    fix_available: Field<'a>,
    exploit_available: Field<'a>,
    epss_score: Field<'a>,
}

/// Reads one finding, once per resource that it names; none if it is no weakness, or if the check could not be made.
/// `sent` is the time of its event.
pub fn finding(finding: &Value, sent: Option<Timestamp>) -> Result<Vec<Told>, String> {
    let record = Record::deserialize(finding).map_err(|error| format!("it is no finding: {error}"))?;
    record.read(sent)
}

impl Record<'_> {
    /// Whether it is a finding in this format at all.
    pub(super) fn is_finding(&self) -> bool {
        self.of_inspector.is_none() && (self.product_arn.is_some() || self.schema_version.is_some())
    }

    /// See [`finding`].
    pub(super) fn read(self, sent: Option<Timestamp>) -> Result<Vec<Told>, String> {
        let id = super::text(&self.id).ok_or("a finding without its Id")?;
        let said_at = super::moment(&self.updated_at).ok_or_else(|| {
            format!("{id}: UpdatedAt is missing or not a time; without it nobody knows what is newer")
        })?;
        let compliance = super::text(&self.compliance.0.status).unwrap_or_default();
        if !self.is_weakness(&compliance) || compliance == "NOT_AVAILABLE" {
            return Ok(vec![]);
        }
        let vulnerabilities = &self.vulnerabilities.0;
        let last_found = super::moment(&self.last_observed_at);
        let (state, source_state) = self.state(compliance);
        let severity = &self.severity.0;
        let source_severity =
            super::text(&severity.label).or_else(|| severity.of_number()).unwrap_or_default();
        let title = super::text(&self.title).unwrap_or_else(|| id.clone());
        let packages: Vec<Package> =
            vulnerabilities.iter().flat_map(|v| &v.0.vulnerable_packages.0).map(Package::from).collect();

        let cves: BTreeSet<CveId> = vulnerabilities.iter().flat_map(|v| v.0.cves()).collect();
        let mut rule = super::rule(self.rule_id(&title), title, cves.into_iter().collect());
        rule.description = super::text(&self.description).map(super::cut);
        let advice = &self.remediation.0.recommendation.0;
        let advice = [&advice.text, &advice.url].into_iter().filter_map(super::text).collect::<Vec<_>>();
        rule.solution = super::solution((!advice.is_empty()).then(|| advice.join("\n")), &packages);
        rule.patchable = vulnerabilities.first().and_then(|v| super::yes(&v.0.fix_available));

        let epss = vulnerabilities.iter().filter_map(|v| v.0.epss_score.number()).reduce(f64::max);
        let template = Finding {
            key: FindingKey::new(id.as_str()),
            rule: rule.id.clone(),
            kind: FindingKind::Vulnerability,
            severity: super::severity(&source_severity),
            source_severity,
            state,
            source_state,
            cvss: super::best_cvss(vulnerabilities.iter().flat_map(|v| &v.0.cvss.0)),
            epss: epss.filter(|p| (0.0..=1.0).contains(p)),
            vendor_risk: self.product_fields.0.score.number().filter(|score| *score > 0.0),
            exploit_available: vulnerabilities
                .iter()
                .filter_map(|v| super::yes(&v.0.exploit_available))
                .max(),
            vendor_factors: std::collections::BTreeMap::new(),
            first_found: super::moment(&self.first_observed_at).or_else(|| super::moment(&self.created_at)),
            last_found,
            fixed_at: (state == FindingState::Fixed).then_some(said_at),
            reopened_at: None,
            port: None,
            protocol: None,
            service: None,
            evidence: super::evidence(&packages),
        };
        let account = super::text(&self.aws_account_id);
        let region = super::text(&self.region);
        let said = Said { at: said_at, sent: sent.unwrap_or(said_at) };
        let hosts = self.resources.0.into_iter().map(|Object(resource)| {
            resource.host(account.as_deref(), region.as_deref(), last_found.or(Some(said_at)))
        });
        super::on_each(hosts, &id, said, template, rule)
    }

    /// By its types; without types, by what it tells of.
    fn is_weakness(&self, compliance: &str) -> bool {
        let mut types = super::texts(&self.types).peekable();
        if types.peek().is_none() {
            return !self.vulnerabilities.0.is_empty() || !compliance.is_empty();
        }
        types.any(|of| of.starts_with(WEAKNESSES))
    }

    /// Where it stands, with the words that say so. For Inspector's findings the word is Inspector's own.
    fn state(&self, compliance: String) -> (FindingState, String) {
        let record = super::text(&self.record_state).unwrap_or_default();
        let workflow = super::text(&self.workflow.0.status)
            .or_else(|| super::text(&self.workflow_state))
            .unwrap_or_default();
        let word = super::text(&self.product_fields.0.status).unwrap_or_else(|| record.clone());
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
            words.push(compliance);
        }
        (state, words.join(" "))
    }

    /// The vulnerability's id where there is one; else what found it. Inspector names itself there, so that its title
    /// has to tell.
    fn rule_id(&self, title: &str) -> String {
        let one = if let [one] = &*self.vulnerabilities.0 { super::text(&one.0.id) } else { None };
        one.or_else(|| super::text(&self.generator_id).filter(|generator| generator != INSPECTOR))
            .unwrap_or_else(|| title.to_owned())
    }
}

impl Severity<'_> {
    /// The label that belongs to a number of 0 to 100.
    fn of_number(&self) -> Option<String> {
        let label = match self.normalized.number()? {
            n if n < 1.0 => "INFORMATIONAL",
            n if n < 40.0 => "LOW",
            n if n < 70.0 => "MEDIUM",
            n if n < 90.0 => "HIGH",
            _ => "CRITICAL",
        };
        Some(label.to_owned())
    }
}

impl Vulnerability<'_> {
    fn cves(&self) -> Vec<CveId> {
        super::cves(&super::text(&self.id).unwrap_or_default(), &self.related_vulnerabilities)
    }
}
