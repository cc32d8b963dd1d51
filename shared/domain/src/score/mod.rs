//! The score: how urgent one vulnerability on one asset is, 0 to 1000, as a sum that can be read.
//!
//! Each factor is an integer from 0 to 1000, weighted and rounded down to points:
//!
//! | factor | from | when unknown |
//! | --- | --- | --- |
//! | severity | CVSS x 100, or 60 % of it and 200 each for automatable and total impact (SSVC) | severity label: 950, 800, 550, 200, 0; else 500 |
//! | exploit | the best of KEV 1000, Metasploit 900 (below rank Good 800), Exploit-DB 700 verified or 600, nuclei 500, public proof of concept 50 | 0 |
//! | EPSS | half rank (nines of the percentile, three are everything), half probability | 0 |
//! | threat | threat intelligence: trust x level x decay, the highest of the sources | 0 |
//! | criticality | 1 to 5 as 200 to 1000 | 500 |
//! | exposure | internet 1000, partner 600, internal 300, isolated 50 | 500 |
//!
//! *Convergence* gives up to its weight when active exploitation (KEV, or confirmed by threat intelligence), EPSS,
//! criticality and exposure come together. *Active exploitation* then closes a share of the distance to 1000: 750
//! per mille for KEV with ransomware, 700 for KEV, 600 when threat intelligence confirms it. A plain floor of 700
//! would tie all KEV entries; the share keeps their order.
//!
//! A public proof of concept counts next to nothing on purpose: measured against later KEV listings, more credit
//! for it halves what a fixed effort covers. Unknown inputs are assumed inside their range and marked, never
//! renormalised, so that learning the worst never lowers the score and learning the best never raises it.

pub mod backtest;
mod combine;
mod config;
mod explain;
mod factors;
#[cfg(test)]
mod tests;
mod what_if;

pub use combine::{Highest, Origins};
pub use config::{Band, Bands, ScoreConfig, ScoreConfigError, Weights};
pub use explain::{Explained, Factor, explain};
pub use factors::{Criticality, Cvss, Exposure, FactorError, Factors, Input, Share};
pub use what_if::{WhatIf, what_if};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::vulnerability::Severity;

/// Version of the formula. Scores of different versions are not compared.
pub const SCORE_VERSION: u16 = 1;

/// The highest score of a finding without a CVE: below everything that is known to be exploited.
pub const CAP_WITHOUT_CVE: u16 = 690;

/// A move of fewer points within the band is not worth a write.
pub const REWRITE_POINTS: u16 = 10;

/// Points by origin; they add up to the score exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contributions {
    /// Severity of the weakness itself.
    pub severity: u16,
    /// Exploit availability.
    pub exploit: u16,
    /// Likelihood by EPSS.
    pub epss: u16,
    /// Threat intelligence.
    pub threat: u16,
    /// Criticality of the asset.
    pub criticality: u16,
    /// Network exposure of the asset.
    pub exposure: u16,
    /// Several of them together.
    pub convergence: u16,
    /// Confirmed exploitation.
    pub active_exploitation: u16,
}

impl Contributions {
    /// The sum of all.
    pub const fn sum(&self) -> u16 {
        self.base() + self.active_exploitation
    }

    const fn base(&self) -> u16 {
        self.severity
            + self.exploit
            + self.epss
            + self.threat
            + self.criticality
            + self.exposure
            + self.convergence
    }
}

/// A score with what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// 0 to 1000.
    pub value: u16,
    /// Its band.
    pub band: Band,
    /// Its parts.
    pub contributions: Contributions,
    /// The inputs that were unknown.
    pub assumed: Vec<Input>,
}

/// Scores what is known.
pub fn score(factors: &Factors, config: &ScoreConfig) -> Score {
    let contributions = if factors.is_cve() {
        contributions(factors, &config.weights)
    } else {
        contributions_without_cve(factors, &config.weights)
    };
    let value = contributions.sum();
    Score { value, band: config.band(value), contributions, assumed: factors.unknown() }
}

