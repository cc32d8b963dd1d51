//! Working one unit.
//!
//! A unit that goes on later takes another turn: first the message for that turn is sent, then the turn is written.
//! A message for an earlier turn than the unit's is a repeat, and somebody else's message keeps the unit going: it does
//! nothing. So a message may come as often as it likes without multiplying, and a unit never waits without a message.

use std::time::Duration;

use domain::RunId;
use domain::policy::Connector;
use jiff::SignedDuration;
use platform::Metric;
use queue::SyncMessage;
use store::{GoesOn, RunStatus, UnitRecord, UnitState};

use super::sink::EngineSink;
use super::{Deadline, Engine, run_of};
use crate::error::SyncError;
use crate::scanner::{CHANGES, Next, Proof, QUESTIONS, Run, Unit};

/// A unit that waits longer than this sends itself on instead of being read too early.
const EARLY: SignedDuration = SignedDuration::from_secs(1);

/// How much longer than its time a unit may take before it is broken off. What a function is killed in nobody counts, and
/// it would be tried for ever.
const OVER_BUDGET: Duration = Duration::from_secs(20);

/// Turns up to which a unit may run out of time. What it has written costs it less the next time, so that a large one needs
/// a few; but each reads its answer from the beginning, and one that has begun so often will not get to the end.
const PATIENT_TURNS: u64 = 50;

/// Whether nothing that was pulled depends on this unit.
fn is_question(unit: &UnitRecord) -> bool {
    [QUESTIONS, CHANGES].iter().any(|prefix| unit.id.starts_with(prefix))
}

impl Engine {
    pub(super) async fn work(
        &self,
        connector: &Connector,
        run: &RunId,
        unit: &str,
        turn: Option<u64>,
    ) -> Result<(), SyncError> {
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
        if turn.is_some_and(|turn| turn < stored.rev) {
            tracing::debug!(connector = %connector.name, run = %run.id, unit, turn, "unit has gone on, message dropped");
            return Ok(());
        }
        // A later turn than the unit's: whoever sent it died before it could write it.
        let next = turn.map_or(stored.rev, |turn| turn.max(stored.rev)) + 1;
        let same = self.again(&stored, next);
        if let Some(at) = stored.not_before
            && at > same.not_before + EARLY
        {
            return self.go_on(&run, &stored, GoesOn { not_before: at, ..same }).await;
        }
        let deadline = Deadline::after(self.options.time_budget);
        let built = match (self.make)(connector.clone()).await {
            Ok(built) => built,
            Err(error) => return self.failed(connector, &run, &stored, next, error).await,
        };
        let requests = || built.http.as_ref().map_or(0, crate::HttpClient::requests);
        let before = requests();
        let mut sink = EngineSink::new(self, &run, unit, deadline);
        let work = Unit { id: stored.id.clone(), work: stored.work.clone() };
        let longest = self.options.time_budget + OVER_BUDGET;
        let pulled = tokio::time::timeout(longest, built.scanner.pull(&run, &work, &mut sink)).await;
        let outcome = match pulled.unwrap_or_else(|_| Err(endless(connector, unit, longest))) {
            Ok(Next::Later(at, unit)) => sink.write().await.map(|()| Next::Later(at, unit)),
            Ok(next) => sink.end().await.map(|()| next),
            // What was read up to here is as good as it was.
            Err(error) => sink.write().await.and(Err(error)),
        };
        let mut counts = sink.counts();
        counts.requests = requests() - before;
        let is_over = match outcome {
            Ok(Next::Done(proof)) => {
                self.done(connector, &run, &stored, (vec![], proof), counts).await.map(|()| true)
            }
            Ok(Next::More(units, proof)) => {
                self.done(connector, &run, &stored, (units, proof), counts).await.map(|()| true)
            }
            Ok(Next::Later(until, _)) if self.is_patience_over(&stored) => {
                Err(SyncError::Throttled { system: connector.name.to_string(), until })
            }
            Ok(Next::Later(at, unit)) => {
                let later = GoesOn { work: &unit.work, not_before: at, ..same };
                self.go_on(&run, &stored, later).await.map(|()| false)
            }
            Err(SyncError::OutOfTime) if next <= PATIENT_TURNS => {
                self.go_on(&run, &stored, same).await.map(|()| false)
            }
            Err(error) => Err(error),
        };
        match is_over {
            Ok(true) => self.finish_if_last(connector, &run, planned).await,
            Ok(false) => Ok(()),
            // Also what the table does not take of the units that it found, or of what it has to remember.
            Err(error) => self.failed(connector, &run, &stored, next, error).await,
        }
    }

