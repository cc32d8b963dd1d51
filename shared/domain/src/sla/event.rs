//! What happened to a vulnerability, and when.

use jiff::{Timestamp, civil::Date, civil::time, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize};

use super::directive::Timeline;
use crate::score::Criticality;
use crate::vulnerability::Severity;

/// A dated event in the life of a vulnerability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, which may be before we knew.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// First seen on the asset.
    Detected {
        /// Severity at that time.
        severity: Severity,
        /// Criticality of the asset, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        criticality: Option<Criticality>,
        /// It is a mere finding until it is promoted: nothing is tracked or announced before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        awaiting_promotion: bool,
    },
    /// Became a vulnerability, by policy or by hand.
    Promoted,
    /// Severity, or the band of the score that stands for it, changed.
    SeverityChanged {
        /// From now on.
        severity: Severity,
    },
    /// The criticality of the asset changed.
    CriticalityChanged {
        /// From now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        criticality: Option<Criticality>,
    },
    /// Listed in CISA's catalogue, or its entry changed. The entry that came last counts.
    KevListed {
        /// CISA's due date; a bare date counts to its end, UTC.
        #[serde(deserialize_with = "end_of_day")]
        due: Timestamp,
        /// When CISA added it.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "start_of_day")]
        date_added: Option<Timestamp>,
    },
    /// The row of CISA's directive BOD 26-04 became known, or became another one.
    Directed(Timeline),
    /// The risk was accepted.
    Accepted {
        /// When the acceptance ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The acceptance ended: on its date, because it was withdrawn, or because its context changed.
    Expired,
    /// Waiting for somebody else, a vendor for instance.
    Paused {
        /// When the pause ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The waiting ended.
    Resumed,
    /// Gone, on evidence.
    Fixed,
    /// Seen again, or no longer held for a false positive.
    Reopened,
    /// Not a weakness.
    FalsePositive,
}

/// KEV has dates without a time of day. Due "on" a day means that the whole day is left.
fn end_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    moment(&String::deserialize(deserializer)?, time(23, 59, 59, 0))
}

fn start_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| moment(&text, time(0, 0, 0, 0))).transpose()
}

fn moment<E: serde::de::Error>(text: &str, of_day: jiff::civil::Time) -> Result<Timestamp, E> {
    if let Ok(timestamp) = text.parse() {
        return Ok(timestamp);
    }
    let date: Date = text.parse().map_err(|_| E::custom(format!("{text:?} is neither a date nor a time")))?;
    date.to_datetime(of_day).to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(E::custom)
}
