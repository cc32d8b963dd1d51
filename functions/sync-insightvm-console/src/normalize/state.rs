//! What InsightVM's words for the result of a check mean, and what makes a finding one and the same.
//!
//! | ours | the API | the reporting data model | Nexpose XML |
//! | --- | --- | --- | --- |
//! | open | `vulnerable` | Vulnerable, Vulnerable Exploited | `vulnerable-exploited` |
//! | open | `vulnerable-version` | Vulnerable Version | `vulnerable-version` |
//! | open | `vulnerable-potential` | Potential | `vulnerable-potential`, `potential` |
//! | suppressed | `…-with-exception-applied` | a row of the excluded instances | `exception-…` |
//! | fixed | `not-vulnerable` | no row | `not-vulnerable` |
//!
//! The word is kept as the API writes it, whichever way it came: a finding reads the same in every one of them.

use std::collections::BTreeMap;

use domain::{Finding, FindingKey, FindingKind, FindingState, RuleId, Severity};
use jiff::Timestamp;

/// The result of one check, wherever it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Instance {
    /// InsightVM's id of the vulnerability.
    pub vulnerability: String,
    /// The word for its result.
    pub status: String,
    /// The reporting data model knows of an exception that applies.
    pub excepted: bool,
    /// Port of the service.
    pub port: Option<u16>,
    /// Protocol of the service.
    pub protocol: Option<String>,
    /// What tells it from others of the same vulnerability on the same service.
    pub key: Option<String>,
    /// What was seen, in plain words.
    pub evidence: Option<String>,
    /// First time it was seen.
    pub first_found: Option<Timestamp>,
    /// Last time.
    pub last_found: Option<Timestamp>,
    /// When it came back.
    pub reopened_at: Option<Timestamp>,
    /// When its status last changed.
    pub changed_at: Option<Timestamp>,
}

const EXCEPTED: &str = "-with-exception-applied";

impl Instance {
    /// Identity within the asset. The number of the check is no part of it: the reporting data model does not tell it,
    /// and both ways must lead to the same key.
    fn finding_key(&self) -> FindingKey {
        let port = self.port.unwrap_or_default();
        let protocol = self.protocol.as_deref().filter(|_| port > 0).unwrap_or_default();
        let key = self.key.as_deref().unwrap_or_default();
        FindingKey::new(format!("{}|{port}|{protocol}|{key}", self.vulnerability))
    }

    /// The state, and the word for it as the API writes it. An unknown word is seen, and kept.
    fn state(&self) -> (FindingState, String) {
        let word = self.status.trim().to_ascii_lowercase().replace([' ', '_'], "-");
        let excepted = self.excepted || word.contains("exception");
        let bare = word.trim_end_matches(EXCEPTED).trim_start_matches("exception-");
        let known = match bare {
            "vulnerable" | "vulnerable-exploited" | "confirmed-vulnerability" => Some("vulnerable"),
            "vulnerable-version" => Some("vulnerable-version"),
            "vulnerable-potential" | "potential" | "potential-vulnerability" => Some("vulnerable-potential"),
            _ => None,
        };
        match (known, bare) {
            (Some(word), _) if excepted => (FindingState::Suppressed, format!("{word}{EXCEPTED}")),
            (Some(word), _) => (FindingState::Open, word.to_owned()),
            (None, "not-vulnerable" | "invulnerable" | "no-vulnerable") => {
                (FindingState::Fixed, bare.to_owned())
            }
            (None, _) if excepted => (FindingState::Suppressed, self.status.trim().to_owned()),
            (None, _) => (FindingState::Open, self.status.trim().to_owned()),
        }
    }

    /// Whether the result says nothing: the check did not run, or could not tell.
    pub fn says_nothing(&self) -> bool {
        matches!(
            self.status.trim().to_ascii_lowercase().as_str(),
            "" | "unknown" | "no-results" | "error" | "skipped" | "disabled"
        )
    }
}

/// The findings behind the instances of one asset. Several checks may see the same thing: the worst counts.
///
/// The severity of a finding is that of its definition; until that is known it is taken for medium.
pub fn findings(instances: impl IntoIterator<Item = Instance>) -> Vec<Finding> {
    let mut groups: BTreeMap<FindingKey, Vec<(FindingState, String, Instance)>> = BTreeMap::new();
    for instance in instances.into_iter().filter(|instance| !instance.says_nothing()) {
        let (state, word) = instance.state();
        groups.entry(instance.finding_key()).or_default().push((state, word, instance));
    }
    groups.into_iter().filter_map(|(key, group)| finding(key, group)).collect()
}

