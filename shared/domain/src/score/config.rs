//! Weights and bands.

use serde::{Deserialize, Serialize};

/// How many of the 1000 points each factor can give. Together they are 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Severity: CVSS with the SSVC points.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub severity: u16,
    /// Exploit availability.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub exploit: u16,
    /// EPSS.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub epss: u16,
    /// Threat intelligence.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub threat: u16,
    /// Criticality of the asset.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub criticality: u16,
    /// Network exposure of the asset.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub exposure: u16,
    /// Active exploitation, likelihood, criticality and exposure together.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub convergence: u16,
}

impl Weights {
    /// All weights, in the order of the contributions.
    pub(super) const fn all(&self) -> [u16; 7] {
        let Self { severity, exploit, epss, threat, criticality, exposure, convergence } = *self;
        [severity, exploit, epss, threat, criticality, exposure, convergence]
    }

    /// What a finding without a CVE can reach before scaling.
    pub(super) const fn without_cve(&self) -> u32 {
        self.severity as u32 + self.criticality as u32 + self.exposure as u32
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            severity: 100,
            exploit: 200,
            epss: 200,
            threat: 200,
            criticality: 100,
            exposure: 100,
            convergence: 100,
        }
    }
}

/// From which score on a band begins; below `medium` is low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Bands {
    /// Critical from here.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub critical: u16,
    /// High from here.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub high: u16,
    /// Medium from here.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000)))]
    pub medium: u16,
}

impl Default for Bands {
    fn default() -> Self {
        Self { critical: 700, high: 250, medium: 150 }
    }
}

/// Where a score stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Can wait.
    Low,
    /// In the regular round.
    Medium,
    /// Soon.
    High,
    /// Now.
    Critical,
}

/// The configuration of the score. Call [`ScoreConfig::validate`] on what a user wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ScoreConfig {
    /// Points of the factors.
    pub weights: Weights,
    /// Limits of the bands.
    pub bands: Bands,
}

/// A configuration under which the score would lose its meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreConfigError {
    /// The scale of 1000 points would not be used, or be left.
    #[error("score weights add up to {sum}, they must add up to 1000")]
    WeightSum {
        /// What they add up to.
        sum: u32,
    },
    /// Findings without a CVE would all score nothing.
    #[error("one of the score weights severity, criticality and exposure must be above 0")]
    NothingWithoutCve,
    /// Bands out of order.
    #[error("score bands must fall from critical to medium, within 1 to 1000: {critical}, {high}, {medium}")]
    BandOrder {
        /// Limit of critical.
        critical: u16,
        /// Limit of high.
        high: u16,
        /// Limit of medium.
        medium: u16,
    },
}

impl ScoreConfig {
    /// Refuses weights that do not add up and bands out of order.
    pub fn validate(&self) -> Result<(), ScoreConfigError> {
        let sum = self.weights.all().into_iter().map(u32::from).sum();
        if sum != 1000 {
            return Err(ScoreConfigError::WeightSum { sum });
        }
        if self.weights.without_cve() == 0 {
            return Err(ScoreConfigError::NothingWithoutCve);
        }
        let Bands { critical, high, medium } = self.bands;
        if !(critical <= 1000 && critical > high && high > medium && medium > 0) {
            return Err(ScoreConfigError::BandOrder { critical, high, medium });
        }
        Ok(())
    }

    /// The band of a score.
    pub const fn band(&self, value: u16) -> Band {
        if value >= self.bands.critical {
            Band::Critical
        } else if value >= self.bands.high {
            Band::High
        } else if value >= self.bands.medium {
            Band::Medium
        } else {
            Band::Low
        }
    }
}
