//! One vulnerability with its reasons and its history.

use std::collections::{BTreeMap, BTreeSet};

use domain::finding::Cvss;
use domain::intel::Feed;
use domain::score::{Explained, WhatIf, explain, what_if};
use domain::sla::{self, Crossing, Event, Source, State, Step};
use domain::vulnerability::{Closing, Decision, Effect, Exposure, FindingRef};
use domain::{
    AssetId, ConnectorName, CveId, Finding, Intel, Rule, RuleId, Scanner, Severity, VulnId, Vulnerability,
};
use jiff::Timestamp;
use serde::Serialize;

use super::assets::joins;
use super::origins::{Known, Origin};
use super::rows::points_of;
use super::{JoinRow, VulnerabilityRow, row};
use crate::Dashboard;
use crate::problem::Problem;

/// Findings, rules and CVEs that are read for one page.
const FINDINGS: usize = 10;
const RULES: usize = 6;
const CVES: usize = 8;

/// One vulnerability.
#[derive(Debug, Clone, Serialize)]
pub struct VulnerabilityDetail {
    /// When it was read.
    pub at: Timestamp,
    /// The line that stands for it in lists.
    #[serde(flatten)]
    pub row: VulnerabilityRow,
    /// The asset it is on.
    pub on: AssetBrief,
    /// Why it has its score.
    pub scoring: ScoreDetail,
    /// Why it has its deadline.
    pub deadline: DeadlineDetail,
    /// What happened to it.
    pub events: Vec<Event>,
    /// Since when it is known here. Crossings before that were not announced.
    pub known_since: Timestamp,
    /// What a person decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What is wanted outside and not confirmed yet.
    pub pending: Vec<PendingEffect>,
    /// What the scanners say; `findings` is how many there are in all.
    pub statements: Vec<FindingDetail>,
    /// The rules behind that, with what to do.
    pub rules: Vec<RuleDetail>,
    /// What the world knows of its CVEs.
    pub intel: Vec<CveDetail>,
    /// Vulnerabilities that were merged into it.
    pub merged: Vec<VulnId>,
}

/// The asset, and why its sightings are one machine.
#[derive(Debug, Clone, Serialize)]
pub struct AssetBrief {
    /// Its id.
    pub id: AssetId,
    /// What people call it.
    pub name: String,
    /// The team that owns it.
    pub owner: String,
    /// The service it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<u8>,
    /// Who can reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// Why each sighting belongs to it.
    pub sightings: Vec<JoinRow>,
}

/// Why a vulnerability has its score.
#[derive(Debug, Clone, Serialize)]
pub struct ScoreDetail {
    /// The eight parts; their points add up to the score.
    pub parts: Vec<PartDetail>,
    /// What would change the score, and to what.
    pub what_if: Vec<WhatIf>,
    /// Version of the policies under which it was decided.
    pub policy_version: u64,
    /// The current version.
    pub current_version: u64,
    /// The score under the current version, where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_score: Option<u16>,
    /// The CVE that gave most of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leading_cve: Option<CveId>,
    /// Version of the EPSS model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epss_model: Option<String>,
}

/// A part of the score.
#[derive(Debug, Clone, Serialize)]
pub struct PartDetail {
    /// The part.
    #[serde(flatten)]
    pub explained: Explained,
    /// Who says what it was computed from.
    pub origins: Vec<Origin>,
}

/// Why a vulnerability has its deadline.
#[derive(Debug, Clone, Serialize)]
pub struct DeadlineDetail {
    /// How it stands.
    pub state: State,
    /// The deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The rule it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Seconds left where the clock stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<i64>,
    /// The steps.
    pub arithmetic: Vec<Step>,
    /// When somebody hears of it, in the past and in the future.
    pub crossings: Vec<Crossing>,
}

/// Something wanted outside.
#[derive(Debug, Clone, Serialize)]
pub struct PendingEffect {
    /// Identity of the effect.
    pub key: String,
    /// What is wanted.
    #[serde(flatten)]
    pub effect: Effect,
    /// Since when.
    pub since: Timestamp,
}

/// What one scanner says.
#[derive(Debug, Clone, Serialize)]
pub struct FindingDetail {
    /// The configured account.
    pub connector: ConnectorName,
    /// The kind of scanner, where the account is still configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanner: Option<Scanner>,
    /// The scanner's own id of the host.
    pub host: String,
    /// The statement.
    #[serde(flatten)]
    pub finding: Finding,
    /// Evidence against it, and the run it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
}

/// A rule, with what to do.
#[derive(Debug, Clone, Serialize)]
pub struct RuleDetail {
    /// Whose rule it is.
    pub scanner: Scanner,
    /// The scanner's id.
    pub rule: RuleId,
    /// One line.
    pub title: String,
    /// Severity of the definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// CVSS of the definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    /// The vendor's own risk number, where the definition has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_risk: Option<f64>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The definition names an exploit, or malware that uses one.
    pub exploit_available: bool,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solution: Option<String>,
    /// CVEs it checks for.
    pub cves: Vec<CveId>,
}

impl From<Rule> for RuleDetail {
    fn from(rule: Rule) -> Self {
        Self {
            scanner: rule.scanner,
            rule: rule.id,
            title: rule.title,
            severity: rule.severity,
            cvss: rule.cvss,
            vendor_risk: rule.vendor_risk,
            exploit_available: rule.exploit_available == Some(true),
            description: rule.description,
            solution: rule.solution,
            cves: rule.cves,
        }
    }
}

