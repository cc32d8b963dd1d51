//! Working one unit.

use domain::RunId;
use domain::policy::Connector;
use jiff::SignedDuration;
use queue::SyncMessage;
use store::{RunStatus, UnitRecord, UnitState};

use super::sink::EngineSink;
use super::{Deadline, Engine, run_of};
use crate::error::SyncError;
use crate::scanner::{Next, Proof, Run, Unit};

/// A unit that waits longer than this sends itself on instead of being read too early.
const EARLY: SignedDuration = SignedDuration::from_secs(1);

impl Engine {
    pub(super) async fn work(&self, connector: &Connector, run: &RunId, unit: &str) -> Result<(), SyncError> {
        let Some((record, planned)) = self.store.run(&connector.name, run).await? else {
            tracing::warn!(connector = %connector.name, %run, "no such run any more, message dropped");
            return Ok(());
        };
        if record.status != RunStatus::Running || record.verdict.is_some() {
            return Ok(());
        }
        let Some(stored) = self.store.unit(&connector.name, run, unit).await? else { return Ok(()) };
        let run = run_of(connector, &record);
        if stored.state != UnitState::Pending {
            return self.finish_if_last(connector, &run, planned).await;
        }
        let now = self.clock.now();
        if let Some(at) = stored.not_before
            && at > now + EARLY
        {
            return self.send(&message(&run, unit), at.duration_since(now)).await;
        }
        let deadline = Deadline::after(self.options.time_budget);
        let built = match (self.make)(connector.clone()).await {
            Ok(built) => built,
            Err(error) => return self.failed(connector, &run, &stored, error).await,
        };
        let before = built.http.requests();
        let mut sink = EngineSink::new(self, &run, unit, deadline);
        let work = Unit { id: stored.id.clone(), work: stored.work.clone() };
        let outcome = match built.scanner.pull(&run, &work, &mut sink).await {
            Ok(Next::Later(at, unit)) => sink.flush().await.map(|()| Next::Later(at, unit)),
            Ok(next) => sink.end().await.map(|()| next),
            Err(error) => {
                // What was read up to here is as good as it was.
                match sink.flush().await {
                    Ok(()) | Err(SyncError::OutOfTime) => Err(error),
                    Err(worse) => Err(worse),
                }
            }
        };
        let mut counts = sink.counts();
        counts.requests = built.http.requests() - before;
        match outcome {
            Ok(Next::Done(proof)) => {
                self.done(connector, &run, &stored, (vec![], proof), counts).await?;
                self.finish_if_last(connector, &run, planned).await
            }
            Ok(Next::More(units, proof)) => {
                self.done(connector, &run, &stored, (units, proof), counts).await?;
                self.finish_if_last(connector, &run, planned).await
            }
            Ok(Next::Later(at, unit)) => {
                self.store
                    .postpone_unit(&connector.name, &run.id, &stored, &unit.work, at, stored.failures)
                    .await?;
                let delay = at.duration_since(self.clock.now());
                self.send(&message(&run, &unit.id), delay).await
            }
            Err(SyncError::OutOfTime) => self.send(&message(&run, unit), SignedDuration::ZERO).await,
            Err(error) => self.failed(connector, &run, &stored, error).await,
        }
    }

    /// Plans what a unit found and ends it.
    async fn done(
        &self,
        connector: &Connector,
        run: &Run,
        unit: &UnitRecord,
        (more, proof): (Vec<Unit>, Proof),
        mut counts: store::RunCounts,
    ) -> Result<(), SyncError> {
        let ids: Vec<_> = more.iter().map(|unit| unit.id.clone()).collect();
        let units: Vec<_> = more.into_iter().map(|unit| (unit.id, unit.work)).collect();
        // New units before the end of this one: the run is never without pending units too early.
        self.store.add_units(&connector.name, &run.id, &units).await?;
        // Their messages too: an ended unit is not worked again, so nobody would miss them.
        self.send_units(run, ids).await?;
        if let Some(announced) = proof.announced {
            counts.announced = announced;
            counts.arrived = proof.received;
        }
        let ended = self
            .store
            .end_unit(&connector.name, &run.id, unit, UnitState::Done, proof.missing.as_deref(), &counts)
            .await;
        match ended {
            Ok(()) => {}
            Err(error) if error.is_conflict() => {
                // Somebody else ended it, or the transaction collided: the next delivery of the message sees which.
                let now = self.store.unit(&connector.name, &run.id, &unit.id).await?;
                if now.is_none_or(|now| now.state == UnitState::Pending) {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// A failed unit is tried again after a pause, and given up after too many failures: then the run is partial.
    async fn failed(
        &self,
        connector: &Connector,
        run: &Run,
        unit: &UnitRecord,
        error: SyncError,
    ) -> Result<(), SyncError> {
        // Our own table or queue failed: the message itself comes back.
        if matches!(error, SyncError::Store(_) | SyncError::Queue(_)) {
            return Err(error);
        }
        let now = self.clock.now();
        if let SyncError::Throttled { until, .. } = &error {
            self.store
                .postpone_unit(&connector.name, &run.id, unit, &unit.work, *until, unit.failures)
                .await?;
            return self.send(&message(run, &unit.id), until.duration_since(now)).await;
        }
        let failures = unit.failures + 1;
        tracing::warn!(connector = %connector.name, run = %run.id, unit = %unit.id, failures, %error, "unit failed");
        if error.is_transient() && failures < self.options.max_failures {
            let pause = self.options.retry_pause * 2_i32.pow(failures - 1);
            self.store
                .postpone_unit(&connector.name, &run.id, unit, &unit.work, now + pause, failures)
                .await?;
            return self.send(&message(run, &unit.id), pause).await;
        }
        let reason = error.to_string();
        let counts = store::RunCounts::default();
        let ended = self
            .store
            .end_unit(&connector.name, &run.id, unit, UnitState::Failed, Some(&reason), &counts)
            .await;
        match ended {
            Ok(()) => self.finish_if_last(connector, run, true).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for the verdict when nothing is left to work. Asking twice is harmless.
    async fn finish_if_last(&self, connector: &Connector, run: &Run, planned: bool) -> Result<(), SyncError> {
        let record = self.store.run(&connector.name, &run.id).await?;
        let over = record.is_some_and(|(record, whole)| {
            record.pending == 0 && (planned || whole) && record.status == RunStatus::Running
        });
        if over {
            self.send(&SyncMessage::finish(connector.name.clone(), run.id.clone()), SignedDuration::ZERO)
                .await?;
        }
        Ok(())
    }
}

fn message(run: &Run, unit: &str) -> SyncMessage {
    SyncMessage::unit(run.connector.clone(), run.id.clone(), unit)
}
