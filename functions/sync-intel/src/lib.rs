//! Threat intelligence: what the world knows of CVEs, and telling `score` whom it concerns.
//!
//! ```text
//! {"start":"scheduled"} ──> {"feed":"kev"} {"feed":"epss"} {"feed":"exploitdb"} {"feed":"metasploit"} …
//!                                │ conditional GET; nothing new: done, nothing is written
//!                                v
//!                  parse as it arrives ──> doubts? ──> keep what was there, say so
//!                                │
//!        1 changed blocks, with marks ──> 2 assets to score ──> 3 marks off ──> 4 note, entity tag
//! ```
//!
//! **Dying anywhere is repaired by the next delivery.** The entity tag is taken away before the first write and put back
//! after the last, so that the feed is read again; blocks that were written compare equal; those whose users were not
//! told yet carry marks ([`store::IntelPage::pending`]).
//!
//! **A feed that fails never lowers a score.** An answer that is no feed, is empty, broke off, shrank by more than a
//! fifth or is older than what is known changes nothing: the last good data stay, with an error line that tells their
//! age and the problem in the feed's note. A row that cannot be read withholds all removals of that pass.
//!
//! **EPSS moves every day.** Its values are always written as they are, a block of 256 CVEs at a time. `score` is told
//! only where the factor has moved by [`apply::EPSS_MOVE`] since it was last told, so that slow drift adds up and is
//! noticed. A switch of models tells every asset once. Once a week every asset is told, so that moves too small for a
//! write settle.

pub mod apply;
mod ask;
pub mod fetch;
mod pages;
pub mod parse;
mod tell;

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::intel::{Feed, Kev, Nvd, Record};
use domain::policy::Config;
use jiff::{SignedDuration, Timestamp};
use platform::{Clock, Dimension, Metric, Metrics, SecretError, Secrets, Services};
use queue::{IntelMessage, Outgoing, Queue, QueueError, QueueName};
use serde::{Deserialize, Serialize};
use store::{
    EpssPart, ExploitdbPart, MandiantPart, MetasploitPart, MispPart, NucleiPart, RecordedFuturePart, Store,
    StoreError, VulncheckPart,
};
use sync::SyncError;

pub use pages::{Paged, Paging};
pub use parse::{Follow, Malformed, Parsed, Source};

/// Name of the note of when small moves of scores were last written.
pub const SETTLED: &str = "settled";
/// How long after the feeds, so that what they say today is in it, also where one of them is tried again.
const AFTER_FEEDS: SignedDuration = SignedDuration::from_mins(15);
/// Within this time a message that failed does not come back.
const SOON: SignedDuration = SignedDuration::from_mins(30);
/// How often that is done.
const SETTLE_EVERY: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why a feed was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntelError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] SyncError),
    /// What it asks for as proof of who asks cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is not what the feed promises.
    #[error("{feed} is not a {feed} feed: {cause}")]
    Malformed {
        /// The feed.
        feed: Feed,
        /// What is wrong.
        cause: Malformed,
    },
    /// It has far fewer CVEs than before.
    #[error(
        "{feed} shrank from {before} to {now} CVEs; if that is right, send {{\"feed\":\"{feed}\",\"force\":true}}"
    )]
    Shrunk {
        /// The feed.
        feed: Feed,
        /// CVEs when it was last taken in.
        before: usize,
        /// CVEs now.
        now: usize,
    },
    /// It is older than what was taken in before: a mirror or a cache lags behind.
    #[error("{feed} is of {now}, older than what is known, which is of {before}")]
    Older {
        /// The feed.
        feed: Feed,
        /// The date of what is known.
        before: Timestamp,
        /// The date of the answer.
        now: Timestamp,
    },
    /// A message that names neither a feed nor a start.
    #[error("the message names neither a feed nor a start")]
    Nothing,
    /// The table failed, or another run of this feed is under way.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl IntelError {
    fn malformed(feed: Feed, problem: impl std::fmt::Display) -> Self {
        Self::Malformed { feed, cause: Malformed::new(problem) }
    }

    /// Whether the feed is to blame, not our own table or queue.
    fn is_of_the_feed(&self) -> bool {
        match self {
            Self::Fetch(error) => !matches!(error, SyncError::Store(_) | SyncError::Queue(_)),
            Self::Secret(_) | Self::Malformed { .. } | Self::Shrunk { .. } | Self::Older { .. } => true,
            Self::Nothing | Self::Store(_) | Self::Queue(_) => false,
        }
    }

    /// Whether asking again within minutes may help. A shrunken feed stays shrunken until a person looks, and who asks to
    /// wait for longer is asked again by the next start.
    fn may_heal(&self, now: Timestamp) -> bool {
        match self {
            Self::Shrunk { .. } | Self::Older { .. } => false,
            Self::Fetch(SyncError::Throttled { until, .. }) => until.duration_since(now) <= SOON,
            _ => true,
        }
    }
}

