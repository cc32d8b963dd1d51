//! What scanners tell by themselves: written as it comes, without a run.
//!
//! There is no plan, no completeness and no verdict, so that nothing is concluded from silence: a finding closes only by
//! the scanner's own word. Messages may come twice and in any order ([`store::Push`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::policy::Connector;
use domain::{Rule, RuleId, SightingId};
use platform::{Clock, Dimension, Metric, Metrics, Services};
use queue::{Outgoing, Queue, QueueName, ScoreMessage};
use store::{Push, Pushed, RuleBook, Store};

use crate::error::SyncError;

/// Tries of one finding whose host somebody else writes at the same time.
const TRIES: u32 = 8;

/// Takes what scanners of one kind push.
pub struct PushIntake {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    connector: Option<Connector>,
    /// Which rules are known. What somebody else has learnt since is written once more, the same.
    book: tokio::sync::Mutex<RuleBook>,
    introduced: AtomicBool,
}

/// What became of the findings of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// New, or different from what was known.
    pub changed: u64,
    /// Known as they are.
    pub same: u64,
    /// Overtaken by something later.
    pub older: u64,
}

impl PushIntake {
    /// The intake for scanners of `kind`.
    pub fn new(services: &Services, kind: domain::Scanner) -> Self {
        Self {
            store: services.store.clone(),
            queue: services.queue.clone(),
            clock: services.clock.clone(),
            metrics: services.metrics.clone(),
            connector: services.config.pushed_to(kind).cloned(),
            book: tokio::sync::Mutex::new(RuleBook::new(kind)),
            introduced: AtomicBool::new(false),
        }
    }

    /// The connector that takes the pushes, where one is configured.
    pub fn connector(&self) -> Option<&Connector> {
        self.connector.as_ref()
    }

    /// Writes findings with the rules that they name, and tells `score` which hosts to look at.
    pub async fn take(&self, pushes: &[Push], rules: &[Rule]) -> Result<Taken, SyncError> {
        let Some(connector) = &self.connector else { return Ok(Taken::default()) };
        self.introduce(connector).await?;
        self.define(rules).await?;
        let mut taken = Taken::default();
        let mut unscored = BTreeSet::new();
        for push in pushes {
            let sighting = SightingId::new(connector.name.clone(), push.host.native.as_str());
            let (outcome, waits) = self.write(&sighting, push).await?;
            *(match outcome {
                Pushed::Changed => &mut taken.changed,
                Pushed::Same => &mut taken.same,
                Pushed::Older => &mut taken.older,
            }) += 1;
            // Also what an earlier message has written and did not live to tell.
            if waits {
                unscored.insert(sighting);
            }
        }
        if !unscored.is_empty() {
            let message =
                ScoreMessage { sightings: unscored.into_iter().collect(), ..ScoreMessage::default() };
            self.queue.send(QueueName::Score, Outgoing::now(&message)?).await?;
        }
        self.metrics
            .of(Dimension::Connector(connector.name.as_str()))
            .value(Metric::Received, pushes.len() as u64)
            .value(Metric::Written, taken.changed)
            .emit();
        Ok(taken)
    }

    /// Writes one finding. Gives also whether its host waits for `score`.
    async fn write(&self, sighting: &SightingId, push: &Push) -> Result<(Pushed, bool), SyncError> {
        let mut attempt = 0;
        loop {
            let state = self.store.sighting_state(sighting, true).await?;
            match self.store.push_statement(sighting, push, &state).await {
                Ok(outcome) => return Ok((outcome, outcome == Pushed::Changed || state.is_unscored())),
                Err(error) if error.is_conflict() && attempt + 1 < TRIES => {
                    let pause = Duration::from_millis(10 << attempt);
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Stores definitions that are not known yet. The first one stands: what differs between two findings of a rule is
    /// in the findings.
    async fn define(&self, rules: &[Rule]) -> Result<(), SyncError> {
        let ids: Vec<RuleId> = rules.iter().map(|rule| rule.id.clone()).collect();
        let mut book = self.book.lock().await;
        let unknown: BTreeSet<RuleId> = book.unknown(&self.store, ids).await?.into_iter().collect();
        let news: Vec<Rule> = rules.iter().filter(|rule| unknown.contains(&rule.id)).cloned().collect();
        if !news.is_empty() {
            book.write(&self.store, &news, &[]).await?;
        }
        Ok(())
    }

    /// Notes when the connector was first heard. What it tells within the next hour is what was there before.
    async fn introduce(&self, connector: &Connector) -> Result<(), SyncError> {
        if self.introduced.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (mut state, rev) = self.store.connector_state(&connector.name).await?;
        if state.introduced_at.is_none() {
            state.introduced_at = Some(self.clock.now());
            match self.store.put_connector_state(&connector.name, &state, rev).await {
                // Somebody else was quicker.
                Err(error) if error.is_conflict() => {}
                other => other?,
            }
        }
        self.introduced.store(true, Ordering::Relaxed);
        Ok(())
    }
}
