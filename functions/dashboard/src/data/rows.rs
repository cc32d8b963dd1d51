//! One line of a list of vulnerabilities.

use domain::policy::Policies;
use domain::score::{Band, Explained, Factor, explain};
use domain::sla::{State, sla};
use domain::vulnerability::TicketRef;
use domain::{AssetId, CveId, Scanner, Severity, Status, VulnId, Vulnerability};
use jiff::Timestamp;
use serde::Serialize;

/// Reasons shown in a line.
const REASONS: usize = 3;

/// One line of a list of vulnerabilities.
#[derive(Debug, Clone, Serialize)]
pub struct VulnerabilityRow {
    /// Its id.
    pub id: VulnId,
    /// The asset it is on.
    pub asset: AssetId,
    /// What people call the asset.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub asset_name: String,
    /// The team that owns the asset.
    pub owner: String,
    /// One line.
    pub title: String,
    /// Its CVEs.
    pub cves: Vec<CveId>,
    /// How bad it is by itself.
    pub severity: Severity,
    /// Where it stands.
    pub status: Status,
    /// How urgent it is, 0 to 1000.
    pub score: u16,
    /// The band of the score.
    pub band: Band,
    /// Until when it should be fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// How it stands against that.
    pub sla: State,
    /// Listed as exploited in the wild.
    pub exploited: bool,
    /// Who sees it.
    pub scanners: Vec<Scanner>,
    /// How many findings it was merged from.
    pub findings: usize,
    /// Its ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketRef>,
    /// Tickets of vulnerabilities that became part of this one; they are closed with the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_tickets: Vec<TicketRef>,
    /// What gives most of its score, most first.
    pub reasons: Vec<Reason>,
}

/// A part of a score in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which part.
    pub factor: Factor,
    /// Points it gave.
    pub points: u16,
    /// Why, for people.
    pub words: String,
}

/// The line for a vulnerability.
pub(crate) fn row(
    v: &Vulnerability,
    asset_name: &str,
    owner: &str,
    policies: &Policies,
    now: Timestamp,
) -> VulnerabilityRow {
    VulnerabilityRow {
        id: v.id.clone(),
        asset: v.asset.clone(),
        asset_name: asset_name.to_owned(),
        owner: owner.to_owned(),
        title: v.title.clone(),
        cves: v.cves.clone(),
        severity: v.severity,
        status: v.status,
        score: v.score.value,
        band: v.score.band,
        due: v.due,
        sla: sla(&v.events, &policies.sla).state(now),
        exploited: v.factors.kev == Some(true),
        scanners: v.scanners.clone(),
        findings: v.findings.len(),
        ticket: v.ticket.clone(),
        other_tickets: v.other_tickets.clone(),
        reasons: reasons(v, policies),
    }
}

fn reasons(v: &Vulnerability, policies: &Policies) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = explain(&v.factors, &policies.score)
        .into_iter()
        .map(|part| Reason { factor: part.factor, points: points_of(v, part.factor), words: words(v, &part) })
        .filter(|reason| reason.points > 0)
        .collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.points));
    reasons.truncate(REASONS);
    reasons
}

/// The points that were given when it was decided, which may have been under another version of the policies.
pub(crate) fn points_of(v: &Vulnerability, factor: Factor) -> u16 {
    let parts = &v.score.contributions;
    match factor {
        Factor::Severity => parts.severity,
        Factor::Exploit => parts.exploit,
        Factor::Epss => parts.epss,
        Factor::Threat => parts.threat,
        Factor::Criticality => parts.criticality,
        Factor::Exposure => parts.exposure,
        Factor::Convergence => parts.convergence,
        Factor::ActiveExploitation => parts.active_exploitation,
    }
}

fn words(v: &Vulnerability, part: &Explained) -> String {
    let first = part.raw.split(',').next().unwrap_or(&part.raw);
    let words = match part.factor {
        Factor::Severity => first.to_owned(),
        Factor::Exploit if v.factors.kev == Some(true) => "listed as known exploited".to_owned(),
        Factor::Exploit => format!("exploit code: {}", part.raw),
        Factor::Epss => match v.factors.epss {
            Some(share) => format!("EPSS {}", crate::words::percent(share.billionths())),
            None => "EPSS rank".to_owned(),
        },
        Factor::Threat => "threat intelligence".to_owned(),
        Factor::Criticality => match v.factors.criticality {
            Some(level) => format!("asset criticality {} of 5", level.level()),
            None => "asset criticality".to_owned(),
        },
        Factor::Exposure => match v.factors.exposure {
            Some(_) => format!("reachable: {}", part.raw),
            None => "reachability".to_owned(),
        },
        Factor::Convergence => "exploited, likely and reachable at once".to_owned(),
        Factor::ActiveExploitation => format!("confirmed exploitation: {}", part.raw),
    };
    // A severity counts as assumed as soon as one SSVC answer is missing, which is nearly always.
    let assumed = part.assumed && matches!(part.factor, Factor::Criticality | Factor::Exposure);
    if assumed { format!("{words} (assumed)") } else { words }
}
