//! What was found when a connector was tried out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A connector, tried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// When.
    pub at: Timestamp,
    /// What was looked at, in this order: address, credentials, clock, and the right to each stream.
    pub lines: Vec<CheckLine>,
}

impl Check {
    /// Whether nothing stands against a pull.
    pub fn is_good(&self) -> bool {
        self.lines.iter().all(|line| matches!(line.outcome, Outcome::Good | Outcome::Doubtful))
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLine {
    /// What: `address`, `credentials`, `clock`, or the name of a stream.
    pub what: String,
    /// How it stands.
    pub outcome: Outcome,
    /// What a person has to know, and to do.
    pub says: String,
}

impl CheckLine {
    /// A line.
    pub fn new(what: impl Into<String>, outcome: Outcome, says: impl Into<String>) -> Self {
        Self { what: what.into(), outcome, says: says.into() }
    }
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Works, but somebody should look at it.
    Doubtful,
    /// Does not work, and will not by itself.
    Bad,
    /// Could not be told: nobody answered.
    Unknown,
}

impl Outcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }
}
