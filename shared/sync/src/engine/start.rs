//! Starting a run, or taking up the one under way.

use domain::RunId;
use domain::policy::{Connector, Via};
use jiff::{SignedDuration, Timestamp};
use queue::{SyncMessage, Trigger};
use store::{ConnectorState, RunStatus, UnitState};

use super::{Asked, Engine, run_of};
use crate::error::SyncError;
use crate::scanner::{Mode, Run};

/// A run that waits for approval no longer keeps the connector from running again after this time.
const HELD_FOR: SignedDuration = SignedDuration::from_hours(24 * 7);

impl Engine {
    /// `request` names the wish. One that was taken up before only resumes the run that it may have begun.
    pub(super) async fn start(
        &self,
        connector: &Connector,
        trigger: Trigger,
        request: Option<&str>,
    ) -> Result<(), SyncError> {
        let (mut state, mut rev) = self.store.connector_state(&connector.name).await?;
        let taken = request.is_some_and(|request| state.has_taken(request));
        let now = self.clock.now();
        if let Some(active) = state.active.clone() {
            match self.store.run(&connector.name, &active).await? {
                Some((record, _))
                    if record.status == RunStatus::Held && record.started_at + HELD_FOR < now =>
                {
                    // Nobody approved. Its closings stay pending, and a later run proposes them again.
                    state.active = None;
                }
                Some((record, planned)) => {
                    if trigger != Trigger::Scheduled && !taken {
                        state.again = true;
                        state.take(request);
                        self.store.put_connector_state(&connector.name, &state, rev).await?;
                    }
                    let run = run_of(connector, &record);
                    return self.resume(connector, &run, planned).await;
                }
                None => state.active = None,
            }
            self.store.put_connector_state(&connector.name, &state, rev).await?;
            (state, rev) = self.store.connector_state(&connector.name).await?;
        }
        if taken {
            tracing::debug!(connector = %connector.name, request, "this wish had its run, message dropped");
            return Ok(());
        }
        state.take(request);
        state.first_run_at.get_or_insert(now);
        let mode = self.mode(connector, &state, trigger);
        let id = RunId::new(now, discriminator(&state));
        let changes_since = match connector.via() {
            Some(Via::Files) => None,
            _ => state.definitions_since.or(state.watermark).map(|since| since - self.options.overlap),
        };
        let run = Run { connector: connector.name.clone(), id, mode, started_at: now, changes_since };
        let stored_mode = serde_json::to_value(Asked { mode, changes_since }).unwrap_or_default();
        self.store.begin_run(&connector.name, (&state, rev), &run.id, &stored_mode, now).await?;
        tracing::info!(connector = %connector.name, run = %run.id, ?mode, "run began");
        self.resume(connector, &run, false).await
    }

    /// Plans the first units of a run.
    async fn plan(&self, connector: &Connector, run: &Run) -> Result<(), SyncError> {
        let units = (self.make)(connector.clone()).await?.scanner.plan(run).await?;
        let units: Vec<_> = units.into_iter().map(|unit| (unit.id, unit.work)).collect();
        Ok(self.store.add_units(&connector.name, &run.id, &units).await?)
    }

    /// Full when a full one is due or was asked for, otherwise what changed since the watermark.
    fn mode(&self, connector: &Connector, state: &ConnectorState, trigger: Trigger) -> Mode {
        if connector.via() == Some(Via::Files) {
            // Files never tell of all hosts: nobody is missing because he is not in them.
            return Mode::Incremental { since: Timestamp::UNIX_EPOCH };
        }
        let now = self.clock.now();
        let full_due = state
            .last_full
            .as_ref()
            .is_none_or(|(_, at)| now.duration_since(*at) >= connector.full_interval.duration());
        match state.watermark {
            Some(since) if !full_due && trigger != Trigger::Full => {
                Mode::Incremental { since: since - self.options.overlap }
            }
            _ => Mode::Full,
        }
    }

    /// Plans what is not planned and sends what is not done: all of it can be repeated.
    async fn resume(&self, connector: &Connector, run: &Run, planned: bool) -> Result<(), SyncError> {
        if !planned {
            match self.plan(connector, run).await {
                Ok(()) => self.store.mark_planned(&connector.name, &run.id).await?,
                Err(error) if error.is_transient() && !error.is_refused_by_table() => return Err(error),
                Err(error) => {
                    // Nothing can be pulled: the run ends as failed, with the reason on the page.
                    tracing::error!(connector = %connector.name, run = %run.id, %error, "run cannot be planned");
                    self.fail_plan(connector, run, &error).await?;
                }
            }
        }
        let pending = self.store.units(&connector.name, &run.id, Some(UnitState::Pending)).await?;
        if pending.is_empty() {
            let finish = SyncMessage::finish(connector.name.clone(), run.id.clone());
            return self.send(&finish, SignedDuration::ZERO).await;
        }
        self.send_units(run, pending.into_iter().map(|unit| (unit.id, unit.rev))).await
    }

    /// Sends every unit that is not done.
    pub(super) async fn send_pending(&self, run: &Run) -> Result<(), SyncError> {
        let pending = self.store.units(&run.connector, &run.id, Some(UnitState::Pending)).await?;
        self.send_units(run, pending.into_iter().map(|unit| (unit.id, unit.rev))).await
    }

    /// Keeps why a run cannot be planned as a failed unit, so that the verdict has its reason.
    async fn fail_plan(&self, connector: &Connector, run: &Run, error: &SyncError) -> Result<(), SyncError> {
        let plan = [("plan".to_owned(), serde_json::Value::Null)];
        self.store.add_units(&connector.name, &run.id, &plan).await?;
        if let Some(unit) = self.store.unit(&connector.name, &run.id, "plan").await?
            && unit.state == UnitState::Pending
        {
            let counts = store::RunCounts::default();
            let reason = error.to_string();
            self.store
                .end_unit(&connector.name, &run.id, &unit, UnitState::Failed, Some(&reason), &counts)
                .await?;
        }
        Ok(self.store.mark_planned(&connector.name, &run.id).await?)
    }
}

/// Tells two runs of one second apart: by what the connector remembered when each began.
fn discriminator(state: &ConnectorState) -> u16 {
    let json = serde_json::to_vec(state).unwrap_or_default();
    u16::try_from(domain::digest(&json) & 0xffff).unwrap_or_default()
}
