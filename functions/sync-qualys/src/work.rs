//! What a unit has to remember.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sync::Unit;

/// Each of Qualys' APIs has limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Api {
    HostList,
    HostDetections,
    KnowledgeBase,
    AssetGroups,
    CompliancePolicy,
    CompliancePosture,
    Tags,
    HostAssets,
    GlobalAssets,
}

/// APIs whose limit is used up, each with the time from which on it may be called again. Handed on from unit to unit,
/// so that nobody has to be refused to know it.
pub(crate) type UsedUp = BTreeMap<Api, Timestamp>;

/// The work of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// What to ask for.
    #[serde(flatten)]
    pub work: Work,
    /// What must not be asked before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub used_up: UsedUp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Work {
    /// A page of the host list.
    Hosts { id_min: u64 },
    /// A page of detections.
    Detections {
        /// Where it begins.
        id_min: u64,
        /// Hosts of the page, where the usual number was too much.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u32>,
        /// Failures of a page of one host.
        #[serde(default, skip_serializing_if = "is_zero")]
        failures: u32,
        /// Hosts that were skipped up to here.
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped: u32,
    },
    /// Definitions of these QIDs.
    Definitions {
        /// The page of detections that needs them.
        page: u64,
        /// Which batch of that page.
        batch: usize,
        /// The QIDs of this batch and of those that follow.
        qids: Vec<String>,
        /// The page of detections that comes after all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<Following>,
    },
    /// Definitions that changed since a time, some days of changes at once.
    ChangedDefinitions {
        /// The time.
        since: Timestamp,
        /// How many such spans came before.
        #[serde(default, skip_serializing_if = "is_zero")]
        part: u32,
    },
    /// A page of the ids of all hosts.
    HostIds { id_min: u64 },
    /// A page of the asset search.
    HostAssets { after: u64 },
    /// A page of Global AssetView.
    GlobalAssets { after: u64 },
    /// The policies of compliance.
    Policies { id_min: u64 },
    /// A page of the posture of the first of these policies.
    Posture {
        /// Where the page begins.
        id_min: u64,
        /// Policies that are not done.
        policies: Vec<Policy>,
    },
}

/// A page of detections that is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Following {
    /// Where it begins.
    pub id_min: u64,
    /// Its hosts, where the usual number was too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Hosts that were skipped up to there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A policy of compliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// Qualys' id.
    pub id: u64,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
}

impl Work {
    /// The first page of detections.
    pub const FIRST_DETECTIONS: Self = Self::Detections { id_min: 0, size: None, failures: 0, skipped: 0 };

    /// The API that is called.
    pub fn api(&self) -> Api {
        match self {
            Self::Hosts { .. } | Self::HostIds { .. } => Api::HostList,
            Self::Detections { .. } => Api::HostDetections,
            Self::Definitions { .. } | Self::ChangedDefinitions { .. } => Api::KnowledgeBase,
            Self::HostAssets { .. } => Api::HostAssets,
            Self::GlobalAssets { .. } => Api::GlobalAssets,
            Self::Policies { .. } => Api::CompliancePolicy,
            Self::Posture { .. } => Api::CompliancePosture,
        }
    }

    /// Every API that is called.
    pub fn apis(&self) -> impl Iterator<Item = Api> {
        // Names of groups and tags are read with the hosts that have them.
        let beside: &[Api] =
            if matches!(self, Self::Hosts { .. }) { &[Api::AssetGroups, Api::Tags] } else { &[] };
        std::iter::once(self.api()).chain(beside.iter().copied())
    }

    /// The unit that does it. The same work always has the same id.
    pub fn unit(self, used_up: &UsedUp) -> Unit {
        let id = match &self {
            Self::Hosts { id_min } => format!("hosts/{id_min}"),
            Self::Detections { id_min, .. } => detections_unit(*id_min),
            // The page may be worked again when some of its rules are known: another batch is another unit.
            Self::Definitions { page, batch, qids, .. } => {
                format!("kb/detections-{page}/{batch}-{:016x}", domain::digest(qids.join(",").as_bytes()))
            }
            Self::ChangedDefinitions { part, .. } => format!("{}{part}", sync::CHANGES),
            Self::HostIds { id_min } => format!("host-ids/{id_min}"),
            Self::HostAssets { after } => format!("host-assets/{after}"),
            Self::GlobalAssets { after } => format!("global-assets/{after}"),
            Self::Policies { id_min } => format!("policies/{id_min}"),
            Self::Posture { id_min, policies } => {
                format!("posture/{}/{id_min}", policies.first().map_or(0, |policy| policy.id))
            }
        };
        Unit::new(id, &Job { work: self, used_up: used_up.clone() })
    }
}

/// The id of the unit of a page of detections.
pub(crate) fn detections_unit(id_min: u64) -> String {
    format!("detections/{id_min}")
}
