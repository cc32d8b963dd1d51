//! From what it is told who can reach an asset.

use serde::{Deserialize, Serialize};

use super::{Network, Seconds};
use crate::exposure::Networks;

/// Where to look at the network, and whose its parts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExposureSources {
    /// Networks of partners. Public addresses that are in none of the two lists are the internet's.
    pub partner_networks: Vec<Network>,
    /// The organisation's own public addresses, such as those of its offices. Private networks are its own anyway.
    pub internal_networks: Vec<Network>,
    /// Time between two readings.
    pub interval: Seconds,
}

impl Default for ExposureSources {
    fn default() -> Self {
        Self { partner_networks: Vec::new(), internal_networks: Vec::new(), interval: Seconds::hour() }
    }
}

impl ExposureSources {
    /// Whose the networks are.
    pub fn networks(&self) -> Networks<'_> {
        Networks { partner: &self.partner_networks, internal: &self.internal_networks }
    }
}
