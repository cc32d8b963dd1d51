//! What happened to the identity of an asset, as its history tells it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Identifier;
use crate::ids::{AssetId, SightingId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityChange {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happened,
    /// The other asset.
    pub other: AssetId,
    /// The sightings that it concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sightings: Vec<SightingId>,
    /// Why, by rule or in a person's words.
    pub reason: String,
    /// What both had in common.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identifiers: Vec<Identifier>,
    /// Who said so, where a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The kinds of what happens to an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// The other asset turned out to be this one.
    Absorbed,
    /// This asset turned out to be the other one.
    Merged,
    /// The two were parted again: they had not been one.
    Parted,
    /// Sightings of this asset went to the other one.
    Left,
    /// Sightings of the other asset came to this one.
    Came,
    /// The other asset took this one's place.
    Superseded,
    /// This asset took the other one's place.
    Supersedes,
}

impl Happened {
    /// What it is from the other asset's side.
    #[must_use]
    pub fn seen_from_there(self) -> Self {
        match self {
            Self::Absorbed => Self::Merged,
            Self::Merged => Self::Absorbed,
            Self::Parted => Self::Parted,
            Self::Left => Self::Came,
            Self::Came => Self::Left,
            Self::Superseded => Self::Supersedes,
            Self::Supersedes => Self::Superseded,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absorbed => "absorbed",
            Self::Merged => "merged",
            Self::Parted => "parted",
            Self::Left => "left",
            Self::Came => "came",
            Self::Superseded => "superseded",
            Self::Supersedes => "supersedes",
        }
    }
}

impl IdentityChange {
    /// The same for both assets: `asset` has it as it is, the other one from its side.
    pub fn on_both(self, asset: AssetId) -> [(AssetId, Self); 2] {
        let there = Self { what: self.what.seen_from_there(), other: asset.clone(), ..self.clone() };
        [(self.other.clone(), there), (asset, self)]
    }
}
