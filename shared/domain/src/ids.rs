//! Names of things. Each is a type, parsed once where it enters, so that a raw string cannot be taken for one.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A text that is not the name it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {what}: {remedy}")]
pub struct InvalidId {
    /// What was expected, with its article: "a CVE id".
    pub what: &'static str,
    /// The offending text.
    pub value: String,
    /// What would be accepted.
    pub remedy: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// One configured account of a scanner: `qualys-prod`.
    ConnectorName
}
text_id! {
    /// The scanner's own id of a rule: a QID, a plugin id, a vulnerability id.
    RuleId
}
text_id! {
    /// What makes a finding one and the same over rescans, as its scanner sees it.
    FindingKey
}
text_id! {
    /// One pull of a connector. Sorts by the time the run began.
    RunId
}
text_id! {
    /// The one machine behind sightings: `a-` and 16 hexadecimal digits.
    AssetId
}
text_id! {
    /// One weakness on one asset: `v-` and 16 hexadecimal digits.
    VulnId
}

impl FromStr for ConnectorName {
    type Err = InvalidId;

    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let fits = (1..=40).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !s.starts_with('-');
        if fits {
            Ok(Self(s.to_owned()))
        } else {
            Err(InvalidId {
                what: "a connector name",
                value: s.to_owned(),
                remedy: "use 1 to 40 lower-case letters, digits and dashes",
            })
        }
    }
}

impl RuleId {
    /// The scanner's id as it came.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

impl FindingKey {
    /// The scanner's key as it came, or the joined fields that identify the finding.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// 64 bits that stand for this key within one sighting; a collision among 10,000 keys has odds of 1 in 10^11.
    pub fn hash(&self) -> u64 {
        crate::digest(self.0.as_bytes())
    }
}

impl RunId {
    /// The run that began at `start`, told apart by `discriminator` from others of the same second.
    pub fn new(start: Timestamp, discriminator: u16) -> Self {
        Self(format!("{}-{discriminator:04x}", start.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// When the run began, to the second, as far as the id tells.
    pub fn began(&self) -> Option<Timestamp> {
        let time = self.0.get(..16)?;
        jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time)
            .ok()
            .and_then(|time| jiff::tz::Offset::UTC.to_timestamp(time).ok())
    }

    /// A run id read back from where it was stored.
    pub fn stored(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

impl AssetId {
    /// The id of the asset that is first seen under this canonical identifier.
    pub fn derive(seed: &str) -> Self {
        Self(format!("a-{:016x}", crate::digest(seed.as_bytes())))
    }
}

impl VulnId {
    /// The id of the weakness first known under `key` on `asset`.
    pub fn derive(asset: &AssetId, key: &str) -> Self {
        Self(format!("v-{:016x}", crate::digest(format!("{asset}\n{key}").as_bytes())))
    }
}

macro_rules! hex_id {
    ($name:ident, $prefix:literal, $what:literal) => {
        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(s: &str) -> Result<Self, InvalidId> {
                let hex = s.strip_prefix($prefix).unwrap_or("");
                if hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                    Ok(Self(s.to_owned()))
                } else {
                    Err(InvalidId {
                        what: $what,
                        value: s.to_owned(),
                        remedy: concat!("it looks like ", $prefix, "0123456789abcdef"),
                    })
                }
            }
        }
    };
}

hex_id!(AssetId, "a-", "an asset id");
hex_id!(VulnId, "v-", "a vulnerability id");

/// A CVE id, upper case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CveId(String);

impl CveId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CveId {
    type Err = InvalidId;

    /// `CVE-\d{4}-\d{4,19}`, the pattern of CISA's KEV schema; case and surrounding blanks are forgiven.
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let upper = s.trim().to_ascii_uppercase();
        let fits =
            upper.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(|(year, number)| {
                let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
                year.len() == 4 && digits(year) && (4..=19).contains(&number.len()) && digits(number)
            });
        if fits {
            Ok(Self(upper))
        } else {
            Err(InvalidId { what: "a CVE id", value: s.to_owned(), remedy: "it looks like CVE-2024-12345" })
        }
    }
}

impl<'de> Deserialize<'de> for CveId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for CveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host as one connector knows it: the connector and the scanner's own id of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SightingId {
    /// The configured account.
    pub connector: ConnectorName,
    /// The scanner's id of the host.
    pub native: String,
}

impl SightingId {
    /// The sighting of host `native` by `connector`.
    pub fn new(connector: ConnectorName, native: impl Into<String>) -> Self {
        Self { connector, native: native.into() }
    }
}

impl fmt::Display for SightingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connector, self.native)
    }
}

impl From<SightingId> for String {
    fn from(id: SightingId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SightingId {
    type Error = InvalidId;

    fn try_from(s: String) -> Result<Self, InvalidId> {
        match s.split_once('/') {
            Some((connector, native)) if !native.is_empty() => Ok(Self::new(connector.parse()?, native)),
            _ => Err(InvalidId { what: "a sighting", value: s, remedy: "it looks like connector/host-id" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_ids_are_strict_but_forgive_case() {
        assert_eq!("cve-2021-44228 ".parse::<CveId>().unwrap().as_str(), "CVE-2021-44228");
        assert_eq!("CVE-2026-103096".parse::<CveId>().unwrap().as_str(), "CVE-2026-103096");
        for bad in ["CVE-cve 2021-4", "CVE-2021-1", "2021-44228", "CVE-21-44228", ""] {
            assert!(bad.parse::<CveId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn connector_names_name_the_remedy() {
        assert!("qualys-prod".parse::<ConnectorName>().is_ok());
        let error = "Qualys Prod".parse::<ConnectorName>().unwrap_err().to_string();
        assert!(error.contains("lower-case"), "{error}");
    }

    #[test]
    fn runs_sort_by_their_start() {
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        let early = RunId::new(at("2026-11-22T10:00:00Z"), 9);
        let late = RunId::new(at("2026-11-22T10:00:01Z"), 1);
        assert!(early < late);
    }

    #[test]
    fn a_sighting_reads_back_from_its_text() {
        let id = SightingId::new("tenable-prod".parse().unwrap(), "a/b");
        assert_eq!(SightingId::try_from(id.to_string()).unwrap(), id);
        assert!(SightingId::try_from("nothing".to_owned()).is_err());
    }
}