fn finding(key: FindingKey, mut group: Vec<(FindingState, String, Instance)>) -> Option<Finding> {
    let rank = |state: FindingState| match state {
        FindingState::Open | FindingState::Reopened => 0,
        FindingState::Suppressed => 1,
        FindingState::Fixed => 2,
    };
    group.sort_by(|a, b| (rank(a.0), &a.1, &a.2.evidence).cmp(&(rank(b.0), &b.1, &b.2.evidence)));
    let (state, source_state) = group.first().map(|(state, word, _)| (*state, word.clone()))?;
    group.retain(|(other, ..)| *other == state);
    let mut evidence: Vec<&str> = group.iter().filter_map(|(.., i)| i.evidence.as_deref()).collect();
    evidence.dedup();
    let evidence = (!evidence.is_empty()).then(|| evidence.join("\n\n"));
    let earliest = group.iter().filter_map(|(.., i)| i.first_found).min();
    let latest = group.iter().filter_map(|(.., i)| i.last_found).max();
    let changed = group.iter().filter_map(|(.., i)| i.changed_at).max();
    let reopened_at = group.iter().filter_map(|(.., i)| i.reopened_at).max();
    let (.., first) = group.into_iter().next()?;
    Some(Finding {
        key,
        rule: RuleId::new(first.vulnerability),
        kind: FindingKind::Vulnerability,
        severity: Severity::Medium,
        source_severity: String::new(),
        state,
        source_state,
        cvss: None,
        epss: None,
        vendor_risk: None,
        exploit_available: None,
        first_found: earliest,
        last_found: latest,
        fixed_at: changed.filter(|_| state == FindingState::Fixed),
        reopened_at: reopened_at.filter(|at| earliest.is_some_and(|first| *at > first)),
        protocol: first.protocol.filter(|_| first.port.is_some()),
        port: first.port,
        service: None,
        evidence,
    })
}

/// A port that means one: absent, 0 and -1 stand for the host as a whole.
pub fn port(number: Option<f64>) -> Option<u16> {
    let number = number.filter(|number| number.fract() == 0.0 && (1.0..=65_535.0).contains(number))?;
    // The range check makes the cast exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(number as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(status: &str) -> Instance {
        Instance { vulnerability: "ssh-weak".into(), status: status.into(), ..Instance::default() }
    }

    fn one(instance: Instance) -> (FindingState, String) {
        let finding = findings([instance]).remove(0);
        (finding.state, finding.source_state)
    }

    #[test]
    fn every_word_has_its_state_and_reads_the_same_in_every_format() {
        for (words, state, source) in [
            (
                &["vulnerable", "Vulnerable", "Vulnerable Exploited", "vulnerable-exploited"][..],
                FindingState::Open,
                "vulnerable",
            ),
            (&["vulnerable-version", "Vulnerable Version"], FindingState::Open, "vulnerable-version"),
            (&["vulnerable-potential", "Potential", "potential"], FindingState::Open, "vulnerable-potential"),
            (
                &["vulnerable-with-exception-applied", "exception-vulnerable-exploited"],
                FindingState::Suppressed,
                "vulnerable-with-exception-applied",
            ),
            (
                &["vulnerable-version-with-exception-applied"],
                FindingState::Suppressed,
                "vulnerable-version-with-exception-applied",
            ),
            (
                &["vulnerable-potential-with-exception-applied"],
                FindingState::Suppressed,
                "vulnerable-potential-with-exception-applied",
            ),
            (&["not-vulnerable"], FindingState::Fixed, "not-vulnerable"),
            (&["vulnerable-somehow"], FindingState::Open, "vulnerable-somehow"),
        ] {
            for word in words {
                assert_eq!(one(instance(word)), (state, source.to_owned()), "{word}");
            }
        }
        let excepted = Instance { excepted: true, ..instance("Vulnerable Version") };
        assert_eq!(one(excepted).0, FindingState::Suppressed);
        for nothing in ["unknown", "no-results", "error", ""] {
            assert!(findings([instance(nothing)]).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn several_checks_that_see_the_same_are_one_finding() {
        let seen = Instance { evidence: Some("b".into()), ..instance("vulnerable-version") };
        let also = Instance { evidence: Some("a".into()), ..instance("vulnerable-version") };
        let not = Instance { evidence: Some("c".into()), ..instance("not-vulnerable") };
        let all = findings([not, seen.clone(), also, seen]);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].state, all[0].evidence.as_deref()), (FindingState::Open, Some("a\n\nb")));
    }

    #[test]
    fn a_finding_of_the_host_as_a_whole_has_one_key() {
        let key = |port: Option<f64>, protocol: Option<&str>| {
            let protocol = protocol.map(str::to_owned);
            findings([Instance { port: super::port(port), protocol, ..instance("vulnerable") }]).remove(0).key
        };
        assert_eq!(key(None, None), key(Some(-1.0), Some("tcp")));
        assert_eq!(key(None, None), key(Some(0.0), None));
        assert_ne!(key(Some(22.0), Some("tcp")), key(Some(22.0), Some("udp")));
        assert_eq!(key(Some(22.0), Some("tcp")).as_str(), "ssh-weak|22|tcp|");
    }
}
