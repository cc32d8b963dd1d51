//! The work of each unit.

mod assets;
mod compliance;
mod detections;
mod hosts;

use jiff::Timestamp;
use sync::{Next, Proof, Run, Sink, SyncError, Unit};

use crate::QualysScanner;
use crate::client::{Answer, Failure, Page};
use crate::document::Around;
use crate::work::{Api, Following, Job, UsedUp, Work};

impl QualysScanner {
    pub(crate) async fn work(&self, run: &Run, job: &Job, sink: &mut dyn Sink) -> Result<Next, Failure> {
        let used_up = &job.used_up;
        match &job.work {
            Work::Hosts { id_min } => self.hosts(run, *id_min, used_up, sink).await,
            Work::HostIds { id_min } => self.host_ids(*id_min, used_up, sink).await,
            Work::Detections { id_min, size, skipped, .. } => {
                let page = Following { id_min: *id_min, size: *size, skipped: *skipped };
                self.detections(run, page, used_up, sink).await
            }
            Work::Definitions { page, batch, qids, next } => {
                self.definitions(run, (*page, *batch, *next), qids, used_up, sink).await
            }
            Work::ChangedDefinitions { since, part } => {
                self.changed_definitions((*since, *part), used_up, sink).await
            }
            Work::HostAssets { after } => self.host_assets(run, *after, used_up, sink).await,
            Work::GlobalAssets { after } => self.global_assets(run, *after, used_up, sink).await,
            Work::Policies { id_min } => self.policies(*id_min, used_up, sink).await,
            Work::Posture { id_min, policies } => self.posture(run, *id_min, policies, used_up, sink).await,
        }
    }

    fn page(&self, run: &Run, id_min: u64) -> Page {
        Page { id_min, size: self.page_size, since: since(run) }
    }

    /// Where the next page begins, if there is one.
    fn next_page(&self, around: &Around, id_min: u64) -> Result<Option<u64>, SyncError> {
        around.next.as_deref().map(|address| self.client.next_page(address, id_min)).transpose()
    }
}

/// The watermark of an incremental run.
fn since(run: &Run) -> Option<Timestamp> {
    run.mode.since()
}

/// The units that follow, or the end.
fn then(units: Vec<Unit>, proof: Proof) -> Next {
    if units.is_empty() { Next::Done(proof) } else { Next::More(units, proof) }
}

/// What is used up after an answer.
fn noted(used_up: &UsedUp, api: Api, answer: &Answer, sink: &dyn Sink) -> UsedUp {
    let mut used_up = used_up.clone();
    note(&mut used_up, api, answer, sink.now());
    used_up
}

fn note(used_up: &mut UsedUp, api: Api, answer: &Answer, now: Timestamp) {
    if let Some(until) = answer.limits.not_before(now) {
        used_up.insert(api, until);
    }
}

/// What only adds to hosts must not keep them back: why it cannot be had, unless another try may bring it.
fn soft<T>(outcome: Result<T, Failure>) -> Result<Result<T, String>, Failure> {
    match outcome {
        Ok(read) => Ok(Ok(read)),
        Err(Failure::NotPermitted(detail)) => Ok(Err(format!("Qualys says {detail}"))),
        // A refusal without words: of the credentials the host list is the proof.
        Err(Failure::Sync(SyncError::Unauthorized { detail, .. })) if detail.starts_with("403") => {
            Ok(Err(format!("Qualys says {detail}")))
        }
        Err(Failure::Sync(error @ (SyncError::Refused { .. } | SyncError::NotFound { .. })))
            if !error.is_transient() =>
        {
            Ok(Err(error.to_string()))
        }
        Err(failure) => Err(failure),
    }
}

/// A right that is missing is not an error of the run, but makes it incomplete.
fn not_permitted<T: Default>(
    outcome: Result<T, Failure>,
    what: &str,
) -> Result<(T, Option<String>), Failure> {
    match outcome {
        Ok(read) => Ok((read, None)),
        Err(Failure::NotPermitted(detail)) => {
            Ok((T::default(), Some(format!("{what} (Qualys says {detail})"))))
        }
        Err(failure) => Err(failure),
    }
}
