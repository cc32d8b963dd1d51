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

use std::borrow::Cow;

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
        let Meaning { state, word } = meaning(&self.status);
        match (state, word) {
            (FindingState::Fixed, Some(word)) => (state, word.to_owned()),
            (FindingState::Open, Some(word)) if !self.excepted => (state, word.to_owned()),
            (_, Some(word)) => (FindingState::Suppressed, format!("{word}{EXCEPTED}")),
            (_, None) if self.excepted => (FindingState::Suppressed, self.status.trim().to_owned()),
            (_, None) => (state, self.status.trim().to_owned()),
        }
    }

    /// Whether the result says nothing: the check did not run, or could not tell.
    pub fn says_nothing(&self) -> bool {
        says_nothing(&self.status)
    }
}

/// Whether by this word the weakness is there, excepted or not.
pub fn is_there(status: &str) -> bool {
    !says_nothing(status) && meaning(status).state != FindingState::Fixed
}

fn says_nothing(status: &str) -> bool {
    let status = status.trim();
    ["", "unknown", "no-results", "error", "skipped", "disabled"]
        .iter()
        .any(|word| status.eq_ignore_ascii_case(word))
}

/// What a word says by itself.
struct Meaning {
    state: FindingState,
    /// The API's word, without that of an exception.
    word: Option<&'static str>,
}

fn meaning(status: &str) -> Meaning {
    let mut word = Cow::Borrowed(status.trim());
    if word.bytes().any(|byte| byte.is_ascii_uppercase() || matches!(byte, b' ' | b'_')) {
        word = Cow::Owned(word.to_ascii_lowercase().replace([' ', '_'], "-"));
    }
    if let Some(word) = known(&word) {
        return Meaning { state: FindingState::Open, word: Some(word) };
    }
    let excepted = word.contains("exception");
    let bare = if excepted {
        word.trim_end_matches(EXCEPTED).trim_start_matches("exception-")
    } else {
        word.as_ref()
    };
    let gone = ["not-vulnerable", "invulnerable", "no-vulnerable"].into_iter().find(|gone| *gone == bare);
    match (gone, excepted) {
        (Some(gone), _) => Meaning { state: FindingState::Fixed, word: Some(gone) },
        (None, true) => Meaning { state: FindingState::Suppressed, word: known(bare) },
        (None, false) => Meaning { state: FindingState::Open, word: None },
    }
}

/// The API's word for a weakness that is there, whichever way it was written.
fn known(word: &str) -> Option<&'static str> {
    match word {
        "vulnerable" | "vulnerable-exploited" | "confirmed-vulnerability" => Some("vulnerable"),
        "vulnerable-version" => Some("vulnerable-version"),
        "vulnerable-potential" | "potential" | "potential-vulnerability" => Some("vulnerable-potential"),
        _ => None,
    }
}

/// The findings behind the instances of one asset. Several checks may see the same thing: the worst counts.
///
/// The severity of a finding is that of its definition; until that is known it is taken for medium.
pub fn findings(instances: impl IntoIterator<Item = Instance>) -> Vec<Finding> {
    let seen = instances.into_iter().filter(|instance| !instance.says_nothing()).map(Seen::from);
    let mut seen: Vec<Seen> = seen.collect();
    seen.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let mut findings = Vec::with_capacity(seen.len());
    let mut seen = seen.into_iter().peekable();
    while let Some(first) = seen.next() {
        let same = std::iter::from_fn(|| seen.next_if(|next| next.key == first.key));
        let others = same.filter(|next| next.state == first.state).map(|next| next.instance).collect();
        findings.push(first.finding(others));
    }
    findings
}

/// An instance with what it means.
struct Seen {
    key: FindingKey,
    state: FindingState,
    word: String,
    instance: Instance,
}

impl From<Instance> for Seen {
    fn from(instance: Instance) -> Self {
        let (state, word) = instance.state();
        Self { key: instance.finding_key(), state, word, instance }
    }
}

impl Seen {
    /// Of what is one finding, the worst comes first.
    fn rank(&self) -> impl Ord + '_ {
        let state = match self.state {
            FindingState::Open | FindingState::Reopened => 0,
            FindingState::Suppressed => 1,
            FindingState::Fixed => 2,
        };
        (&self.key, state, &self.word, &self.instance.evidence)
    }

    /// The finding, with what others saw of it in the same state.
    fn finding(self, others: Vec<Instance>) -> Finding {
        let Self { key, state, word: source_state, instance: mut first } = self;
        let all = || std::iter::once(&first).chain(&others);
        let earliest = all().filter_map(|i| i.first_found).min();
        let latest = all().filter_map(|i| i.last_found).max();
        let changed = all().filter_map(|i| i.changed_at).max();
        let reopened_at = all().filter_map(|i| i.reopened_at).max();
        let evidence = if others.is_empty() {
            first.evidence.take()
        } else {
            let mut evidence: Vec<&str> = all().filter_map(|i| i.evidence.as_deref()).collect();
            evidence.dedup();
            (!evidence.is_empty()).then(|| evidence.join("\n\n"))
        };
        Finding {
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
            vendor_factors: std::collections::BTreeMap::new(),
            first_found: earliest,
            last_found: latest,
            fixed_at: changed.filter(|_| state == FindingState::Fixed),
            reopened_at: reopened_at.filter(|at| earliest.is_some_and(|first| *at > first)),
            protocol: first.protocol.filter(|_| first.port.is_some()),
            port: first.port,
            service: None,
            evidence,
        }
    }
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
