//! Works runs: plans units, pulls them, judges the whole, releases what is proven.
//!
//! Every step can be repeated and can end anywhere. A message only says where to look; what is done is in the table.

pub(crate) mod check;
mod finish;
mod fit;
mod sink;
pub(crate) use sink::weight;
mod start;
mod unit;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::policy::{Config, Connector};
use domain::{Check, CheckLine, Outcome};
use jiff::{SignedDuration, Timestamp};
use platform::telemetry::Measured;
use platform::{Clock, Dimension, Metrics, Services};
use queue::{Outgoing, Queue, QueueName, SyncMessage};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::error::SyncError;
use crate::scanner::{Mode, Run, Scanner};

/// Makes the scanner of a connector: reads its secret and builds its client.
pub type MakeScanner =
    Box<dyn Fn(Connector) -> Pin<Box<dyn Future<Output = Result<Built, SyncError>> + Send>> + Send + Sync>;

/// A scanner ready to be asked.
pub struct Built {
    /// The scanner.
    pub scanner: Box<dyn Scanner>,
    /// Its client, for the number of requests sent; none where no network is used.
    pub http: Option<crate::HttpClient>,
}

/// Settings of the engine that differ between a function on AWS and a test.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Time that one message may take; a unit that needs longer goes on in the next message.
    pub time_budget: Duration,
    /// Pause before a failed unit is tried again; doubles with each failure.
    pub retry_pause: SignedDuration,
    /// Failures after which a unit is given up.
    pub max_failures: u32,
    /// For so long a unit may be put off, by limits, maintenance or what is not ready, before it is given up: no other run
    /// begins meanwhile.
    pub patience: SignedDuration,
    /// How far an incremental run reaches back before the last one, against late arrivals.
    pub overlap: SignedDuration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            time_budget: Duration::from_secs(240),
            retry_pause: SignedDuration::from_secs(15),
            max_failures: 4,
            // Some accounts have windows of a day.
            patience: SignedDuration::from_hours(72),
            overlap: SignedDuration::from_hours(1),
        }
    }
}

/// The engine of one kind of scanner.
pub struct Engine {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    config: Arc<Config>,
    options: EngineOptions,
    kind: domain::Scanner,
    make: MakeScanner,
}

/// Messages to `score` name at most this many sightings.
const SIGHTINGS_PER_MESSAGE: usize = 25;

impl Engine {
    /// An engine for the connectors of `kind` in the configuration.
    pub fn new(
        services: &Services,
        options: EngineOptions,
        kind: domain::Scanner,
        make: MakeScanner,
    ) -> Self {
        let Services { store, queue, clock, metrics, config, .. } = services.clone();
        Self { store, queue, clock, metrics, config, options, kind, make }
    }

    /// Begins to measure something of a connector's run.
    fn measure<'a>(&'a self, connector: &'a Connector, run: &domain::RunId) -> Measured<'a> {
        self.metrics.of(Dimension::Connector(connector.name.as_str())).field("run", run)
    }

    /// Works one message.
    pub async fn handle(&self, message: SyncMessage) -> Result<(), SyncError> {
        let Some(connector) = self.config.connector(&message.connector).filter(|c| c.scanner == self.kind)
        else {
            tracing::warn!(connector = %message.connector, "no such connector any more, message dropped");
            return Ok(());
        };
        if message.check {
            let check = self.check(connector).await;
            tracing::info!(connector = %connector.name, good = check.is_good(), "connector tried out");
            return Ok(self.store.put_check(&connector.name, &check).await?);
        }
        match (message.start, message.run, message.unit) {
            (Some(trigger), ..) => self.start(connector, trigger, message.request.as_deref()).await,
            (None, Some(run), Some(unit)) => self.work(connector, &run, &unit, message.turn).await,
            (None, Some(run), None) => self.finish(connector, &run).await,
            (None, None, _) => {
                tracing::error!(connector = %connector.name, "message names neither a start nor a run, dropped");
                Ok(())
            }
        }
    }

    /// Tries a connector out: address, credentials, clock, and the right to each stream.
    pub async fn check(&self, connector: &Connector) -> Check {
        let mut lines = vec![check::address(connector)];
        match (self.make)(connector.clone()).await {
            Err(error) => lines.push(check::failed("credentials", &error)),
            Ok(built) => match built.scanner.check().await {
                Err(error) => lines.push(check::failed("credentials", &error)),
                Ok(says) => {
                    lines.push(CheckLine::new("credentials", Outcome::Good, says));
                    let told = built.http.as_ref().and_then(crate::HttpClient::told_time);
                    lines.extend(told.map(|told| check::clock(told, self.clock.now())));
                    lines.extend(built.scanner.rights(self.clock.now()).await);
                }
            },
        }
        Check { at: self.clock.now(), lines }
    }

    async fn send(&self, message: &SyncMessage, delay: SignedDuration) -> Result<(), SyncError> {
        Ok(self.queue.send(QueueName::Sync(self.kind), Outgoing::after(message, delay)?).await?)
    }

    /// Asks for units, each with the turn that it is at.
    async fn send_units(
        &self,
        run: &Run,
        units: impl IntoIterator<Item = (String, u64)>,
    ) -> Result<(), SyncError> {
        let messages = units
            .into_iter()
            .map(|(unit, turn)| {
                Outgoing::now(&SyncMessage::unit(run.connector.clone(), run.id.clone(), unit, turn))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(self.queue.send_all(QueueName::Sync(self.kind), messages).await?)
    }

    async fn send_to_score(&self, sightings: &[domain::SightingId]) -> Result<(), SyncError> {
        let messages = sightings
            .chunks(SIGHTINGS_PER_MESSAGE)
            .map(|part| {
                Outgoing::now(&queue::ScoreMessage { sightings: part.to_vec(), ..Default::default() })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(self.queue.send_all(QueueName::Score, messages).await?)
    }
}

/// What a run asks for, as it is stored.
#[derive(Serialize, Deserialize)]
struct Asked {
    #[serde(flatten)]
    mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changes_since: Option<Timestamp>,
}

/// The run of a record, with what it asks for read back.
fn run_of(connector: &Connector, record: &store::RunRecord) -> Run {
    let full = Asked { mode: Mode::Full, changes_since: None };
    let Asked { mode, changes_since } = serde_json::from_value(record.mode.clone()).unwrap_or(full);
    let (connector, id) = (connector.name.clone(), record.id.clone());
    Run { connector, id, mode, started_at: record.started_at, changes_since: changes_since.or(mode.since()) }
}

/// The end of this invocation's time.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}
