//! What one scanner says of one rule on one host.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CveId, FindingKey, RuleId};
use crate::scanner::Scanner;
use crate::vulnerability::Severity;

/// A CVSS base score with the standard's version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cvss {
    /// Version of the standard: `2.0`, `3.0`, `3.1`, `4.0`; just `3` where the scanner does not say which 3.
    pub version: String,
    /// Base score, 0.0 to 10.0, kept in tenths.
    pub score: Tenths,
    /// The vector, with its prefix where the standard has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
}

/// A number with one decimal, kept as an integer so that it compares and digests exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenths(pub u8);

impl Tenths {
    /// The nearest tenth; `None` outside 0.0 to 10.0.
    pub fn from_f64(value: f64) -> Option<Self> {
        // The range check makes the cast exact.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (0.0..=10.0).contains(&value).then(|| Self((value * 10.0).round() as u8))
    }

    /// The value as a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

impl Serialize for Tenths {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Tenths {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::from_f64(value)
            .ok_or_else(|| serde::de::Error::custom(format!("{value} is not within 0.0 to 10.0")))
    }
}

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// Where a finding stands, in our words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// The scanner sees it.
    Open,
    /// The scanner sees it again after it had been fixed.
    Reopened,
    /// The scanner says that it is fixed.
    Fixed,
    /// The scanner sees it, and somebody told the scanner to disregard it.
    Suppressed,
}

impl FindingState {
    /// Whether the scanner still sees it and nobody silenced it there.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Reopened)
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A weakness.
    #[default]
    Vulnerability,
    /// A setting that a compliance policy asks for and that is not as it asks.
    Compliance,
}

impl FindingKind {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
    /// Whether it goes without saying.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One scanner's statement of one rule on one host. Raw scanner values stand beside ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Identity over rescans, within the host.
    #[serde(rename = "finding_key")]
    pub key: FindingKey,
    /// The rule that fired.
    #[serde(rename = "rule_id")]
    pub rule: RuleId,
    /// What it is about.
    #[serde(default, skip_serializing_if = "FindingKind::is_default")]
    pub kind: FindingKind,
    /// Severity in our words.
    pub severity: Severity,
    /// Severity as the scanner wrote it; empty where it tells severities with its definitions alone: then that of the rule
    /// counts.
    pub source_severity: String,
    /// State in our words.
    pub state: FindingState,
    /// State as the scanner wrote it.
    pub source_state: String,
    /// CVSS that came with the finding itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    /// EPSS probability, 0 to 1, as the scanner knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epss: Option<f64>,
    /// The vendor's own risk number on the vendor's own scale (VPR 0.1 to 10, QDS 1 to 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_risk: Option<f64>,
    /// What that number is made of, in the vendor's words (`QDS_FACTORS` of Qualys), as far as it is nowhere else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vendor_factors: BTreeMap<String, String>,
    /// Whether the scanner knows of an exploit, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploit_available: Option<bool>,
    /// First time the scanner saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_found: Option<Timestamp>,
    /// Last time the scanner saw it. Changes with every scan, so it is no part of the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_found: Option<Timestamp>,
    /// When the scanner found it fixed; only with state `fixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_at: Option<Timestamp>,
    /// When the scanner found it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened_at: Option<Timestamp>,
    /// Port; 0 and absent both mean the host as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `tcp`, `udp`, `icmp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Service name on the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What the scanner saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl Finding {
    /// A digest of what makes a difference: neither the time of the last scan nor the daily drift of EPSS does, nor that of
    /// other scores beside the vendor's own one.
    pub fn digest(&self) -> u64 {
        let mut still = self.clone();
        still.last_found = None;
        still.epss = None;
        still
            .vendor_factors
            .values_mut()
            .filter(|factor| factor.parse::<f64>().is_ok())
            .for_each(String::clear);
        crate::digest(&serde_json::to_vec(&still).unwrap_or_default())
    }
}

/// The scanner's definition of what a rule means: once per rule, not once per finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Whose rule it is.
    pub scanner: Scanner,
    /// The scanner's id.
    #[serde(rename = "rule_id")]
    pub id: RuleId,
    /// One line.
    pub title: String,
    /// CVEs that the rule checks for, sorted, without repetition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cves: Vec<CveId>,
    /// Severity in our words, where the definition has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The best CVSS that the definition has (4.0 before 3.x before 2.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    /// What it is, as plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What to do, as plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solution: Option<String>,
    /// Whether the vendor of the software offers a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patchable: Option<bool>,
    /// The vendor's own risk number, where the definition has it and not the finding (InsightVM, 0 to 1000). It grows with
    /// age, so it is no part of the digest, and is as of when the definition was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_risk: Option<f64>,
    /// Whether the definition names an exploit, or malware that uses one. Only a yes says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploit_available: Option<bool>,
    /// When the scanner's vendor last changed the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
}

impl Rule {
    /// A digest of the definition; of the vendor's risk, whether there is one.
    pub fn digest(&self) -> u64 {
        let still = Self { vendor_risk: self.vendor_risk.map(|_| 0.0), ..self.clone() };
        crate::digest(&serde_json::to_vec(&still).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_are_exact() {
        assert_eq!(Tenths::from_f64(9.8).unwrap().to_string(), "9.8");
        assert_eq!(serde_json::to_string(&Tenths(98)).unwrap(), "9.8");
        assert!(Tenths::from_f64(10.1).is_none());
        assert!(serde_json::from_str::<Tenths>("-1").is_err());
    }
}
