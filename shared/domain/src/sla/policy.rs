//! How long things may take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::score::Criticality;
use crate::vulnerability::Severity;

/// Days for each severity. A severity that is not listed has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DaysBySeverity {
    /// Critical.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3650)))]
    pub critical: Option<u16>,
    /// High.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3650)))]
    pub high: Option<u16>,
    /// Medium.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3650)))]
    pub medium: Option<u16>,
    /// Low.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3650)))]
    pub low: Option<u16>,
    /// Informational.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3650)))]
    pub info: Option<u16>,
}

impl DaysBySeverity {
    /// Days for critical, high, medium and low; none for informational.
    pub const fn of(critical: u16, high: u16, medium: u16, low: u16) -> Self {
        Self { critical: Some(critical), high: Some(high), medium: Some(medium), low: Some(low), info: None }
    }

    /// The days for one severity.
    pub const fn get(&self, severity: Severity) -> Option<u16> {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
            Severity::Info => self.info,
        }
    }

    fn all(&self) -> impl Iterator<Item = u16> {
        [self.critical, self.high, self.medium, self.low, self.info].into_iter().flatten()
    }
}

/// When the clock of a vulnerability starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClockStart {
    /// When it was first seen on the asset.
    #[default]
    Detected,
    /// When it was promoted from finding to vulnerability.
    Promoted,
}

/// Deadlines, warnings and follow-ups. Call [`SlaPolicy::validate`] on what a user wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SlaPolicy {
    /// Days to fix, by severity.
    pub days: DaysBySeverity,
    /// Days to fix by severity and criticality of the asset, 1 to 5. Where it has no entry, or the criticality is
    /// unknown, `days` applies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<Severity, [Option<u16>; 5]>,
    /// Open days after which an open vulnerability is brought up again, by severity.
    pub follow_up_days: DaysBySeverity,
    /// Share of the time after which a deadline is approaching, per cent.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 99)))]
    pub warn_percent: u8,
    /// Further shares to warn at, per cent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 1, max = 99))))]
    pub more_warnings: Vec<u8>,
    /// Reopened within so many days, the old clock goes on; later, a new one starts.
    pub reopen_window_days: u16,
    /// When the clock starts.
    pub start: ClockStart,
    /// Whether the due dates of CISA's catalogue of known exploited vulnerabilities count.
    pub kev: bool,
    /// Whether the timelines of CISA's directive BOD 26-04 count.
    pub bod_26_04: bool,
}

impl Default for SlaPolicy {
    fn default() -> Self {
        Self {
            days: DaysBySeverity::of(7, 30, 90, 120),
            matrix: BTreeMap::new(),
            follow_up_days: DaysBySeverity::of(5, 30, 60, 90),
            warn_percent: 75,
            more_warnings: Vec::new(),
            reopen_window_days: 30,
            start: ClockStart::Detected,
            kev: true,
            bod_26_04: false,
        }
    }
}

/// A policy that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlaPolicyError {
    /// No days, or more than ten years.
    #[error("{field}: {days} days, expected 1 to 3650")]
    Days {
        /// The table.
        field: &'static str,
        /// What it held.
        days: u16,
    },
    /// A warning before the start or after the deadline.
    #[error("warnings: {percent} per cent, expected 1 to 99")]
    Percent {
        /// What it held.
        percent: u8,
    },
}

impl SlaPolicy {
    /// Refuses days and shares without a meaning.
    pub fn validate(&self) -> Result<(), SlaPolicyError> {
        let in_range = |field, days| match days {
            1..=3650 => Ok(()),
            days => Err(SlaPolicyError::Days { field, days }),
        };
        self.days.all().try_for_each(|days| in_range("days", days))?;
        self.matrix.values().flatten().flatten().try_for_each(|&days| in_range("matrix", days))?;
        self.follow_up_days.all().try_for_each(|days| in_range("follow_up_days", days))?;
        match self.warnings().find(|percent| !(1..=99).contains(percent)) {
            Some(percent) => Err(SlaPolicyError::Percent { percent }),
            None => Ok(()),
        }
    }

    /// Days to fix, and whether the matrix said so.
    pub(super) fn days_for(
        &self,
        severity: Severity,
        criticality: Option<Criticality>,
    ) -> Option<(u16, bool)> {
        let cell = || self.matrix.get(&severity)?[usize::from(criticality?.level()) - 1];
        match cell() {
            Some(days) => Some((days, true)),
            None => self.days.get(severity).map(|days| (days, false)),
        }
    }

    /// All shares to warn at; the first is the one that makes a deadline approaching.
    pub(super) fn warnings(&self) -> impl Iterator<Item = u8> {
        std::iter::once(self.warn_percent).chain(self.more_warnings.iter().copied())
    }
}
