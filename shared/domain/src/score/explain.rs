//! Why a score is what it is, factor by factor.

use serde::{Deserialize, Serialize};

use super::{Contributions, Exposure, Factors, Input, ScoreConfig, Share, score};
use super::{assumed_cvss, criticality, epss, exploit, exposure, is_active, severity, threat, uplift};
use crate::vulnerability::Severity;

/// The eight parts of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the fields of `Contributions` document them
pub enum Factor {
    Severity,
    Exploit,
    Epss,
    Threat,
    Criticality,
    Exposure,
    Convergence,
    ActiveExploitation,
}

/// One part of a score: `points` is `normalised` x `weight` / 1000, rounded down. A finding without a CVE shares out
/// its capped sum, so that its points can lie below that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Which part.
    pub factor: Factor,
    /// What it was computed from, in words.
    pub raw: String,
    /// 0 to 1000.
    pub normalised: u16,
    /// Points it can give; for active exploitation, the distance from the other points to 1000.
    pub weight: u16,
    /// Points it gave.
    pub points: u16,
    /// An unknown input was assumed.
    pub assumed: bool,
    /// `false` where the factor says nothing: only a CVE can have an exploit record, EPSS and threat intelligence.
    pub applicable: bool,
}

/// Explains [`score`] of the same arguments: eight entries, whose points add up to it.
pub fn explain(factors: &Factors, config: &ScoreConfig) -> Vec<Explained> {
    let scored = score(factors, config);
    let (f, w, p) = (factors, &config.weights, &scored.contributions);
    let cve = f.is_cve();
    let unknown = |inputs: &[Input]| scored.assumed.iter().any(|input| inputs.contains(input));
    let reachable = w.without_cve().max(1);
    let weight =
        |weight: u16| if cve { weight } else { (u32::from(weight) * 1000 / reachable).min(1000) as u16 };
    let part = |factor, raw, normalised, weight, points, inputs: &[Input]| Explained {
        factor,
        raw,
        normalised,
        weight,
        points,
        assumed: unknown(inputs),
        applicable: true,
    };
    let cve_part = |factor, raw: String, normalised, weight, points, inputs: &[Input]| {
        if cve {
            return part(factor, raw, normalised, weight, points, inputs);
        }
        Explained { applicable: false, ..part(factor, "no CVE".to_owned(), 0, 0, 0, &[]) }
    };

    vec![
        part(
            Factor::Severity,
            severity_words(f),
            severity(f),
            weight(w.severity),
            p.severity,
            &[Input::Cvss, Input::Automatable, Input::TotalImpact],
        ),
        cve_part(
            Factor::Exploit,
            exploit_words(f),
            exploit(f),
            w.exploit,
            p.exploit,
            &[
                Input::Kev,
                Input::Metasploit,
                Input::MetasploitGoodRank,
                Input::Exploitdb,
                Input::ExploitdbVerified,
                Input::Nuclei,
                Input::Poc,
            ],
        ),
        cve_part(Factor::Epss, epss_words(f), epss(f), w.epss, p.epss, &[Input::Epss, Input::Percentile]),
        cve_part(Factor::Threat, share(f.threat), threat(f), w.threat, p.threat, &[Input::Threat]),
        part(
            Factor::Criticality,
            f.criticality.map_or("unknown".to_owned(), |criticality| format!("{} of 5", criticality.level())),
            criticality(f),
            weight(w.criticality),
            p.criticality,
            &[Input::Criticality],
        ),
        part(
            Factor::Exposure,
            exposure_word(f.exposure).to_owned(),
            exposure(f),
            weight(w.exposure),
            p.exposure,
            &[Input::Exposure],
        ),
        cve_part(
            Factor::Convergence,
            convergence_words(f),
            convergence(f),
            w.convergence,
            p.convergence,
            &[
                Input::Kev,
                Input::ThreatConfirmed,
                Input::Epss,
                Input::Percentile,
                Input::Criticality,
                Input::Exposure,
            ],
        ),
        cve_part(
            Factor::ActiveExploitation,
            active_words(f),
            uplift(f),
            1000 - others(p),
            p.active_exploitation,
            &[Input::Kev, Input::Ransomware, Input::ThreatConfirmed],
        ),
    ]
}

fn others(contributions: &Contributions) -> u16 {
    contributions.sum() - contributions.active_exploitation
}

/// The four conditions multiplied. Its points are computed from the product before this rounding.
fn convergence(factors: &Factors) -> u16 {
    if !is_active(factors) {
        return 0;
    }
    let product = [epss(factors), criticality(factors), exposure(factors)].map(u64::from);
    (product.into_iter().product::<u64>() / 1_000_000) as u16
}

fn yes_no(flag: Option<bool>) -> &'static str {
    match flag {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

fn share(share: Option<Share>) -> String {
    share.map_or("unknown".to_owned(), |share| format!("{}", f64::from(share.billionths()) / 1e9))
}

fn severity_words(factors: &Factors) -> String {
    let tenths = assumed_cvss(factors).tenths();
    let cvss = format!("{}.{}", tenths / 10, tenths % 10);
    let cvss = match (factors.cvss, factors.severity) {
        (Some(_), _) => format!("CVSS {cvss}"),
        (None, Some(label)) => format!("CVSS unknown, {cvss} by the label {}", Severity::as_str(label)),
        (None, None) => format!("CVSS unknown, {cvss} assumed"),
    };
    let (automatable, total) = (yes_no(factors.automatable), yes_no(factors.total_impact));
    format!("{cvss}, automatable {automatable}, total impact {total}")
}

fn exploit_words(factors: &Factors) -> String {
    let metasploit =
        if factors.metasploit_good_rank == Some(false) { "Metasploit below Good" } else { "Metasploit" };
    let exploitdb = if factors.exploitdb_verified == Some(true) {
        "Exploit-DB verified"
    } else {
        "Exploit-DB unverified"
    };
    let known: Vec<&str> = [
        (factors.kev, "KEV"),
        (factors.metasploit, metasploit),
        (factors.exploitdb, exploitdb),
        (factors.nuclei, "nuclei"),
        (factors.poc, "proof of concept"),
    ]
    .into_iter()
    .filter_map(|(flag, name)| (flag == Some(true)).then_some(name))
    .collect();
    if known.is_empty() { "none known".to_owned() } else { known.join(", ") }
}

fn epss_words(factors: &Factors) -> String {
    match (factors.epss, factors.percentile) {
        (None, None) => "pending".to_owned(),
        (epss, percentile) => format!("probability {}, percentile {}", share(epss), share(percentile)),
    }
}

fn exposure_word(exposure: Option<Exposure>) -> &'static str {
    match exposure {
        Some(Exposure::Internet) => "internet",
        Some(Exposure::Partner) => "partner",
        Some(Exposure::Internal) => "internal",
        Some(Exposure::Isolated) => "isolated",
        None => "unknown",
    }
}

fn convergence_words(factors: &Factors) -> String {
    if !is_active(factors) {
        return "no known exploitation".to_owned();
    }
    let (likely, matters, reached) = (epss(factors), criticality(factors), exposure(factors));
    format!("exploited x EPSS {likely} x criticality {matters} x exposure {reached}")
}

fn active_words(factors: &Factors) -> String {
    match uplift(factors) {
        750 => "KEV with ransomware",
        700 => "KEV",
        600 => "confirmed by threat intelligence",
        _ => "none known",
    }
    .to_owned()
}
