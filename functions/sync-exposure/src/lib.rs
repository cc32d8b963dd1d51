//! Network exposure: who can reach each asset, with the path that proves it.
//!
//! ```text
//! {"start":"scheduled"} ─┬─> {"aws":{"account":…,"region":…}} …   security groups, addresses, load balancers
//!                        └─> {"firewall":{}} ──> {"firewall":{"owner":"payments"}} …   imported rules
//!                                                      │ each asset's addresses, or its instance id
//!                                                      v
//!                             differs from what the asset says? ──> 1 the asset, with a timer ──> 2 assets to score
//! ```
//!
//! The rules that judge are in [`domain::exposure`]. Only assets of which something else is shown than before are written
//! and decided on again; whoever dies between the two is repaired by the asset's timer.
//!
//! **An account that cannot be read changes nothing.** It is read as a whole or not at all; what it showed last is kept,
//! and the problem is in its note, in the log, and, when tries run out, among the dead letters.

mod aws;
mod firewall;
mod pull;

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::AssetId;
use domain::exposure::{Reach, ReachSource};
use domain::policy::Config;
use futures::stream::{self, StreamExt, TryStreamExt};
use platform::{Clock, Services};
use queue::{AssetWalk, ExposureMessage, Outgoing, Queue, QueueError, QueueName, ScoreMessage};
use store::{Store, StoreError};

pub use aws::ReadError;
pub use pull::RegionNote;

/// Assets in one message to `score`.
const ASSETS: usize = 25;
/// Writes under way at a time.
const PARALLEL: usize = 8;

/// Why a message could not be worked; it comes back.
#[derive(Debug, thiserror::Error)]
pub enum ExposureError {
    /// A message that names nothing to do.
    #[error("the message names neither a start, nor an account, nor assets to look up")]
    Nothing,
    /// The network of an account could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What a source shows of an asset now; `None`: it has nothing to say any more.
struct Shown {
    asset: AssetId,
    source: ReachSource,
    reach: Option<Reach>,
}

/// The function.
pub struct SyncExposure {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    aws: SdkConfig,
}

impl SyncExposure {
    /// With what it works with. `aws`: how the accounts are reached that it reads.
    pub fn new(services: &Services, aws: SdkConfig) -> Self {
        let Services { store, queue, clock, config, .. } = services.clone();
        Self { store, queue, clock, config, aws }
    }

    /// Works a batch of [`ExposureMessage`]s.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        queue::handle_batch(event, |message: ExposureMessage| self.work(message)).await
    }

    /// Works one message.
    pub async fn work(&self, message: ExposureMessage) -> Result<(), ExposureError> {
        match message {
            ExposureMessage { aws: Some(unit), .. } => self.pull(&unit).await,
            ExposureMessage { firewall: Some(walk), .. } => self.look_up(walk).await,
            ExposureMessage { start: Some(_), .. } => self.start().await,
            ExposureMessage { .. } => Err(ExposureError::Nothing),
        }
    }

    /// Has every part done, each by a message of its own.
    async fn start(&self) -> Result<(), ExposureError> {
        let accounts = self.config.exposure.accounts.iter();
        let units =
            accounts.flat_map(|of| of.regions.iter().map(|region| ExposureMessage::aws(&of.account, region)));
        let mut parts: Vec<Outgoing> = units.map(|unit| Outgoing::now(&unit)).collect::<Result<_, _>>()?;
        if !self.firewalls().await?.is_empty() {
            parts.push(Outgoing::now(&ExposureMessage::firewall(AssetWalk::default()))?);
        }
        Ok(self.queue.send_all(QueueName::Exposure, parts).await?)
    }

    /// Keeps what is shown, and has those assets decided on of which that is something new. Tells how many those are.
    async fn keep(&self, shown: Vec<Shown>) -> Result<usize, ExposureError> {
        let now = self.clock.now();
        let kept = shown.into_iter().map(|Shown { asset, source, reach }| async move {
            let changed = self.store.put_reach(&asset, &source, reach.as_ref(), now).await?;
            Ok::<_, StoreError>(changed.then_some(asset))
        });
        let kept: Vec<Option<AssetId>> = stream::iter(kept).buffer_unordered(PARALLEL).try_collect().await?;
        let changed: Vec<AssetId> = kept.into_iter().flatten().collect();
        let message =
            |assets: &[AssetId]| ScoreMessage { assets: assets.to_vec(), ..ScoreMessage::default() };
        let messages = changed.chunks(ASSETS).map(|assets| Outgoing::now(&message(assets)));
        self.queue.send_all(QueueName::Score, messages.collect::<Result<_, _>>()?).await?;
        Ok(changed.len())
    }
}
