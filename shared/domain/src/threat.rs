//! Threat intelligence: what sources assert of a CVE, and the factor of the score that follows from it.
//!
//! The factor is the highest trust x level x decay of all that is asserted, per mille and rounded down. A source's own
//! total score is never used: it would count severity twice.
//!
//! | level | per mille | what it takes |
//! | --- | --- | --- |
//! | active | 1000 | the source asserts exploitation |
//! | anticipated | 600 | an exploit that works, a kit, or exploitation is expected |
//! | chatter | 100 | it is talked of; measured against later listings, more would halve what a fixed effort covers |
//!
//! What a source states of today (VulnCheck's list, Mandiant's "Confirmed") does not fade. Sightings do, with a
//! half-life of 180 days.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A sighting counts half after six steps.
const STEP: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What is left after 0 to 5 steps, per mille. Whole steps, so that scores do not move every day.
const LEFT: [u32; 6] = [1_000, 890, 793, 707, 629, 561];
/// A sighting confirms exploitation so long; afterwards it only counts what is left of it.
const CONFIRMS: SignedDuration = SignedDuration::from_hours(90 * 24);
/// A source that is trusted less confirms nothing, in per cent.
const TRUSTED: u8 = 50;
/// Characters of a source's words that are kept.
const WORDS: usize = 160;
/// Assertions of one source on one CVE that are kept.
const KEPT: usize = 4;

/// How far a source says that attackers have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The source has taken back what it said.
    Withdrawn,
    /// It is talked of.
    Chatter,
    /// There is an exploit that works, or exploitation is expected.
    Anticipated,
    /// Attackers use it.
    Active,
}

impl Level {
    /// What it counts, per mille.
    pub fn per_mille(self) -> u32 {
        match self {
            Self::Withdrawn => 0,
            Self::Chatter => 100,
            Self::Anticipated => 600,
            Self::Active => 1_000,
        }
    }

    /// As people say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::Chatter => "talked of",
            Self::Anticipated => "exploitation expected",
            Self::Active => "exploited",
        }
    }
}

/// The Traffic Light Protocol, version 2: who may read something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // FIRST defines them
pub enum Tlp {
    #[serde(rename = "TLP:CLEAR")]
    Clear,
    #[serde(rename = "TLP:GREEN")]
    Green,
    #[serde(rename = "TLP:AMBER")]
    Amber,
    #[serde(rename = "TLP:AMBER+STRICT")]
    AmberStrict,
    #[serde(rename = "TLP:RED")]
    Red,
}

impl Tlp {
    /// Reads a tag such as `tlp:amber`; `None` for another tag. A colour that is not known is taken for the strictest.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let tag = tag.trim().to_ascii_lowercase();
        let colour = tag.strip_prefix("tlp:")?;
        Some(match colour.trim_matches(|c: char| c == '"' || c.is_whitespace()) {
            "clear" | "white" => Self::Clear,
            "green" => Self::Green,
            "amber" => Self::Amber,
            "amber+strict" => Self::AmberStrict,
            _ => Self::Red,
        })
    }

    /// As FIRST writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "TLP:CLEAR",
            Self::Green => "TLP:GREEN",
            Self::Amber => "TLP:AMBER",
            Self::AmberStrict => "TLP:AMBER+STRICT",
            Self::Red => "TLP:RED",
        }
    }
}

/// One thing that a source asserts of a CVE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its name at the source.
    pub id: String,
    /// How far attackers have come.
    pub level: Level,
    /// When it was last seen, or since when the source says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// A sighting, which counts less with time; not what the source states of today.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fades: bool,
    /// Who may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tlp: Option<Tlp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    words: String,
}

impl Evidence {
    /// What a source states of today.
    pub fn stated(id: impl Into<String>, level: Level, since: Option<Timestamp>) -> Self {
        Self { id: id.into(), level, seen_at: since, fades: false, tlp: None, words: String::new() }
    }

    /// What a source has seen at a time.
    pub fn sighted(id: impl Into<String>, level: Level, at: Option<Timestamp>) -> Self {
        Self { fades: true, ..Self::stated(id, level, at) }
    }

    /// With the source's words, shortened, and who may read them. Words under TLP:RED are for those who were told them
    /// and are not kept: what remains is that the source asserts something.
    #[must_use]
    pub fn told(self, tlp: Option<Tlp>, words: &str) -> Self {
        let words = if tlp == Some(Tlp::Red) { String::new() } else { shortened(words) };
        Self { tlp, words, ..self }
    }

    /// The source's words; empty where there are none, or none that may be read here.
    pub fn words(&self) -> &str {
        if self.tlp == Some(Tlp::Red) { "" } else { &self.words }
    }

    /// What is left of it with time, per mille.
    fn left(&self, now: Timestamp) -> u32 {
        let Some(seen_at) = self.seen_at.filter(|_| self.fades) else { return 1_000 };
        let steps = now.duration_since(seen_at).as_secs() / STEP.as_secs();
        let Ok(steps) = usize::try_from(steps) else { return 1_000 };
        let halvings = u32::try_from(steps / LEFT.len()).unwrap_or(u32::MAX);
        LEFT[steps % LEFT.len()].checked_shr(halvings).unwrap_or(0)
    }

    /// Whether it confirms that the CVE is exploited.
    fn confirms(&self, now: Timestamp) -> bool {
        let recent = |at: Timestamp| now.duration_since(at) <= CONFIRMS;
        self.level == Level::Active && (!self.fades || self.seen_at.is_none_or(recent))
    }
}

