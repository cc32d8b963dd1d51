//! What is known of a vulnerability and of its asset, validated where it enters.
//!
//! Numbers with a decimal point become integers here, once, and stay integers afterwards: CVSS in tenths, shares
//! (EPSS, its percentile, threat level) in parts per billion. Two machines that read the same text compute the
//! same score.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::vulnerability::Severity;

/// A CVSS base score, kept in tenths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cvss(u8);

impl Cvss {
    /// From a score between 0 and 10; CVSS defines one decimal, further ones are rounded away.
    pub fn new(score: f64) -> Option<Self> {
        (0.0..=10.0).contains(&score).then(|| Self((score * 10.0).round() as u8))
    }

    /// The highest score there is.
    pub const MAX: Self = Self(100);

    /// From tenths, 0 to 100.
    pub const fn from_tenths(tenths: u8) -> Option<Self> {
        if tenths <= 100 { Some(Self(tenths)) } else { None }
    }

    /// The score in tenths, 0 to 100.
    pub const fn tenths(self) -> u8 {
        self.0
    }
}

impl Serialize for Cvss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 10.0)
    }
}

/// A share between 0 and 1, kept in parts per billion. The EPSS feed has five decimals; nine lose nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    const ONE: u32 = 1_000_000_000;

    /// From a number between 0 and 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then(|| Self((share * f64::from(Self::ONE)).round() as u32))
    }

    /// From parts per billion.
    pub const fn from_billionths(parts: u32) -> Option<Self> {
        if parts <= Self::ONE { Some(Self(parts)) } else { None }
    }

    /// The share in parts per billion.
    pub const fn billionths(self) -> u32 {
        self.0
    }

    /// The share on the scale of a factor, 0 to 1000, rounded down.
    pub const fn per_mille(self) -> u16 {
        (self.0 / 1_000_000) as u16
    }

    /// How rare a percentile is, in millionths of a point, 0 to 1000 points: `1000 * min(1, -log10(1 - p) / 3)`, so
    /// that 0.9 gives a third, 0.99 two thirds, 0.999 and above everything.
    ///
    /// `1 - p` is taken in integers: in floating point `1 - 0.999` is a little more than a thousandth, and a value
    /// that should be exactly 1000 would be rounded down to 999. The logarithm is rounded to a millionth of a point,
    /// far coarser than its error on any platform.
    pub(super) fn nines_micro(self) -> u32 {
        let rest = Self::ONE - self.0;
        if rest <= Self::ONE / 1000 {
            return Self::ONE;
        }
        let nines = 9.0 - f64::from(rest).log10();
        ((nines / 3.0 * f64::from(Self::ONE)).round() as u32).min(Self::ONE)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / f64::from(Self::ONE))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        Self::new(share)
            .ok_or_else(|| serde::de::Error::custom(format_args!("{share} is not between 0 and 1")))
    }
}

/// How much an asset matters, 1 (least) to 5 (most).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Criticality(u8);

impl Criticality {
    /// From 1 to 5.
    pub const fn new(level: u8) -> Option<Self> {
        if level >= 1 && level <= 5 { Some(Self(level)) } else { None }
    }

    /// The level, 1 to 5.
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl From<Criticality> for u8 {
    fn from(criticality: Criticality) -> Self {
        criticality.0
    }
}

impl TryFrom<u8> for Criticality {
    type Error = FactorError;

    fn try_from(level: u8) -> Result<Self, FactorError> {
        Self::new(level).ok_or_else(|| FactorError::out_of_range("criticality", level, "1 to 5"))
    }
}

/// From where an asset can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// From nowhere but a console or a closed segment.
    Isolated,
    /// From the organisation's own network.
    Internal,
    /// From partners or through a VPN.
    #[serde(alias = "vpn")]
    Partner,
    /// From the internet.
    Internet,
}