/// Whether a new score is worth a write: another band, or at least [`REWRITE_POINTS`] away. EPSS moves a little
/// every day.
pub fn rewrite_needed(old: (u16, Band), new: (u16, Band)) -> bool {
    old.1 != new.1 || old.0.abs_diff(new.0) >= REWRITE_POINTS
}

/// A digest of everything the score depends on, the version of the formula among it. Equal digest, equal score.
pub fn inputs_digest(factors: &Factors, config: &ScoreConfig) -> u64 {
    // Each input is one word, 0 for unknown, in this order; a new input goes to the end.
    fn word<T: Into<u32>>(value: Option<T>) -> u32 {
        value.map_or(0, |value| value.into() + 1)
    }
    let f = factors;
    let inputs = [
        u32::from(SCORE_VERSION),
        word(f.cvss.map(Cvss::tenths)),
        word(f.severity.map(|severity| severity as u8)),
        word(f.automatable),
        word(f.total_impact),
        word(f.kev),
        word(f.ransomware),
        word(f.metasploit),
        word(f.metasploit_good_rank),
        word(f.exploitdb),
        word(f.exploitdb_verified),
        word(f.nuclei),
        word(f.poc),
        word(f.epss.map(Share::billionths)),
        word(f.percentile.map(Share::billionths)),
        word(f.threat.map(Share::billionths)),
        word(f.threat_confirmed),
        word(f.criticality.map(Criticality::level)),
        word(f.exposure.map(|exposure| exposure as u8)),
        word(f.has_cve),
    ];
    let Bands { critical, high, medium } = config.bands;
    let settings = config.weights.all().into_iter().chain([critical, high, medium]).map(u32::from);
    let bytes: Vec<u8> = inputs.into_iter().chain(settings).flat_map(u32::to_le_bytes).collect();
    xxh3_64(&bytes)
}

/// One input line of the command `score`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ScoreLine {
    /// Given back as it is.
    pub id: serde_json::Value,
    /// What is known; fields that are absent are unknown.
    #[serde(flatten)]
    pub factors: Factors,
}

/// One output line of the command `score`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreAnswer {
    /// As in the input.
    pub id: serde_json::Value,
    /// 0 to 1000.
    pub score: u16,
    /// Its band.
    pub band: Band,
    /// Its parts.
    pub contributions: Contributions,
    /// The inputs that were unknown.
    pub assumed: Vec<Input>,
}

impl ScoreLine {
    /// Scores the line.
    pub fn answer(self, config: &ScoreConfig) -> ScoreAnswer {
        let Score { value, band, contributions, assumed } = score(&self.factors, config);
        ScoreAnswer { id: self.id, score: value, band, contributions, assumed }
    }
}

fn contributions(factors: &Factors, weights: &Weights) -> Contributions {
    let mut parts = Contributions {
        severity: points(severity(factors), weights.severity),
        exploit: points(exploit(factors), weights.exploit),
        epss: points(epss(factors), weights.epss),
        threat: points(threat(factors), weights.threat),
        criticality: points(criticality(factors), weights.criticality),
        exposure: points(exposure(factors), weights.exposure),
        convergence: convergence_points(factors, weights.convergence),
        active_exploitation: 0,
    };
    parts.active_exploitation = points(uplift(factors), 1000 - parts.base());
    parts
}

/// Only severity, criticality and exposure apply. Their points are stretched to the whole scale, capped, and shared
/// out again in proportion, so that they still add up.
fn contributions_without_cve(factors: &Factors, weights: &Weights) -> Contributions {
    let severity = u32::from(points(severity(factors), weights.severity));
    let criticality = u32::from(points(criticality(factors), weights.criticality));
    let exposure = u32::from(points(exposure(factors), weights.exposure));
    let (sum, reachable) = (severity + criticality + exposure, weights.without_cve());
    if sum == 0 {
        return Contributions::default();
    }
    let value = (sum * 1000 / reachable).min(u32::from(CAP_WITHOUT_CVE));
    let up_to = |part: u32| (value * part / sum) as u16;
    let (first, second) = (up_to(severity), up_to(severity + criticality));
    Contributions {
        severity: first,
        criticality: second - first,
        exposure: value as u16 - second,
        ..Contributions::default()
    }
}