fn shortened(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The assertions of one source that are worth keeping: the gravest, of those the newest, in an order that does not
/// depend on that of arrival. What was withdrawn is not kept.
pub fn worth_keeping(mut all: Vec<Evidence>) -> Vec<Evidence> {
    all.retain(|evidence| evidence.level > Level::Withdrawn);
    all.sort_by(|a, b| (b.level, b.seen_at, &a.id).cmp(&(a.level, a.seen_at, &b.id)));
    let mut ids = BTreeSet::new();
    all.retain(|evidence| ids.insert(evidence.id.clone()));
    all.truncate(KEPT);
    all
}

/// What all sources together say of a CVE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Threat {
    /// The factor, per mille.
    pub factor: u16,
    /// A trusted source asserts that it is exploited now.
    pub confirmed: bool,
}

/// Weighs what sources assert; each comes with how far it is trusted, in per cent.
pub fn weigh<'a>(asserted: impl IntoIterator<Item = (u8, &'a [Evidence])>, now: Timestamp) -> Threat {
    let mut threat = Threat::default();
    for (trust, evidence) in asserted {
        for one in evidence {
            let factor = u32::from(trust.min(100)) * one.level.per_mille() * one.left(now) / 100_000;
            // Three shares of at most one: never more than 1000.
            threat.factor = threat.factor.max(factor as u16);
            threat.confirmed |= trust >= TRUSTED && one.confirms(now);
        }
    }
    threat
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn ago(days: i64) -> Option<Timestamp> {
        Some(now() - SignedDuration::from_hours(24 * days))
    }

    fn sighted(level: Level, days: i64) -> Evidence {
        Evidence::sighted("a", level, ago(days))
    }

    fn factor(trust: u8, evidence: Evidence) -> u16 {
        weigh([(trust, &[evidence][..])], now()).factor
    }

    #[test]
    fn levels_count_what_the_table_says() {
        let of = |level| factor(100, Evidence::stated("a", level, None));
        assert_eq!([Level::Active, Level::Anticipated, Level::Chatter].map(of), [1_000, 600, 100]);
        assert_eq!(of(Level::Withdrawn), 0);
        assert_eq!(weigh([], now()), Threat::default());
    }

    #[test]
    fn sightings_fade_by_half_in_180_days_and_statements_do_not() {
        let of = |days| factor(100, sighted(Level::Active, days));
        assert_eq!([0, 29, 30, 90, 179].map(of), [1_000, 1_000, 890, 707, 561]);
        assert_eq!([180, 360, 540].map(of), [500, 250, 125]);
        assert!((0..4_000).map(of).is_sorted_by(|a, b| a >= b), "never more with time");
        assert_eq!(of(40_000), 0);
        assert_eq!(of(-5), 1_000, "a clock that is ahead");
        assert_eq!(factor(100, Evidence::stated("a", Level::Active, ago(5_000))), 1_000);
        assert_eq!(
            factor(100, Evidence::sighted("a", Level::Active, None)),
            1_000,
            "no time, nothing to fade by"
        );
    }

    #[test]
    fn trust_weighs_and_the_highest_of_all_counts() {
        assert_eq!(factor(70, sighted(Level::Active, 180)), 350);
        assert_eq!(factor(0, sighted(Level::Active, 0)), 0);
        let (grave, new) = ([sighted(Level::Active, 360)], [sighted(Level::Anticipated, 0)]);
        let all = |first, second| weigh([(100, &grave[..]), (first, &new[..]), (second, &[])], now()).factor;
        assert_eq!((all(100, 0), all(10, 100)), (600, 250));
    }

    #[test]
    fn exploitation_is_confirmed_by_whom_one_trusts_while_it_is_recent() {
        let confirmed = |trust, evidence| weigh([(trust, &[evidence][..])], now()).confirmed;
        assert!(confirmed(50, sighted(Level::Active, 90)));
        assert!(!confirmed(49, sighted(Level::Active, 0)));
        assert!(!confirmed(100, sighted(Level::Active, 91)));
        assert!(!confirmed(100, sighted(Level::Anticipated, 0)));
        assert!(confirmed(100, Evidence::stated("a", Level::Active, ago(5_000))));
    }

    #[test]
    fn words_under_red_are_not_kept() {
        let told = |tag: &str| sighted(Level::Active, 0).told(Tlp::of_tag(tag), "a  word\nor two");
        assert_eq!(told("tlp:amber+strict").words(), "a word or two");
        assert_eq!(told("TLP:RED").words(), "");
        assert!(!serde_json::to_string(&told("tlp:red")).unwrap().contains("word"));
        assert_eq!(told("tlp:purple").tlp, Some(Tlp::Red), "unknown is taken for the strictest");
        assert_eq!(told("tlp:unclear").tlp, Some(Tlp::Red), "so is what nobody could tell");
        assert_eq!(told("osint:x").tlp, None);
        let smuggled = r#"{"id":"a","level":"active","tlp":"TLP:RED","words":"secret"}"#;
        assert_eq!(serde_json::from_str::<Evidence>(smuggled).unwrap().words(), "");
        assert!(sighted(Level::Active, 0).told(None, &"x".repeat(500)).words().chars().count() <= 161);
    }

    #[test]
    fn the_gravest_and_newest_are_kept_whatever_order_they_come_in() {
        let all: Vec<Evidence> = (0..9)
            .map(|n| {
                let level = [Level::Withdrawn, Level::Chatter, Level::Active][n % 3];
                Evidence::sighted(n.to_string(), level, ago(n as i64))
            })
            .collect();
        let kept = worth_keeping(all.clone());
        let ids: Vec<&str> = kept.iter().map(|evidence| evidence.id.as_str()).collect();
        assert_eq!(ids, ["2", "5", "8", "1"]);
        assert_eq!(worth_keeping(all.into_iter().rev().collect()), kept);
    }
}
