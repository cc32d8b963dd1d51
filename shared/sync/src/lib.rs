//! The sync engine: how any scanner is pulled safely.
//!
//! A [`Scanner`] owns its wire format and its mapping. The engine owns time budget, checkpoints, limits, retries, run
//! verdicts, progress and close rules.

pub mod engine;
pub mod error;
pub mod files;
pub mod function;
pub mod http;
pub mod lenient;
pub mod names;
pub mod normalized;
pub mod push;
pub mod rapid7;
pub mod scanner;
pub mod scope;
pub mod split;
pub mod text;
pub mod xml;

pub use engine::check::{failed, right};
pub use engine::{Built, EngineOptions};
pub use error::SyncError;
pub use files::FileScanner;
pub use function::{Build, Credentials, SyncFunction};
pub use http::{HttpClient, HttpOptions};
pub use normalized::{NormalizeError, Normalized, Summary, elements, pieces};
pub use push::{PushIntake, Taken};
pub use scanner::{
    ASKED_AT_ONCE, BadRecord, CHANGES, Coverage, Fix, HostReport, Mode, Next, Proof, QUESTIONS, Run, Scanner,
    Sink, UNREADABLE, Unit, confirm_each, tell_scans,
};
pub use scope::{Ports, Scope};
