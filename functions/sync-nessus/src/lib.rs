//! Tenable Nessus, Professional and Expert: pulls what its scans have found.
//!
//! Nessus has no memory of a finding: each history of a scan is a report of its own. What is in the newest history that
//! ran to its end is open; what is not in it, although that host was scanned as deeply as before and its policy looks for
//! it, is gone; what comes back is reopened. So a run reads the newest completed history of each scan, a full run of all of them, an incremental one of
//! those that were completed since the last.
//!
//! ```text
//! scans ──> scan/<id> (chooses a history, has it exported, waits, reads it) ──> scan/<next id> ──> …
//! ```
//!
//! **Why one after the other.** Nessus prepares exports on the machine that scans, and large ones side by side have
//! brought it down. Each scan's unit plans the next one; a scan whose results do not come is given up and named, and the
//! run is `partial`.
//!
//! **What a host is.** One sighting is one host of one scan (`<scan id>/<host>`): two scans of a host look for different
//! things, so that the silence of one proves nothing about the findings of the other. Correlation brings them together.
//!
//! [`normalize`] reads the same files without an account.

mod client;
mod document;
mod function;
mod normalize;
mod pull;
mod stream;
mod work;

use async_trait::async_trait;
use domain::policy::Connector;
use domain::{CheckLine, Outcome};
use jiff::Timestamp;
use sync::{Next, Run, Scanner, Sink, SyncError, Unit};

pub use client::{Client, with_keys};
pub use function::{function, function_with};
pub use stream::normalize;

use client::Scans;
use work::Work;

/// The streams, by their names in the configuration.
const SCANS: &str = "scans";
const COMPLIANCE: &str = "compliance";

/// One Nessus.
pub struct NessusScanner {
    client: Client,
    scans: bool,
    compliance: bool,
}

impl NessusScanner {
    /// The scanner of `connector`.
    pub fn new(connector: &Connector, client: Client) -> Self {
        Self { client, scans: connector.pulls(SCANS), compliance: connector.pulls(COMPLIANCE) }
    }

    async fn describe(&self, now: Timestamp) -> Result<String, SyncError> {
        let properties = self.client.properties(now).await?;
        let scans = self.client.scans(now).await?;
        Ok(format!("{}, {} scans", properties.describe(), scans.count()))
    }
}

/// What the list of scans says of the right to read them.
fn right_to(scans: &Scans) -> CheckLine {
    let (all, closed, read) = (scans.count(), scans.closed(), scans.with_results(None).len());
    let share = format!("{closed} of {all} are closed to this user: share them with it, \"Can view\"");
    let (outcome, says) = match () {
        () if all == 0 => {
            (Outcome::Doubtful, "there is none, or none is shared with this user: \"Can view\"".to_owned())
        }
        () if closed == all => (Outcome::Bad, share),
        () if closed > 0 => (Outcome::Doubtful, format!("{read} with results; {share}")),
        () => (Outcome::Good, format!("{read} with results may be read")),
    };
    CheckLine::new(SCANS, outcome, says)
}

#[async_trait]
impl Scanner for NessusScanner {
    fn kind(&self) -> domain::Scanner {
        domain::Scanner::Nessus
    }

    async fn plan(&self, _run: &Run) -> Result<Vec<Unit>, SyncError> {
        Ok(vec![work::list()])
    }

    async fn pull(&self, run: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let outcome = match unit.work()? {
            Work::List => self.list(run, sink).await,
            Work::Scan(work) => self.scan(work, sink).await,
        };
        self.client.sign_out().await;
        match outcome {
            Err(SyncError::Throttled { until, .. }) => Ok(Next::Later(until, unit.clone())),
            outcome => outcome,
        }
    }

    async fn check(&self) -> Result<String, SyncError> {
        let outcome = self.describe(Timestamp::now()).await;
        self.client.sign_out().await;
        outcome
    }

    async fn rights(&self, now: Timestamp) -> Vec<CheckLine> {
        let scans = self.client.scans(now).await;
        self.client.sign_out().await;
        let of_scans = match scans {
            Ok(scans) => right_to(&scans),
            Err(error) => sync::failed(SCANS, &error),
        };
        // Audits are part of the same files.
        let of_audits = self.compliance.then(|| CheckLine { what: COMPLIANCE.into(), ..of_scans.clone() });
        self.scans.then_some(of_scans).into_iter().chain(of_audits).collect()
    }
}