fn points(factor: u16, weight: u16) -> u16 {
    (u32::from(factor) * u32::from(weight) / 1000) as u16
}

/// CVSS and SSVC. An SSVC point that is unknown takes its share of the CVSS instead, so that without both the factor
/// is CVSS alone, and with one unknown it stays between the two answers.
fn severity(factors: &Factors) -> u16 {
    let tenths = u16::from(assumed_cvss(factors).tenths());
    let ssvc = |known: Option<bool>| known.map_or(2 * tenths, |yes| if yes { 200 } else { 0 });
    6 * tenths + ssvc(factors.automatable) + ssvc(factors.total_impact)
}

fn assumed_cvss(factors: &Factors) -> Cvss {
    let by_label = match factors.severity {
        Some(Severity::Critical) => 95,
        Some(Severity::High) => 80,
        Some(Severity::Medium) => 55,
        Some(Severity::Low) => 20,
        Some(Severity::Info) => 0,
        None => 50,
    };
    factors.cvss.or(Cvss::from_tenths(by_label)).unwrap_or(Cvss::MAX)
}

fn exploit(factors: &Factors) -> u16 {
    let yes = |flag: Option<bool>| flag == Some(true);
    let metasploit = if factors.metasploit_good_rank == Some(false) { 800 } else { 900 };
    let exploitdb = if yes(factors.exploitdb_verified) { 700 } else { 600 };
    [
        (yes(factors.kev), 1000),
        (yes(factors.metasploit), metasploit),
        (yes(factors.exploitdb), exploitdb),
        (yes(factors.nuclei), 500),
        (yes(factors.poc), 50),
    ]
    .into_iter()
    .filter_map(|(applies, value)| applies.then_some(value))
    .max()
    .unwrap_or(0)
}

fn epss(factors: &Factors) -> u16 {
    epss_factor(factors.epss, factors.percentile)
}

/// The EPSS factor, 0 to 1000: half nines of the percentile, half probability; rounded down once, at the end.
pub fn epss_factor(probability: Option<Share>, percentile: Option<Share>) -> u16 {
    let nines = percentile.map_or(0, Share::nines_micro);
    let probability = probability.map_or(0, Share::billionths); // a billionth is a millionth of 1/1000
    ((u64::from(nines) + u64::from(probability)) / 2_000_000) as u16
}

fn threat(factors: &Factors) -> u16 {
    factors.threat.map_or(0, Share::per_mille)
}

fn criticality(factors: &Factors) -> u16 {
    factors.criticality.map_or(500, |criticality| u16::from(criticality.level()) * 200)
}

fn exposure(factors: &Factors) -> u16 {
    match factors.exposure {
        Some(Exposure::Internet) => 1000,
        Some(Exposure::Partner) => 600,
        Some(Exposure::Internal) => 300,
        Some(Exposure::Isolated) => 50,
        None => 500,
    }
}

fn is_active(factors: &Factors) -> bool {
    factors.kev == Some(true) || factors.threat_confirmed == Some(true)
}

fn convergence_points(factors: &Factors, weight: u16) -> u16 {
    if !is_active(factors) {
        return 0;
    }
    let product = [weight, epss(factors), criticality(factors), exposure(factors)].map(u64::from);
    (product.into_iter().product::<u64>() / 1_000_000_000) as u16
}

/// Which share of the distance to 1000 confirmed exploitation closes, per mille.
fn uplift(factors: &Factors) -> u16 {
    match (factors.kev, factors.ransomware, factors.threat_confirmed) {
        (Some(true), Some(true), _) => 750,
        (Some(true), ..) => 700,
        (_, _, Some(true)) => 600,
        _ => 0,
    }
}
