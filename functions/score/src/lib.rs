//! Decides: which asset a sighting belongs to, which vulnerabilities an asset has, and what has to happen.
//!
//! The rules are in `domain`; this function reads what they need, writes the difference, and sends the effects that
//! they want. It alone derives decisions; what people decide is written by the pages, and derived from here. Every step
//! is conditional on what was read: who loses a race reads again and decides again.

mod asset;
mod correlate;
mod counting;
mod lookup;
mod moving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use domain::policy::Config;
use domain::{AssetId, SightingId};
use jiff::Timestamp;
use platform::{Clock, Dimension, Metric, Metrics, Services};
use queue::{Queue, QueueError, ScoreMessage, handle_batch};
use store::{Store, StoreError};

use lookup::Lookup;

/// Tries of something that others change at the same time.
const TRIES: u32 = 8;
/// How often one message decides on one asset, whose sightings may join, leave and unite it with others.
const ROUNDS: u32 = 8;

/// Why a message could not be worked; it comes back.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl ScoreError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_conflict())
    }
}

/// The function.
pub struct Score {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    config: Arc<Config>,
    config_version: u64,
}

impl Score {
    /// The function with what it works with.
    pub fn new(services: &Services) -> Self {
        Self {
            store: services.store.clone(),
            queue: services.queue.clone(),
            clock: services.clock.clone(),
            metrics: services.metrics.clone(),
            config: services.config.clone(),
            config_version: services.config_version,
        }
    }

    /// Works a batch of messages.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        let sent: Vec<_> = event.records.iter().map(|r| (r.message_id.clone(), sent_at(r))).collect();
        let response = handle_batch(event, |message: ScoreMessage| self.work(message)).await;
        let failed = |id: &Option<String>| {
            response.batch_item_failures.iter().any(|failure| Some(&failure.item_identifier) == id.as_ref())
        };
        let now = self.clock.now();
        let ages = sent
            .iter()
            .filter(|(id, _)| !failed(id))
            .filter_map(|(_, sent)| u64::try_from(now.duration_since((*sent)?).as_secs().max(0)).ok());
        self.metrics.of(Dimension::Function("score")).values(Metric::ScoreAge, ages.collect()).emit();
        response
    }

    /// Works one message: sightings to their assets, then each asset once, and whatever that touches. What cannot be decided
    /// keeps no others back; the message comes again for it.
    pub async fn work(&self, message: ScoreMessage) -> Result<(), ScoreError> {
        let mut assets: BTreeSet<AssetId> = message.assets.into_iter().collect();
        let mut failures = Failures::default();
        for sighting in &message.sightings {
            let found = self.assets_of(sighting).await;
            assets.extend(failures.note(sighting, found)?);
        }
        let lookup = Lookup::new(&self.store);
        let mut times: BTreeMap<AssetId, u32> = BTreeMap::new();
        while let Some(asset) = assets.pop_first() {
            let time = times.entry(asset.clone()).or_default();
            *time += 1;
            if *time > ROUNDS {
                tracing::warn!(%asset, "its identity does not settle, left for the next message");
                continue;
            }
            let decided = again_on_conflict(|| self.decide(&asset, &lookup, message.settle)).await;
            assets.extend(failures.note(&asset, decided)?);
        }
        failures.first.map_or(Ok(()), Err)
    }

    /// The asset of a sighting; found or founded where it has none yet, with those that this touches.
    async fn assets_of(&self, sighting: &SightingId) -> Result<BTreeSet<AssetId>, ScoreError> {
        if let Some(link) = self.store.link(sighting).await? {
            return Ok([link.asset].into());
        }
        again_on_conflict(|| self.correlate(sighting)).await
    }
}

/// What of a message could not be decided.
#[derive(Default)]
struct Failures {
    first: Option<ScoreError>,
    count: usize,
}

impl Failures {
    /// Keeps an error for the end. With the third it is not what was asked for that is bad: then the rest waits too.
    fn note(
        &mut self,
        what: &dyn std::fmt::Display,
        outcome: Result<BTreeSet<AssetId>, ScoreError>,
    ) -> Result<BTreeSet<AssetId>, ScoreError> {
        const MANY: usize = 3;
        match outcome {
            Err(error) if self.count + 1 < MANY => {
                tracing::warn!(%what, %error, "not decided, the others are");
                self.count += 1;
                self.first.get_or_insert(error);
                Ok(BTreeSet::new())
            }
            other => other,
        }
    }
}

/// When a change was told: its message is sent as soon as the statement is written, and keeps that time however often
/// it comes back.
fn sent_at(record: &SqsMessage) -> Option<Timestamp> {
    let millisecond = record.attributes.get("SentTimestamp")?.parse().ok()?;
    Timestamp::from_millisecond(millisecond).ok()
}

/// Repeats what lost a race, after a growing, jittered pause.
async fn again_on_conflict<T, W>(work: impl Fn() -> W) -> Result<T, ScoreError>
where
    W: Future<Output = Result<T, ScoreError>>,
{
    let mut attempt = 0;
    loop {
        match work().await {
            Err(error) if error.is_conflict() && attempt + 1 < TRIES => {
                let pause = Duration::from_millis(5 << attempt).mul_f64(0.5 + fastrand::f64());
                tokio::time::sleep(pause).await;
                attempt += 1;
            }
            other => return other,
        }
    }
}