/// What the world knows of one CVE.
#[derive(Debug, Clone, Serialize)]
pub struct CveDetail {
    /// The CVE.
    pub cve: CveId,
    /// What is known.
    #[serde(flatten)]
    pub known: Intel,
}

impl Dashboard {
    pub(crate) async fn vulnerability(&self, asset: &str, id: &str) -> Result<VulnerabilityDetail, Problem> {
        let asset: AssetId = asset.parse().map_err(|_| Problem::NotFound)?;
        let id: VulnId = id.parse().map_err(|_| Problem::NotFound)?;
        let v = self.store.vulnerability(&asset, &id).await?.ok_or(Problem::NotFound)?.value;
        let on = self.store.resolved_asset(&v.asset).await?.ok_or(Problem::NotFound)?.value;
        let epss = async { Ok::<_, Problem>(self.store.feed_head(Feed::Epss).await?.0) };
        let (statements, rules, intel, epss) =
            tokio::try_join!(self.statements(&v), self.rules_of(&v), self.intel_of(&v), epss)?;
        let scoring = self.scoring(&Known {
            vulnerability: &v,
            on: &on,
            statements: &statements,
            rules: &rules,
            intel: &intel,
            config: &self.config,
            epss_as_of: epss.as_of,
        });
        let now = self.now();
        let policies = &self.config.policies;
        let name = on.host.display_name().to_owned();
        Ok(VulnerabilityDetail {
            at: now,
            row: row(&v, &name, &on.owner, policies, now),
            scoring,
            deadline: self.deadline(&v, now),
            on: AssetBrief {
                sightings: joins(&on),
                id: on.id,
                name,
                owner: on.owner,
                service: on.service,
                criticality: on.criticality,
                exposure: on.exposure,
            },
            events: v.events,
            known_since: v.known_since,
            decision: v.decision,
            pending: v
                .intents
                .into_values()
                .map(|intent| PendingEffect { key: intent.key, effect: intent.effect, since: intent.since })
                .collect(),
            statements,
            rules,
            intel,
            merged: v.aliases,
        })
    }

    /// The parts as they were given. Under another version of the policies the words are the same, the points may not be.
    fn scoring(&self, known: &Known<'_>) -> ScoreDetail {
        let (v, config) = (known.vulnerability, &self.config.policies.score);
        let parts = explain(&v.factors, config);
        let current: u16 = parts.iter().map(|part| part.points).sum();
        let part = |part: Explained| PartDetail {
            origins: if part.applicable { known.origins(part.factor) } else { Vec::new() },
            explained: Explained { points: points_of(v, part.factor), ..part },
        };
        ScoreDetail {
            parts: parts.into_iter().map(part).collect(),
            what_if: what_if(&v.factors, config),
            policy_version: v.policy_version,
            current_version: self.version,
            current_score: (current != v.score.value).then_some(current),
            leading_cve: v.leading_cve.clone(),
            epss_model: v.epss_model.clone(),
        }
    }

    fn deadline(&self, v: &Vulnerability, now: Timestamp) -> DeadlineDetail {
        let policy = &self.config.policies.sla;
        let deadline = sla::sla(&v.events, policy);
        DeadlineDetail {
            state: deadline.state(now),
            due: deadline.due,
            source: deadline.source,
            seconds_left: deadline.time_left.map(|left| left.as_secs()),
            crossings: sla::crossings(&v.events, policy),
            arithmetic: deadline.arithmetic,
        }
    }

    async fn statements(&self, v: &Vulnerability) -> Result<Vec<FindingDetail>, Problem> {
        let read = v.findings.iter().take(FINDINGS).map(|reference| async move {
            let statement = self.store.statement(&reference.sighting, &reference.finding).await?;
            Ok::<_, Problem>(statement.map(|statement| FindingDetail {
                connector: reference.sighting.connector.clone(),
                scanner: self.scanner_of(reference),
                host: reference.sighting.native.clone(),
                finding: statement.finding,
                closing: statement.closing,
            }))
        });
        Ok(futures::future::try_join_all(read).await?.into_iter().flatten().collect())
    }

    async fn rules_of(&self, v: &Vulnerability) -> Result<Vec<RuleDetail>, Problem> {
        let wanted: BTreeSet<(Scanner, RuleId)> = v
            .findings
            .iter()
            .flat_map(|reference| {
                // An account that is no longer configured: any of the scanners that see it may be meant.
                let scanners = self.scanner_of(reference).map_or_else(|| v.scanners.clone(), |one| vec![one]);
                scanners.into_iter().map(|scanner| (scanner, reference.rule.clone()))
            })
            .take(RULES)
            .collect();
        Ok(self.store.rules(&wanted).await?.into_values().map(RuleDetail::from).collect())
    }

    async fn intel_of(&self, v: &Vulnerability) -> Result<Vec<CveDetail>, Problem> {
        let wanted: BTreeSet<CveId> = v.leading_cve.iter().chain(&v.cves).take(CVES).cloned().collect();
        let mut known: BTreeMap<CveId, Intel> = self.store.intel(&wanted).await?;
        let detail = |cve: CveId| CveDetail { known: known.remove(&cve).unwrap_or_default(), cve };
        Ok(wanted.into_iter().map(detail).collect())
    }

    fn scanner_of(&self, reference: &FindingRef) -> Option<Scanner> {
        self.config.connector(&reference.sighting.connector).map(|connector| connector.scanner)
    }
}
