//! The command `sla`: one document in, one answer out.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Crossing, CrossingKey, Event, SlaPolicy, SlaPolicyError, Source, State, Step, crossings, next_at, sla,
};

/// What the command reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What happened, in any order. Events after `now` have not happened.
    pub events: Vec<Event>,
    /// Settings that are absent have their defaults.
    #[serde(default)]
    pub policy: SlaPolicy,
    /// The moment to judge.
    pub now: Timestamp,
    /// When the vulnerability was first known; absent, nothing is history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_since: Option<Timestamp>,
    /// The crossings that were announced.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub announced: BTreeSet<CrossingKey>,
}

/// What the command prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// State at `now`.
    pub state: State,
    /// The deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The rule it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Seconds left where the clock stands without a date on which it resumes; negative when overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<i64>,
    /// The steps.
    pub arithmetic: Vec<Step>,
    /// All crossings, behind and ahead.
    pub crossings: Vec<Crossing>,
    /// Those to announce now.
    pub to_announce: Vec<CrossingKey>,
    /// When something is to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// Answers a document; refuses a policy that cannot be meant.
pub fn run(document: &Document) -> Result<Answer, SlaPolicyError> {
    let Document { policy, now, announced, .. } = document;
    policy.validate()?;
    let known_since = document.known_since.unwrap_or(Timestamp::MIN);
    let events: Vec<Event> = document.events.iter().filter(|event| event.at <= *now).cloned().collect();
    let deadline = sla(&events, policy);
    let due_now = super::due_crossings(&events, policy, *now, announced, known_since);
    Ok(Answer {
        state: deadline.state(*now),
        due: deadline.due,
        source: deadline.source,
        seconds_left: deadline.time_left.map(|left| left.as_secs()),
        arithmetic: deadline.arithmetic,
        crossings: crossings(&events, policy),
        to_announce: due_now.into_iter().map(|crossing| crossing.key).collect(),
        next_at: next_at(&events, policy, announced, known_since),
    })
}
