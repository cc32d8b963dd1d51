//! Looks for timers that are due and has `score` decide on their assets: follow-ups, warnings, deadlines, the end of
//! acceptances, and effects that nobody confirmed.
//!
//! Each open vulnerability sits in exactly one timer bucket, that of the next thing to do, and leaves it when that is
//! done. So an outage loses nothing: whatever was not done is still in its bucket, and the first bucket with something
//! in it is where the next pass begins, or that of the day before, whichever is earlier.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::policy::Config;
use domain::{AssetId, ConnectorName, RunId};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use platform::{Clock, Dimension, Metric, Metrics, Services};
use queue::{EffectMessage, Outgoing, Queue, QueueError, QueueName, ScoreMessage};
use serde::Serialize;
use store::{Due, Store, StoreError};

/// Assets in one message to `score`.
const ASSETS_PER_MESSAGE: usize = 25;
/// Name of the note that remembers where the next pass begins.
const NOTE: &str = "sla-begin";
/// A first pass looks back this many days: others may have worked for a week before it succeeded once.
const FIRST_LOOK_BACK: i64 = 7;

/// Why a pass failed; the next one does what is left.
#[derive(Debug, thiserror::Error)]
pub enum SlaError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pass {
    /// Days looked at.
    pub days: u32,
    /// Assets with something due.
    pub assets: usize,
    /// Runs with notifications that nobody has confirmed.
    pub runs: usize,
}

/// The function.
pub struct Sla {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    config: Arc<Config>,
}

impl Sla {
    /// The function with what it works with.
    pub fn new(services: &Services) -> Self {
        let Services { store, queue, clock, metrics, config, .. } = services.clone();
        Self { store, queue, clock, metrics, config }
    }

    /// One pass over everything that is due.
    pub async fn handle(&self) -> Result<Pass, SlaError> {
        let now = self.clock.now();
        let today = now.to_zoned(TimeZone::UTC).date();
        let noted = self.store.note(NOTE).await?;
        let first = noted.as_ref().and_then(|text| text.parse::<Date>().ok());
        let mut day = first.unwrap_or_else(|| back(today, FIRST_LOOK_BACK));
        let mut pass = Pass::default();
        let mut begin = None;
        while day <= today {
            let due = self.store.due(day, now).await?;
            if due != Due::default() && begin.is_none() {
                begin = Some(day);
            }
            pass.days += 1;
            pass.assets += due.assets.len();
            pass.runs += due.runs.len();
            self.send(&due.assets).await?;
            for (connector, run) in &due.runs {
                self.ask_again(connector, run).await?;
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        // What was due a moment before midnight may be in the index only after this pass.
        let begin = begin.unwrap_or(today).min(back(today, 1)).to_string();
        if noted.as_deref() != Some(begin.as_str()) {
            self.store.put_note(NOTE, &begin).await?;
        }
        self.measure().await?;
        tracing::info!(days = pass.days, assets = pass.assets, runs = pass.runs, "timers looked at");
        Ok(pass)
    }

    /// How old what we know is: of each connector and each feed, also while nothing runs.
    async fn measure(&self) -> Result<(), SlaError> {
        for connector in &self.config.connectors {
            let (state, _) = self.store.connector_state(&connector.name).await?;
            let of = self.metrics.of(Dimension::Connector(connector.name.as_str()));
            of.since(Metric::SyncLag, state.watermark).emit();
        }
        for feed in self.config.feeds.wanted() {
            let (head, _) = self.store.feed_head(feed).await?;
            self.metrics.of(Dimension::Feed(feed.as_str())).since(Metric::FeedAge, head.as_of).emit();
        }
        Ok(())
    }

    async fn send(&self, assets: &BTreeSet<AssetId>) -> Result<(), SlaError> {
        let assets: Vec<_> = assets.iter().cloned().collect();
        let messages = assets
            .chunks(ASSETS_PER_MESSAGE)
            .map(|part| Outgoing::now(&ScoreMessage { assets: part.to_vec(), ..ScoreMessage::default() }))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(self.queue.send_all(QueueName::Score, messages).await?)
    }

    /// The notifications of a run are decided on by nobody but the run itself: they are asked for again as they are.
    async fn ask_again(&self, connector: &ConnectorName, run: &RunId) -> Result<(), SlaError> {
        let Some((record, _)) = self.store.run(connector, run).await? else { return Ok(()) };
        let messages = record
            .intents
            .into_keys()
            .map(|intent| Outgoing::now(&EffectMessage::of_run(connector, run, intent)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(self.queue.send_all(QueueName::Notify, messages).await?)
    }
}

fn back(day: Date, days: i64) -> Date {
    day.checked_sub(jiff::Span::new().days(days)).unwrap_or(day)
}
