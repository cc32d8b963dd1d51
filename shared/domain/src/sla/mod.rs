//! Deadlines: until when a vulnerability should be fixed, as pure arithmetic over dated events.
//!
//! - The clock starts with detection (or promotion, by policy). Each rule that applies gives a deadline: the days of
//!   the severity, the matrix of severity and criticality, the due date of KEV. The earliest counts, and is named.
//! - Escalation shortens: it adds a deadline, the new time counted from the change. Nothing lengthens a deadline by
//!   itself, de-escalation included.
//! - Acceptance and pause stop the clock; it resumes with the time left, by event or on the date set for it, whether
//!   or not anybody recorded that date passing.
//! - Fixed stops the clock. Reopened within the window, it goes on with the time left (the time it was fixed does
//!   not count); later a new episode starts with a new clock.
//! - KEV: CISA's due date where it lies after the first sight. Where it had passed before the asset showed the
//!   weakness, the time CISA gave (due date less date of listing) counts from the first sight.
//! - CISA's directive BOD 26-04, where the policy follows it: its row counts from the first sight, and a change of the
//!   row from that change on.
//!
//! A *crossing* is a moment at which somebody should hear of it: a share of the time is used up, the deadline passes,
//! the vulnerability has been open for so many days. Crossings are computed from the events alone, so that an outage
//! loses none, and have a key, so that each is announced once.

mod crossing;
pub mod directive;
mod document;
mod event;
mod ledger;
mod policy;
#[cfg(test)]
mod tests;

pub use crossing::{
    Crossing, CrossingKey, CrossingKind, InvalidCrossingKey, crossings, due_crossings, next_at,
};
pub use document::{Answer, Document, run};
pub use event::{Event, What};
pub use policy::{ClockStart, DaysBySeverity, SlaPolicy, SlaPolicyError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::score::Criticality;
use crate::vulnerability::Severity;
use ledger::{Ledger, Phase, Span, plus};

/// Where a deadline comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Source {
    /// The days of the severity.
    Severity {
        /// That severity.
        severity: Severity,
        /// Its days.
        days: u16,
    },
    /// The days of severity and criticality.
    Matrix {
        /// That severity.
        severity: Severity,
        /// The criticality of the asset.
        criticality: Criticality,
        /// Their days.
        days: u16,
    },
    /// CISA's due date.
    KevDueDate,
    /// CISA's directive BOD 26-04.
    Directive {
        /// The days of its row.
        days: u16,
    },
    /// The time CISA gave, counted from the first sight.
    KevWindow {
        /// That time, in whole days.
        days: i64,
    },
}

impl Source {
    fn is_kev(self) -> bool {
        matches!(self, Self::KevDueDate | Self::KevWindow { .. })
    }

    fn words(self) -> String {
        match self {
            Self::Severity { severity, days } => format!("{days} days for {}", severity.as_str()),
            Self::Matrix { severity, criticality, days } => {
                format!("{days} days for {} on criticality {}", severity.as_str(), criticality.level())
            }
            Self::KevDueDate => "due date of KEV".to_owned(),
            Self::Directive { days } => format!("{days} days by BOD 26-04"),
            Self::KevWindow { days } => format!("{days} days given by KEV, from the first sight"),
        }
    }
}

/// How a vulnerability stands against its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is time.
    OnTrack,
    /// The warning share of the time is used up.
    Approaching,
    /// The deadline passed before it was fixed, also when it is fixed by now.
    Overdue,
    /// Fixed in time.
    Met,
    /// Nobody is expected to act: accepted, paused, false positive, not promoted, informational, not yet detected.
    NotTracked,
    /// The policy has no deadline for it.
    NoPolicy,
}

/// One line of the arithmetic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What happened, and what follows.
    pub text: String,
    /// The deadline from here on, where the clock runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due: Option<Timestamp>,
}

/// The deadline of a vulnerability, with everything it was computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// The deadline after the last event. `None` where no rule applies, and where the clock stands without a date on
    /// which it resumes. Fixed: the deadline as it was then.
    pub due: Option<Timestamp>,
    /// The rule it comes from.
    pub source: Option<Source>,
    /// The time left where the clock stands without a date on which it resumes; negative when overdue.
    pub time_left: Option<SignedDuration>,
    /// The ends of acceptances and pauses on their dates that no event says yet. When such a date has come, the
    /// event is to be added to the record; the deadline does not change by it.
    pub unrecorded: Vec<Event>,
    /// How it was computed, step by step.
    pub arithmetic: Vec<Step>,
    spans: Vec<Span>,
}

/// When the clock that runs, or ran last, was opened: at the first sight, or at a reopening after more than the window.
pub fn opened(events: &[Event], policy: &SlaPolicy) -> Option<Timestamp> {
    Ledger::replay(events, policy, false).spans.last().map(|span| span.opened)
}

/// The deadline that an entry of CISA's catalogue means for what was opened then: its due date, where there is still
/// time for it; else the time that CISA gave, counted from the opening. Without the date of listing that time is not
/// known, and the entry means nothing.
pub fn kev_deadline(
    opened: Timestamp,
    due: Timestamp,
    date_added: Option<Timestamp>,
) -> Option<(Source, Timestamp)> {
    if due > opened {
        return Some((Source::KevDueDate, due));
    }
    let given = due.duration_since(date_added?);
    let window = Source::KevWindow { days: (given.as_hours() + 12) / 24 };
    given.is_positive().then(|| (window, plus(kev_start(opened, date_added), given)))
}

/// From when the time to a deadline of CISA's counts.
fn kev_start(opened: Timestamp, date_added: Option<Timestamp>) -> Timestamp {
    date_added.map_or(opened, |added| added.max(opened))
}

/// Computes the deadline.
pub fn sla(events: &[Event], policy: &SlaPolicy) -> Deadline {
    let ledger = Ledger::replay(events, policy, true);
    let time_left = ledger.time_left();
    let last = ledger.spans.last();
    let counts = last.filter(|span| time_left.is_none() && span.phase != Phase::FalsePositive);
    let running = counts.and_then(|span| span.deadline.as_ref());
    Deadline {
        due: running.map(|running| running.due),
        source: last.and_then(|span| span.deadline.as_ref()).map(|running| running.source),
        time_left,
        unrecorded: ledger.unrecorded,
        arithmetic: ledger.steps.unwrap_or_default(),
        spans: ledger.spans,
    }
}

impl Deadline {
    /// The state at a moment, in the past too: only what had happened by then counts.
    pub fn state(&self, now: Timestamp) -> State {
        let Some(span) = self.spans.iter().rev().find(|span| span.from <= now) else {
            return State::NotTracked;
        };
        if matches!(
            span.phase,
            Phase::AwaitingPromotion | Phase::Accepted | Phase::Paused | Phase::FalsePositive
        ) {
            return State::NotTracked;
        }
        let Some(running) = &span.deadline else {
            return if span.severity == Severity::Info { State::NotTracked } else { State::NoPolicy };
        };
        match span.phase {
            Phase::Fixed(at) if at <= running.due => State::Met,
            Phase::Fixed(_) => State::Overdue,
            _ if now >= running.overdue => State::Overdue,
            _ if running.warnings.first().is_some_and(|(_, at)| now >= *at) => State::Approaching,
            _ => State::OnTrack,
        }
    }
}