/// Names of the inputs, as they are spelled in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the fields of `Factors` document them
pub enum Input {
    Cvss,
    Automatable,
    TotalImpact,
    Kev,
    Ransomware,
    Metasploit,
    MetasploitGoodRank,
    Exploitdb,
    ExploitdbVerified,
    Nuclei,
    Poc,
    Epss,
    Percentile,
    Threat,
    ThreatConfirmed,
    Criticality,
    Exposure,
}

/// Everything the score looks at. `None` means unknown, which is not the same as no.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawFactors")]
pub struct Factors {
    /// CVSS base score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    /// The source's severity label: stands in for an absent CVSS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// SSVC: an attacker can automate all steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatable: Option<bool>,
    /// SSVC: technical impact is total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_impact: Option<bool>,
    /// Listed in CISA's catalogue of known exploited vulnerabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kev: Option<bool>,
    /// The catalogue knows of use in ransomware campaigns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ransomware: Option<bool>,
    /// Metasploit has a module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metasploit: Option<bool>,
    /// The best module's rank is Good or better. Unknown counts as Good: the module exists, and the worse case is
    /// the safe one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metasploit_good_rank: Option<bool>,
    /// Exploit-DB has an entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exploitdb: Option<bool>,
    /// Exploit-DB's staff verified the entry. Unknown counts as unverified: the feed says so for every entry it
    /// verified, so that a bare "there is an entry" claims no more than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exploitdb_verified: Option<bool>,
    /// nuclei has a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nuclei: Option<bool>,
    /// A proof of concept is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poc: Option<bool>,
    /// EPSS probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epss: Option<Share>,
    /// EPSS percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentile: Option<Share>,
    /// Threat intelligence: the highest of trust x level x decay over the sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threat: Option<Share>,
    /// A threat intelligence source asserts active exploitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threat_confirmed: Option<bool>,
    /// Criticality of the asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<Criticality>,
    /// Exposure of the asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// `false` for a finding that cannot have a CVE (code, misconfiguration): EPSS, exploits and threat
    /// intelligence do not apply to it. Unknown counts as a CVE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_cve: Option<bool>,
}

impl Factors {
    /// Whether the factors that only a CVE can have apply.
    pub fn is_cve(&self) -> bool {
        self.has_cve != Some(false)
    }

    /// The inputs that are unknown and for which the score had to assume something.
    pub fn unknown(&self) -> Vec<Input> {
        use Input as I;
        let cve = self.is_cve();
        [
            (I::Cvss, self.cvss.is_none()),
            (I::Automatable, cve && self.automatable.is_none()),
            (I::TotalImpact, cve && self.total_impact.is_none()),
            (I::Kev, cve && self.kev.is_none()),
            (I::Ransomware, cve && self.ransomware.is_none()),
            (I::Metasploit, cve && self.metasploit.is_none()),
            (
                I::MetasploitGoodRank,
                cve && self.metasploit == Some(true) && self.metasploit_good_rank.is_none(),
            ),
            (I::Exploitdb, cve && self.exploitdb.is_none()),
            (I::ExploitdbVerified, cve && self.exploitdb == Some(true) && self.exploitdb_verified.is_none()),
            (I::Nuclei, cve && self.nuclei.is_none()),
            (I::Poc, cve && self.poc.is_none()),
            (I::Epss, cve && self.epss.is_none()),
            (I::Percentile, cve && self.percentile.is_none()),
            (I::Threat, cve && self.threat.is_none()),
            (I::ThreatConfirmed, cve && self.threat_confirmed.is_none()),
            (I::Criticality, self.criticality.is_none()),
            (I::Exposure, self.exposure.is_none()),
        ]
        .into_iter()
        .filter_map(|(input, unknown)| unknown.then_some(input))
        .collect()
    }
}

/// An input that cannot be what it says it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FactorError {
    /// A number outside its range.
    #[error("{field}: {value} is out of range, expected {range}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it held.
        value: String,
        /// What is allowed.
        range: &'static str,
    },
    /// A value of another type, or a word that is not known.
    #[error("{field}: found {found}, expected {expected}")]
    Unexpected {
        /// The field.
        field: &'static str,
        /// What it held.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
}