/// The note `feed-<name>`: how a feed stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedNote {
    /// The feed's own date, or when it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// CVEs in it.
    pub count: usize,
    /// Its model, where it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Malformed CVE ids that were passed over.
    #[serde(skip_serializing_if = "is_zero")]
    pub dirty: usize,
    /// Why it was not taken in since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl FeedNote {
    /// The name of the note of a feed.
    pub fn name(feed: Feed) -> String {
        format!("feed-{feed}")
    }

    fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    fn write(&self) -> String {
        // A plain structure always becomes JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The function.
pub struct SyncIntel {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    secrets: Secrets,
    config: Arc<Config>,
}

impl SyncIntel {
    /// With what it works with.
    pub fn new(services: &Services) -> Self {
        let Services { store, queue, clock, metrics, secrets, config, .. } = services.clone();
        Self { store, queue, clock, metrics, secrets, config }
    }

    /// Works a batch of [`IntelMessage`]s.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        queue::handle_batch(event, |message: IntelMessage| self.work(message)).await
    }

    /// Works one message.
    pub async fn work(&self, message: IntelMessage) -> Result<(), IntelError> {
        if message.start.is_some() {
            let feeds = self.config.feeds.wanted().map(|feed| Outgoing::now(&IntelMessage::feed(feed)));
            self.queue.send_all(QueueName::Intel, feeds.collect::<Result<_, _>>()?).await?;
            if self.is_unsettled().await? {
                let message = Outgoing::after(&IntelMessage::settle(), AFTER_FEEDS)?;
                self.queue.send(QueueName::Intel, message).await?;
            }
        }
        match message {
            IntelMessage { feed: Some(feed), force, page, .. } => self.pull(feed, page, force).await,
            IntelMessage { settle: true, .. } => self.settle().await,
            IntelMessage { start: Some(_), .. } => Ok(()),
            IntelMessage { .. } => Err(IntelError::Nothing),
        }
    }

    /// Whether a week has passed since small moves of scores were written. The week begins with the first start.
    async fn is_unsettled(&self) -> Result<bool, IntelError> {
        let now = self.clock.now();
        let Some(settled) = self.store.note(SETTLED).await?.and_then(|text| text.parse::<Timestamp>().ok())
        else {
            self.store.put_note(SETTLED, &now.to_string()).await?;
            return Ok(false);
        };
        Ok(now.duration_since(settled) >= SETTLE_EVERY)
    }

    /// Has every score settle. Whoever dies before the end begins again.
    async fn settle(&self) -> Result<(), IntelError> {
        if !self.is_unsettled().await? {
            return Ok(());
        }
        self.tell_everyone(true).await?;
        Ok(self.store.put_note(SETTLED, &self.clock.now().to_string()).await?)
    }

    /// Takes one feed in, if it is wanted. What is wrong with it is said in its note and in one error line with the age of what is kept.
    async fn pull(&self, feed: Feed, page: Option<usize>, force: bool) -> Result<(), IntelError> {
        if self.config.feeds.address(feed).is_empty() {
            tracing::info!(%feed, "the feed is not wanted any more");
            return Ok(());
        }
        let taken = match feed {
            Feed::Kev => self.take_in::<Kev>(force).await,
            Feed::Epss => self.take_in::<EpssPart>(force).await,
            Feed::Exploitdb => self.take_in::<ExploitdbPart>(force).await,
            Feed::Metasploit => self.take_in::<MetasploitPart>(force).await,
            Feed::Nuclei => self.take_in::<NucleiPart>(force).await,
            Feed::Vulnrichment => self.take_in::<Record>(force).await,
            Feed::Nvd => self.take_page::<Nvd>(page, force).await,
            Feed::Vulncheck => self.take_page::<VulncheckPart>(page, force).await,
            Feed::Misp => self.take_page::<MispPart>(page, force).await,
            Feed::Mandiant => self.take_page::<MandiantPart>(page, force).await,
            Feed::RecordedFuture => self.take_in::<RecordedFuturePart>(force).await,
        };
        if taken.as_ref().is_err_and(|error| !error.is_of_the_feed()) {
            return taken;
        }
        let (head, _) = self.store.feed_head(feed).await?;
        let measured = self.metrics.of(Dimension::Feed(feed.as_str())).since(Metric::FeedAge, head.as_of);
        let Err(error) = taken else {
            measured.value(Metric::Received, head.count as u64).emit();
            return Ok(());
        };
        measured.value(Metric::Refused, 1).emit();
        let age = head.as_of.map(|as_of| self.clock.now().duration_since(as_of).as_hours());
        tracing::error!(%feed, %error, kept_cves = head.count, age_hours = age, "feed not taken in, what was known is kept");
        let problem =
            |old: Option<&str>| FeedNote { problem: Some(error.to_string()), ..FeedNote::read(old) }.write();
        self.store.change_note(&FeedNote::name(feed), problem).await?;
        if error.may_heal(self.clock.now()) { Err(error) } else { Ok(()) }
    }
}
