//! The DynamoDB table. The only crate that knows a key.
//!
//! The table has two halves. **Statements** are what each scanner says: one partition per sighting, written by the
//! sync functions. **Decisions** are what we make of it: one partition per asset, written by `score`. Every write
//! that could meet another one is conditional; what has to change together changes in one transaction. The units that
//! DynamoDB reports are summed per operation ([`Capacity`]), so that cost is measured and not guessed.

mod audit;
mod capacity;
mod codec;
mod counters;
mod decisions;
mod deliveries;
mod documents;
mod error;
mod export;
mod exposure;
mod identity;
mod intel;
pub mod keys;
mod lists;
mod manifest;
mod moves;
mod pushes;
mod rules;
mod runs;
mod schema;
mod statements;
mod table;
mod tokens;

pub use audit::{AuditAction, AuditLine};
pub use capacity::{Capacity, Units};
pub use counters::{AssetCounts, CounterDelta, DayCounts, FIX_DAYS, OpenCounts, seen_by};
pub use decisions::{Alias, AssetState, Due, Mistimed, Versioned};
pub use deliveries::{Delivery, DeliveryState, RETRY_AFTER, Replay, Reservation};
pub use documents::{Document, FeedsRead};
pub use error::StoreError;
pub use export::{ExportItem, ExportPage};
pub use identity::{Lead, Regroup, Relink, Review, Shared, Taken};
pub use intel::{
    CveBlock, EpssPart, ExploitdbPart, FeedHead, FeedPart, IntelPage, MandiantPart, MetasploitPart, MispPart,
    NucleiPart, RecordedFuturePart, VulncheckPart, Window,
};
pub use lists::{Listed, Page, VulnerabilityFilter};
pub use manifest::{Entry, EntryState, Manifest};
pub use moves::Kept;
pub use pushes::{Push, Pushed, Said};
pub use rules::RuleBook;
pub use runs::{
    ConnectorState, GoesOn, HistoryEntry, RunCounts, RunRecord, RunStatus, UnitRecord, UnitState, Verdict,
};
pub use schema::create_table;
pub use statements::{Link, SightingBrief, SightingState, Stated, Tally, is_evidence};
pub use table::Store;
pub use tokens::ApiToken;
