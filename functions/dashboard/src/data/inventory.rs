//! What became of an imported list.

use domain::AssetId;
use serde::Serialize;

/// The answer to an import.
#[derive(Debug, Clone, Default, Serialize)]
pub struct InventoryImport {
    /// Assets that the rows are about, and that are decided on again.
    pub taken: Vec<AssetId>,
    /// Rows of machines that no scanner has seen yet: kept until one does.
    pub waiting: u64,
    /// Rows that were not taken over.
    pub refused: Vec<RefusedRow>,
}

/// The answer to an import of firewall rules.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FirewallImport {
    /// Rules of the list as it is now.
    pub rules: usize,
    /// The version that they are; without one, no row can be read, and the list stays as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Rows that were not taken over.
    pub refused: Vec<RefusedRow>,
}

/// A row that was not taken over.
#[derive(Debug, Clone, Serialize)]
pub struct RefusedRow {
    /// Its place in the list, from 0.
    pub row: usize,
    /// What is wrong, and what to do.
    pub problem: String,
}