    /// How a unit goes on with the same work at once.
    fn again<'a>(&self, unit: &'a UnitRecord, turn: u64) -> GoesOn<'a> {
        let now = self.clock.now();
        let put_off_since = unit.put_off_since.unwrap_or(now);
        GoesOn { work: &unit.work, not_before: now, put_off_since, failures: unit.failures, turn }
    }

    /// Whether a unit has been put off for so long that it will not end.
    fn is_patience_over(&self, unit: &UnitRecord) -> bool {
        unit.put_off_since
            .is_some_and(|since| self.clock.now().duration_since(since) >= self.options.patience)
    }

    /// Sends the message for a unit's next turn, then writes that it is at that turn.
    async fn go_on(&self, run: &Run, unit: &UnitRecord, next: GoesOn<'_>) -> Result<(), SyncError> {
        let message = SyncMessage::unit(run.connector.clone(), run.id.clone(), unit.id.clone(), next.turn);
        self.send(&message, next.not_before.duration_since(self.clock.now())).await?;
        match self.store.postpone_unit(&run.connector, &run.id, unit, next).await {
            // Somebody else took it on meanwhile, and sent a message of his own.
            Err(error) if error.is_conflict() => Ok(()),
            other => Ok(other?),
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
        let ids: Vec<_> = more.iter().map(|unit| (unit.id.clone(), UnitRecord::FIRST_TURN)).collect();
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
            // Measured by whoever ended it, so that a repeat counts nothing twice.
            Ok(()) => self
                .measure(connector, &run.id)
                .field("unit", &unit.id)
                .value(Metric::Received, counts.received)
                .value(Metric::Written, counts.written)
                .value(Metric::Refused, counts.refused)
                .emit(),
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
        turn: u64,
        error: SyncError,
    ) -> Result<(), SyncError> {
        // Our own table or queue failed: the message itself comes back. What the table does not take comes back for ever.
        if matches!(error, SyncError::Store(_) | SyncError::Queue(_)) && !error.is_refused_by_table() {
            return Err(error);
        }
        let same = self.again(unit, turn);
        let outstayed = matches!(error, SyncError::Throttled { .. }) && self.is_patience_over(unit);
        if let SyncError::Throttled { until, .. } = &error
            && !outstayed
        {
            return self.go_on(run, unit, GoesOn { not_before: *until, ..same }).await;
        }
        let failures = unit.failures + 1;
        tracing::warn!(connector = %connector.name, run = %run.id, unit = %unit.id, failures, %error, "unit failed");
        if error.is_transient() && failures < self.options.max_failures && !outstayed {
            let pause = self.options.retry_pause * 2_i32.pow(failures - 1);
            let not_before = same.not_before + pause;
            return self.go_on(run, unit, GoesOn { not_before, failures, ..same }).await;
        }
        let reason = match outstayed {
            true => format!("{error}; it was put off for the first time at {}", same.put_off_since),
            false => error.to_string(),
        };
        let is_password = error.is_refused_password();
        let unanswered = u64::from(unit.id.starts_with(CHANGES) && !is_password);
        let counts = store::RunCounts { unanswered, ..store::RunCounts::default() };
        // Nothing that was pulled is less whole for a question that found no answer.
        let (state, missing) = match is_question(unit) && !is_password {
            true => (UnitState::Done, None),
            false => (UnitState::Failed, Some(&*reason)),
        };
        let ended = self.store.end_unit(&connector.name, &run.id, unit, state, missing, &counts).await;
        match ended {
            Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        if is_password {
            self.give_up(connector, run, &reason).await?;
        }
        // Of the units that it found, some may have been planned before the table refused others.
        if error.is_refused_by_table() {
            self.send_pending(run).await?;
        }
        self.finish_if_last(connector, run, true).await
    }

    /// Ends what is left of a run whose password is refused: each further try counts towards a lock of the account. Where it
    /// was taken for another unit, it is not the password.
    async fn give_up(&self, connector: &Connector, run: &Run, reason: &str) -> Result<(), SyncError> {
        let counts = store::RunCounts::default();
        let units = self.store.units(&connector.name, &run.id, None).await?;
        // A question that found no answer is done as well.
        if units.iter().any(|unit| unit.state == UnitState::Done && !is_question(unit)) {
            return Ok(());
        }
        for unit in units.into_iter().filter(|unit| unit.state == UnitState::Pending) {
            let (name, state) = (&connector.name, UnitState::Failed);
            match self.store.end_unit(name, &run.id, &unit, state, Some(reason), &counts).await {
                // Somebody has gone on with it, and will be refused himself, or was not.
                Err(error) if error.is_conflict() => {}
                other => other?,
            }
        }
        Ok(())
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

/// A unit that neither ended nor noticed that its time was over: its scanner goes on sending, or asks too much at once.
fn endless(connector: &Connector, unit: &str, longest: Duration) -> SyncError {
    SyncError::Unreachable {
        system: connector.name.to_string(),
        what: unit.to_owned(),
        detail: format!("it did not end within {} seconds", longest.as_secs()),
        sent: true,
    }
}