impl FactorError {
    fn out_of_range(field: &'static str, value: impl ToString, range: &'static str) -> Self {
        Self::OutOfRange { field, value: value.to_string(), range }
    }

    fn unexpected(field: &'static str, found: &Value, expected: &'static str) -> Self {
        Self::Unexpected { field, found: found.to_string(), expected }
    }
}

/// The fields before validation. Values are looked at one by one, so that an error can name the field.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct RawFactors {
    cvss: Option<Value>,
    severity: Option<Value>,
    automatable: Option<Value>,
    total_impact: Option<Value>,
    kev: Option<Value>,
    ransomware: Option<Value>,
    metasploit: Option<Value>,
    metasploit_good_rank: Option<Value>,
    exploitdb: Option<Value>,
    exploitdb_verified: Option<Value>,
    nuclei: Option<Value>,
    poc: Option<Value>,
    epss: Option<Value>,
    percentile: Option<Value>,
    threat: Option<Value>,
    threat_confirmed: Option<Value>,
    criticality: Option<Value>,
    exposure: Option<Value>,
    has_cve: Option<Value>,
}

impl TryFrom<RawFactors> for Factors {
    type Error = FactorError;

    fn try_from(raw: RawFactors) -> Result<Self, FactorError> {
        Ok(Self {
            cvss: number("cvss", raw.cvss, "0 to 10", Cvss::new)?,
            severity: word("severity", raw.severity, "critical, high, medium, low or info")?,
            automatable: flag("automatable", raw.automatable)?,
            total_impact: flag("total_impact", raw.total_impact)?,
            kev: flag("kev", raw.kev)?,
            ransomware: flag("ransomware", raw.ransomware)?,
            metasploit: flag("metasploit", raw.metasploit)?,
            metasploit_good_rank: flag("metasploit_good_rank", raw.metasploit_good_rank)?,
            exploitdb: flag("exploitdb", raw.exploitdb)?,
            exploitdb_verified: flag("exploitdb_verified", raw.exploitdb_verified)?,
            nuclei: flag("nuclei", raw.nuclei)?,
            poc: flag("poc", raw.poc)?,
            epss: number("epss", raw.epss, "0 to 1", Share::new)?,
            percentile: number("percentile", raw.percentile, "0 to 1", Share::new)?,
            threat: number("threat", raw.threat, "0 to 1", Share::new)?,
            threat_confirmed: flag("threat_confirmed", raw.threat_confirmed)?,
            criticality: number("criticality", raw.criticality, "a whole number from 1 to 5", |level| {
                (level.fract() == 0.0 && (1.0..=5.0).contains(&level)).then_some(Criticality(level as u8))
            })?,
            exposure: word("exposure", raw.exposure, "internet, partner, internal or isolated")?,
            has_cve: flag("has_cve", raw.has_cve)?,
        })
    }
}

fn number<T>(
    field: &'static str,
    value: Option<Value>,
    range: &'static str,
    build: impl Fn(f64) -> Option<T>,
) -> Result<Option<T>, FactorError> {
    let Some(value) = value else { return Ok(None) };
    let number = value.as_f64().ok_or_else(|| FactorError::unexpected(field, &value, "a number"))?;
    build(number).map(Some).ok_or_else(|| FactorError::out_of_range(field, &value, range))
}

fn flag(field: &'static str, value: Option<Value>) -> Result<Option<bool>, FactorError> {
    let Some(value) = value else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| FactorError::unexpected(field, &value, "true or false"))
}

fn word<T: for<'de> Deserialize<'de>>(
    field: &'static str,
    value: Option<Value>,
    expected: &'static str,
) -> Result<Option<T>, FactorError> {
    let Some(value) = value else { return Ok(None) };
    T::deserialize(&value).map(Some).map_err(|_| FactorError::unexpected(field, &value, expected))
}
