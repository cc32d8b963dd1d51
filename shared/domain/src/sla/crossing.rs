//! The moments at which somebody should hear of a deadline, each once.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::ledger::{Ledger, Phase, Span, days_long, plus};
use super::policy::SlaPolicy;

/// What is crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CrossingKind {
    /// A share of the time is used up.
    Warning {
        /// That share, per cent.
        percent: u8,
    },
    /// The deadline passed.
    Overdue,
    /// It is still open after so many days, counted from when it was opened.
    FollowUp {
        /// Those days.
        days: u16,
    },
}

/// Identifies a crossing of one vulnerability. It holds no time: a policy that moves a deadline does not announce
/// anew what was announced. The episode is counted up when a vulnerability reopens with a new clock.
///
/// As text: `0/warning/75`, `0/overdue`, `1/follow_up/30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CrossingKey {
    /// Which clock of the vulnerability, from 0.
    pub episode: u16,
    /// What is crossed.
    pub kind: CrossingKind,
}

/// A text that is no key of a crossing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a crossing; expected for example 0/warning/75, 0/overdue or 0/follow_up/30")]
pub struct InvalidCrossingKey(String);

impl fmt::Display for CrossingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            CrossingKind::Warning { percent } => write!(f, "{}/warning/{percent}", self.episode),
            CrossingKind::Overdue => write!(f, "{}/overdue", self.episode),
            CrossingKind::FollowUp { days } => write!(f, "{}/follow_up/{days}", self.episode),
        }
    }
}

impl FromStr for CrossingKey {
    type Err = InvalidCrossingKey;

    fn from_str(text: &str) -> Result<Self, InvalidCrossingKey> {
        let parse = || {
            let mut parts = text.split('/');
            let episode = parts.next()?.parse().ok()?;
            let kind = match (parts.next()?, parts.next()) {
                ("warning", Some(percent)) => CrossingKind::Warning { percent: percent.parse().ok()? },
                ("overdue", None) => CrossingKind::Overdue,
                ("follow_up", Some(days)) => CrossingKind::FollowUp { days: days.parse().ok()? },
                _ => return None,
            };
            parts.next().is_none().then_some(Self { episode, kind })
        };
        parse().ok_or_else(|| InvalidCrossingKey(text.to_owned()))
    }
}

impl TryFrom<String> for CrossingKey {
    type Error = InvalidCrossingKey;

    fn try_from(text: String) -> Result<Self, InvalidCrossingKey> {
        text.parse()
    }
}

impl From<CrossingKey> for String {
    fn from(key: CrossingKey) -> Self {
        key.to_string()
    }
}

/// A moment at which somebody should hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// Identifies it within the vulnerability.
    pub key: CrossingKey,
    /// From when on it is to be announced: the threshold, or the moment the vulnerability was open again after it.
    pub at: Timestamp,
    /// When the threshold itself was passed. What was passed before we knew the vulnerability is history.
    pub passed: Timestamp,
    /// The deadline then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<Timestamp>,
}

/// All crossings that the events lead to, in the order of time, future ones included. Warnings and overdue happen
/// while the clock runs, follow-ups while the vulnerability is open; what would fall into another time happens when
/// that ends.
pub fn crossings(events: &[Event], policy: &SlaPolicy) -> Vec<Crossing> {
    of_spans(&Ledger::replay(events, policy, false).spans, policy)
}

fn of_spans(spans: &[Span], policy: &SlaPolicy) -> Vec<Crossing> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let end = spans.get(index + 1).map(|next| next.from);
        let due = span.deadline.as_ref().map(|running| running.due);
        for (kind, passed) in thresholds(span, policy) {
            let key = CrossingKey { episode: span.episode, kind };
            let at = passed.max(span.from);
            if end.is_none_or(|end| at < end) && seen.insert(key) {
                found.push(Crossing { key, at, passed, due });
            }
        }
    }
    found.sort_by_key(|crossing| (crossing.at, crossing.key));
    found
}

fn thresholds(span: &Span, policy: &SlaPolicy) -> Vec<(CrossingKind, Timestamp)> {
    let mut thresholds = Vec::new();
    if let (Phase::Open, Some(running)) = (span.phase, &span.deadline) {
        let warnings = running.warnings.iter();
        thresholds.extend(warnings.map(|&(percent, at)| (CrossingKind::Warning { percent }, at)));
        thresholds.push((CrossingKind::Overdue, running.overdue));
    }
    if let Some(days) = policy.follow_up_days.get(span.severity).filter(|_| span.phase.is_open()) {
        let passed = plus(span.opened, days_long(days)).max(span.severity_since);
        thresholds.push((CrossingKind::FollowUp { days }, passed));
    }
    thresholds
}

/// The crossings to announce now: those that lie behind and were not announced.
///
/// `known_since` is the moment we first knew the vulnerability. What was passed by then is history, told in the
/// summary of a first import and never one by one. However long nobody asked, the answer is the same set.
pub fn due_crossings(
    events: &[Event],
    policy: &SlaPolicy,
    now: Timestamp,
    announced: &BTreeSet<CrossingKey>,
    known_since: Timestamp,
) -> Vec<Crossing> {
    let mut due = crossings(events, policy);
    due.retain(|crossing| crossing.at <= now && is_news(crossing, announced, known_since));
    due
}

/// The next moment at which something is to do: a crossing to announce, or the end of an acceptance or a pause to
/// record (see [`Deadline::unrecorded`](super::Deadline::unrecorded)). It may lie behind; then something is to do now.
pub fn next_at(
    events: &[Event],
    policy: &SlaPolicy,
    announced: &BTreeSet<CrossingKey>,
    known_since: Timestamp,
) -> Option<Timestamp> {
    let ledger = Ledger::replay(events, policy, false);
    let crossings = of_spans(&ledger.spans, policy);
    let news = crossings.iter().filter(|crossing| is_news(crossing, announced, known_since));
    let ends = ledger.unrecorded.iter().map(|end| end.at);
    news.map(|crossing| crossing.at).chain(ends).min()
}

fn is_news(crossing: &Crossing, announced: &BTreeSet<CrossingKey>, known_since: Timestamp) -> bool {
    crossing.passed > known_since && !announced.contains(&crossing.key)
}
