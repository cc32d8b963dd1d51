//! Several CVEs on one vulnerability.

use serde::{Deserialize, Serialize};

use super::{Factors, epss, exploit, is_active, severity, threat, uplift};

/// The factors of several CVEs put together: the highest of each, and whose it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "L: Deserialize<'de>"))]
pub struct Highest<L> {
    /// The factors to score.
    #[serde(flatten)]
    pub factors: Factors,
    /// The CVE behind each of them.
    pub from: Origins<L>,
}

/// The CVE that gave each factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "L: Deserialize<'de>"))]
pub struct Origins<L> {
    /// CVSS and SSVC.
    pub severity: L,
    /// Metasploit, Exploit-DB, nuclei, proof of concept.
    pub exploit: L,
    /// EPSS probability and percentile, of the same CVE.
    pub epss: L,
    /// Threat intelligence.
    pub threat: L,
    /// KEV, ransomware, confirmed exploitation; `None` when no CVE is known to be exploited.
    #[serde(skip_serializing_if = "Option::is_none", default = "Option::default")]
    pub active_exploitation: Option<L>,
}

impl Factors {
    /// The highest of each factor over several CVEs; `None` without any.
    ///
    /// Inputs that make up one factor travel together: the EPSS probability of one CVE is not mixed with the
    /// percentile of another. The order of the CVEs does not matter; of equals, the label that sorts first is named.
    pub fn highest<'a, L: Ord + Clone>(
        cves: impl IntoIterator<Item = (L, &'a Factors)>,
    ) -> Option<Highest<L>> {
        let mut cves: Vec<(L, &Factors)> = cves.into_iter().collect();
        cves.sort();
        let all_without_cve = cves.iter().all(|(_, factors)| !factors.is_cve());
        // What cannot have a CVE has no say in what only a CVE can have.
        let applicable: Vec<_> =
            cves.iter().filter(|(_, factors)| all_without_cve || factors.is_cve()).cloned().collect();

        let (severity_of, by_severity) = top(&cves, severity)?;
        let (exploit_of, by_exploit) = top(&applicable, exploit_without_kev)?;
        let (epss_of, by_epss) = top(&applicable, epss)?;
        let (threat_of, by_threat) = top(&applicable, threat)?;
        let (active_of, by_active) = top(&applicable, uplift)?;

        let factors = Factors {
            cvss: by_severity.cvss,
            severity: by_severity.severity,
            automatable: by_severity.automatable,
            total_impact: by_severity.total_impact,
            kev: by_active.kev,
            ransomware: by_active.ransomware,
            metasploit: by_exploit.metasploit,
            metasploit_good_rank: by_exploit.metasploit_good_rank,
            exploitdb: by_exploit.exploitdb,
            exploitdb_verified: by_exploit.exploitdb_verified,
            nuclei: by_exploit.nuclei,
            poc: by_exploit.poc,
            epss: by_epss.epss,
            percentile: by_epss.percentile,
            threat: by_threat.threat,
            threat_confirmed: by_active.threat_confirmed,
            criticality: cves.iter().filter_map(|(_, factors)| factors.criticality).max(),
            exposure: cves.iter().filter_map(|(_, factors)| factors.exposure).max(),
            has_cve: if all_without_cve {
                Some(false)
            } else {
                applicable.iter().filter_map(|(_, factors)| factors.has_cve).max()
            },
        };
        let from = Origins {
            severity: severity_of,
            exploit: exploit_of,
            epss: epss_of,
            threat: threat_of,
            active_exploitation: is_active(by_active).then_some(active_of),
        };
        Some(Highest { factors, from })
    }
}

/// KEV is carried by the active exploitation; here it would hide which CVE has the exploit.
fn exploit_without_kev(factors: &Factors) -> u16 {
    exploit(&Factors { kev: None, ..factors.clone() })
}

/// The first of those with the highest value.
fn top<'a, L: Clone>(cves: &[(L, &'a Factors)], value: impl Fn(&Factors) -> u16) -> Option<(L, &'a Factors)> {
    cves.iter()
        .map(|(label, factors)| (value(factors), label, *factors))
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, label, factors)| (label.clone(), factors))
}
