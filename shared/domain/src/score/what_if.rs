//! What would change a score, and to what.

use serde::Serialize;

use super::{Criticality, Exposure, Factor, Factors, ScoreConfig, Share, score};

/// Something that may become known or be done, and the score after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WhatIf {
    /// The part that it changes first.
    pub factor: Factor,
    /// In words: "CISA lists it as exploited".
    pub change: &'static str,
    /// The score after it, all else as it is.
    pub score: u16,
}

type Change = (Factor, &'static str, fn(&mut Factors));

/// In the order of the parts.
const CHANGES: [Change; 10] = [
    (Factor::Severity, "an attacker can automate it and gains total control", |f| {
        (f.automatable, f.total_impact) = (Some(true), Some(true));
    }),
    (Factor::Severity, "it cannot be automated and gives partial control", |f| {
        (f.automatable, f.total_impact) = (Some(false), Some(false));
    }),
    (Factor::Exploit, "Metasploit has a module for it", |f| {
        (f.metasploit, f.metasploit_good_rank) = (Some(true), Some(true));
    }),
    (Factor::Epss, "EPSS says 50 %, in the highest per cent", |f| {
        (f.epss, f.percentile) = (Share::new(0.5), Share::new(0.99));
    }),
    (Factor::Criticality, "the asset has criticality 5", |f| f.criticality = Criticality::new(5)),
    (Factor::Criticality, "the asset has criticality 1", |f| f.criticality = Criticality::new(1)),
    (Factor::Exposure, "the asset is reachable from the internet", |f| f.exposure = Some(Exposure::Internet)),
    (Factor::Exposure, "the asset is isolated", |f| f.exposure = Some(Exposure::Isolated)),
    (Factor::ActiveExploitation, "CISA lists it as exploited", |f| f.kev = Some(true)),
    (Factor::ActiveExploitation, "CISA takes it off the list", |f| {
        (f.kev, f.ransomware) = (Some(false), Some(false));
    }),
];

/// What would change the score of these factors; what would not is left out.
pub fn what_if(factors: &Factors, config: &ScoreConfig) -> Vec<WhatIf> {
    let now = score(factors, config).value;
    let only_cve = |factor| {
        matches!(factor, Factor::Exploit | Factor::Epss | Factor::Threat | Factor::ActiveExploitation)
    };
    CHANGES
        .into_iter()
        .filter(|(factor, ..)| factors.is_cve() || !only_cve(*factor))
        .map(|(factor, change, apply)| {
            let mut changed = factors.clone();
            apply(&mut changed);
            WhatIf { factor, change, score: score(&changed, config).value }
        })
        .filter(|what_if| what_if.score != now)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_with_the_score_after_it_and_what_changes_nothing_is_not() {
        let config = ScoreConfig::default();
        let factors = Factors { kev: Some(false), exposure: Some(Exposure::Internet), ..Factors::default() };
        let all = what_if(&factors, &config);
        let words: Vec<&str> = all.iter().map(|what_if| what_if.change).collect();
        assert!(!words.contains(&"the asset is reachable from the internet"), "it is already");
        assert!(!words.contains(&"CISA takes it off the list"), "it is not on it");
        let listed = all.iter().find(|what_if| what_if.change == "CISA lists it as exploited").unwrap();
        assert_eq!(listed.score, score(&Factors { kev: Some(true), ..factors.clone() }, &config).value);
        let isolated = all.iter().find(|what_if| what_if.change == "the asset is isolated").unwrap();
        assert!(isolated.score < score(&factors, &config).value);
        let misconfiguration = Factors { has_cve: Some(false), ..factors };
        assert!(what_if(&misconfiguration, &config).iter().all(|what_if| what_if.factor != Factor::Exploit));
    }
}
