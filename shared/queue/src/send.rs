//! Sending: in batches of ten, nothing lost when a part of a batch is refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use domain::Scanner;
use jiff::SignedDuration;
use serde::Serialize;

/// Longest delay that SQS takes.
pub const MAX_DELAY: SignedDuration = SignedDuration::from_mins(15);
/// Most messages in one batch.
const BATCH: usize = 10;
/// Tries of the refused part of a batch.
const TRIES: usize = 4;

/// The queues between functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueName {
    /// Runs and units of one kind of scanner.
    Sync(Scanner),
    /// Feeds to pull.
    Intel,
    /// Accounts whose network is to be read, and assets to look up in firewall rules.
    Exposure,
    /// Sightings and assets to decide on.
    Score,
    /// Messages to send.
    Notify,
    /// Tickets to open and close.
    Ticket,
}

impl QueueName {
    /// Every queue.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<_> = Scanner::all().map(Self::Sync).collect();
        all.extend([Self::Intel, Self::Exposure, Self::Score, Self::Notify, Self::Ticket]);
        all
    }

    /// The queue's name, without the deployment's prefix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync(scanner) => scanner.kind().queue,
            Self::Intel => "sync-intel",
            Self::Exposure => "sync-exposure",
            Self::Score => "score",
            Self::Notify => "notify",
            Self::Ticket => "ticket",
        }
    }

    /// The environment variable that holds the queue's address: `QUEUE_SYNC_QUALYS`.
    pub fn variable(self) -> String {
        format!("QUEUE_{}", self.as_str().to_uppercase().replace('-', "_"))
    }
}

/// A message that could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The function was deployed without the address of a queue that it needs.
    #[error("{0} is not set: it holds the address of a queue that this function sends to")]
    NoAddress(String),
    /// SQS failed.
    #[error("cannot send to {queue}: {cause}")]
    Send {
        /// Which queue.
        queue: &'static str,
        /// What SQS said.
        cause: String,
    },
    /// A message that cannot be written as JSON.
    #[error("cannot write a message: {0}")]
    Encode(#[from] serde_json::Error),
}

/// A message with its delay.
#[derive(Debug, Clone)]
pub struct Outgoing {
    body: String,
    delay: SignedDuration,
}

impl Outgoing {
    /// Sent at once.
    pub fn now(message: &impl Serialize) -> Result<Self, QueueError> {
        Self::after(message, SignedDuration::ZERO)
    }

    /// Sent after a delay. Delays over 15 minutes are cut to that: who receives a message early sends it on.
    pub fn after(message: &impl Serialize, delay: SignedDuration) -> Result<Self, QueueError> {
        Ok(Self {
            body: serde_json::to_string(message)?,
            delay: delay.clamp(SignedDuration::ZERO, MAX_DELAY),
        })
    }
}

/// The queues that a function may send to.
#[derive(Clone)]
pub struct Queue {
    client: Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>,
    addresses: Arc<BTreeMap<QueueName, String>>,
    sent: Arc<BTreeMap<QueueName, AtomicU64>>,
}

impl Queue {
    /// Queues at these addresses.
    pub fn new(client: Client, addresses: BTreeMap<QueueName, String>) -> Self {
        Self::with(|| client, addresses)
    }

    /// The same with a client that is made when a message is first sent.
    pub fn with(
        make: impl FnOnce() -> Client + Send + 'static,
        addresses: BTreeMap<QueueName, String>,
    ) -> Self {
        let client = Arc::new(LazyLock::new(Box::new(make) as _));
        let sent = addresses.keys().map(|name| (*name, AtomicU64::new(0))).collect();
        Self { client, addresses: Arc::new(addresses), sent: Arc::new(sent) }
    }

    /// Messages sent so far, by queue.
    pub fn sent(&self) -> BTreeMap<&'static str, u64> {
        self.sent.iter().map(|(name, count)| (name.as_str(), count.load(Ordering::Relaxed))).collect()
    }

    /// Sends one message.
    pub async fn send(&self, to: QueueName, message: Outgoing) -> Result<(), QueueError> {
        self.send_all(to, vec![message]).await
    }

    /// Sends all messages, or fails. After a failure some may have been sent: receivers take repeats.
    pub async fn send_all(&self, to: QueueName, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        let address = self.addresses.get(&to).ok_or_else(|| QueueError::NoAddress(to.variable()))?;
        for batch in messages.chunks(BATCH) {
            self.send_batch(to, address, batch).await?;
        }
        Ok(())
    }

    async fn send_batch(&self, to: QueueName, address: &str, batch: &[Outgoing]) -> Result<(), QueueError> {
        let fail = |cause: String| QueueError::Send { queue: to.as_str(), cause };
        let mut left: Vec<usize> = (0..batch.len()).collect();
        for _ in 0..TRIES {
            let entries = left
                .iter()
                .map(|&i| {
                    SendMessageBatchRequestEntry::builder()
                        .id(i.to_string())
                        .message_body(&batch[i].body)
                        .set_delay_seconds(delay_seconds(batch[i].delay))
                        .build()
                        .map_err(|e| fail(e.to_string()))
                })
                .collect::<Result<Vec<_>, _>>()?;
            let answer = self
                .client
                .send_message_batch()
                .queue_url(address)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|e| fail(aws_sdk_sqs::error::DisplayErrorContext(&e).to_string()))?;
            let sent = answer.successful().len();
            if let Some(count) = self.sent.get(&to) {
                count.fetch_add(sent as u64, Ordering::Relaxed);
            }
            left = answer.failed().iter().filter_map(|f| f.id().parse().ok()).collect();
            if left.is_empty() {
                return Ok(());
            }
            if let Some(refused) = answer.failed().iter().find(|f| f.sender_fault()) {
                return Err(fail(refused.message().unwrap_or("refused").to_owned()));
            }
        }
        Err(fail(format!("{} messages were refused {TRIES} times", left.len())))
    }
}

fn delay_seconds(delay: SignedDuration) -> Option<i32> {
    // Rounded up: a message that comes a second early would only be sent on again.
    let seconds = delay.as_secs() + i64::from(delay.subsec_nanos() > 0);
    i32::try_from(seconds).ok().filter(|s| *s > 0)
}
