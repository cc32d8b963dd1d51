//! Event sources: what Lambda does between a queue and a function.
//!
//! A batch is received, turned into the event that Lambda would hand over, and given to the handler. What the handler
//! reports as failed, and the whole batch after an error, a panic, a timeout or a malformed answer, comes back later;
//! the rest is deleted. Two ways to drive it: [`EventSources::run`] in the background, as a service does, and
//! [`EventSources::drain`], one batch at a time in a fixed order, as tests want it.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::queues::{Message, QueueError, Queues, Received};
use super::{LocalAwsError, REGION, sqs, stop_requested};

/// Lambda takes events of 6 MB; the rest is for what surrounds the bodies.
const MAX_EVENT_BYTES: usize = 5 * 1024 * 1024;
/// Largest batch that Lambda forms.
const MAX_BATCH: usize = 10_000;
/// Pause after the queue storage failed.
const STORAGE_RETRY: Duration = Duration::from_secs(1);

/// A function: takes an event, tells which of its messages failed.
pub type Handler =
    Arc<dyn Fn(SqsEvent) -> BoxFuture<'static, Result<SqsBatchResponse, String>> + Send + Sync>;

/// A queue and the function that consumes it.
#[derive(Clone)]
pub struct EventSource {
    /// Queue to consume.
    pub queue: String,
    /// Most messages per event.
    pub batch_size: usize,
    /// Most events handled at the same time by [`EventSources::run`].
    pub max_concurrency: usize,
    /// How long the function may take; then it is dropped and its batch has failed.
    pub timeout: Duration,
    /// When failed messages come back; without it, when their visibility timeout ends, as on AWS.
    pub retry_delay: Option<Duration>,
    /// The function.
    pub handler: Handler,
}

impl EventSource {
    /// Batches of 10, two at a time, 30 s each, failures back after the visibility timeout.
    #[must_use]
    pub fn new(queue: impl Into<String>, handler: Handler) -> Self {
        Self {
            queue: queue.into(),
            batch_size: 10,
            max_concurrency: 2,
            timeout: Duration::from_secs(30),
            retry_delay: None,
            handler,
        }
    }
}

/// What became of the messages of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Events handed to the function.
    pub batches: u64,
    /// Messages handed to the function, each time counted.
    pub delivered: u64,
    /// Messages of these that failed.
    pub failed: u64,
    /// Messages given up.
    pub dead_lettered: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.batches += other.batches;
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.dead_lettered += other.dead_lettered;
    }
}

/// What became of the messages, per queue.
pub type DrainStats = BTreeMap<String, Tally>;

/// What to do when messages are left but none is visible yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Wait for them in real time.
    Wait,
    /// The clock was moved: look again.
    Advanced,
    /// Leave them for later.
    Stop,
}

/// All event sources of this machine.
pub struct EventSources {
    queues: Arc<Queues>,
    sources: Vec<EventSource>,
    totals: Arc<Mutex<DrainStats>>,
}

impl EventSources {
    /// Connects functions to queues.
    ///
    /// # Errors
    /// When a queue is missing or has two consumers, a number is out of range, or a function may run longer than its
    /// messages stay hidden, which AWS refuses too.
    pub fn new(queues: Arc<Queues>, sources: Vec<EventSource>) -> Result<Self, LocalAwsError> {
        let mut seen = HashSet::new();
        for source in &sources {
            let queue = &source.queue;
            let visibility = queues.config(queue)?.visibility_timeout;
            let problem = if !seen.insert(queue.as_str()) {
                "has two event sources".to_owned()
            } else if !(1..=MAX_BATCH).contains(&source.batch_size) {
                format!("has a batch size of {}, not 1 to {MAX_BATCH}", source.batch_size)
            } else if !(1..=Semaphore::MAX_PERMITS).contains(&source.max_concurrency) {
                "has a maximum concurrency out of range".to_owned()
            } else if source.timeout > visibility {
                format!("hides messages for {visibility:?}, its function may take {:?}", source.timeout)
            } else {
                continue;
            };
            return Err(LocalAwsError::Config(format!("queue {queue} {problem}")));
        }
        Ok(Self { queues, sources, totals: Arc::default() })
    }

    /// Consumes all queues in the background until stopped. Needs a Tokio runtime.
    #[must_use]
    pub fn run(&self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let mut pollers = JoinSet::new();
        for source in &self.sources {
            let source = Arc::new(source.clone());
            pollers.spawn(poll(Arc::clone(&self.queues), source, Arc::clone(&self.totals), stopped.clone()));
        }
        Running {
            queues: Arc::clone(&self.queues),
            names: self.sources.iter().map(|source| source.queue.clone()).collect(),
            stop,
            pollers,
        }
    }

    /// Consumes all queues until they are empty, waiting in real time for messages that are delayed or will come
    /// back. Messages that fail for ever in a queue without dead letters keep it from ending.
    ///
    /// # Errors
    /// When the queue storage fails.
    pub async fn drain(&self) -> Result<DrainStats, QueueError> {
        self.drain_with(|_| Idle::Wait).await
    }

    /// As [`drain`](Self::drain), but asks `on_idle` what to do when nothing is visible before the given time.
    ///
    /// One batch at a time, the sources taking turns in the order they were given: a run is repeatable.
    ///
    /// # Errors
    /// When the queue storage fails.
    pub async fn drain_with(
        &self,
        mut on_idle: impl FnMut(Timestamp) -> Idle,
    ) -> Result<DrainStats, QueueError> {
        let names: Vec<&str> = self.sources.iter().map(|source| source.queue.as_str()).collect();
        let mut stats: DrainStats = names.iter().map(|name| ((*name).to_owned(), Tally::default())).collect();
        loop {
            let changed = self.queues.changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();

            let mut worked = false;
            for source in &self.sources {
                let received = receive(&self.queues, source)?;
                worked |= received != Received::default();
                let tally = process(&self.queues, source, received).await?;
                stats.entry(source.queue.clone()).or_default().add(tally);
                add_to(&self.totals, &source.queue, tally);
            }
            if worked {
                continue;
            }
            let Some(next) = self.queues.next_visible(&names)? else { return Ok(stats) };
            if next <= self.queues.clock().now() {
                continue;
            }
            match on_idle(next) {
                Idle::Stop => return Ok(stats),
                Idle::Advanced if next <= self.queues.clock().now() => {}
                Idle::Advanced | Idle::Wait => {
                    let nap = self.queues.real_time_until(next);
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(nap) => {}
                    }
                }
            }
        }
    }

    /// What became of all messages since the start, for a status page.
    #[must_use]
    pub fn totals(&self) -> DrainStats {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Event sources at work in the background. Dropping it stops them at once; their messages come back.
pub struct Running {
    queues: Arc<Queues>,
    names: Vec<String>,
    stop: watch::Sender<bool>,
    pollers: JoinSet<()>,
}

impl Running {
    /// Waits until the queues hold no message in any state: nothing to do, nothing at work, nothing delayed.
    ///
    /// # Errors
    /// When the queue storage fails.
    pub async fn idle(&self) -> Result<(), QueueError> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        loop {
            let changed = self.queues.changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.queues.pending(&names)? == 0 {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Receives no more and waits for the functions at work, up to `grace`; then drops them.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.send_replace(true);
        let finished = async { while self.pollers.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, finished).await.is_err() {
            tracing::warn!("functions were stopped at work; their messages will be delivered again");
            self.pollers.shutdown().await;
        }
    }
}

async fn poll(
    queues: Arc<Queues>,
    source: Arc<EventSource>,
    totals: Arc<Mutex<DrainStats>>,
    stopped: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(source.max_concurrency));
    let mut invocations = JoinSet::new();
    loop {
        while invocations.try_join_next().is_some() {}
        let next = async {
            // Capacity first: a message that is received and then waits loses time of its visibility.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            let received =
                queues.receive_wait(&source.queue, source.batch_size, MAX_EVENT_BYTES, None, None).await;
            (permit, received)
        };
        let (permit, received) = tokio::select! {
            biased;
            () = stop_requested(stopped.clone()) => break,
            next = next => next,
        };
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::error!(queue = source.queue, %error, "cannot receive");
                tokio::time::sleep(STORAGE_RETRY).await;
                continue;
            }
        };
        let (queues, source, totals) = (Arc::clone(&queues), Arc::clone(&source), Arc::clone(&totals));
        invocations.spawn(async move {
            match process(&queues, &source, received).await {
                Ok(tally) => add_to(&totals, &source.queue, tally),
                // The messages stay hidden until their timeout ends and are then delivered again.
                Err(error) => tracing::error!(queue = source.queue, %error, "cannot settle a batch"),
            }
            drop(permit);
        });
    }
    while invocations.join_next().await.is_some() {}
}

fn add_to(totals: &Mutex<DrainStats>, queue: &str, tally: Tally) {
    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
    totals.entry(queue.to_owned()).or_default().add(tally);
}

fn receive(queues: &Queues, source: &EventSource) -> Result<Received, QueueError> {
    queues.receive(&source.queue, source.batch_size, MAX_EVENT_BYTES, None)
}

/// Hands a batch to the function and settles it by the answer.
async fn process(queues: &Queues, source: &EventSource, received: Received) -> Result<Tally, QueueError> {
    let Received { messages, dead_lettered } = received;
    let mut tally = Tally { dead_lettered: dead_lettered as u64, ..Tally::default() };
    if messages.is_empty() {
        return Ok(tally);
    }
    let failed = failures(invoke(source, &messages).await, &messages).unwrap_or_else(|reason| {
        tracing::warn!(queue = source.queue, messages = messages.len(), %reason, "a whole batch failed");
        messages.iter().map(|message| message.id.clone()).collect()
    });
    let (failed, done): (Vec<&Message>, Vec<&Message>) =
        messages.iter().partition(|message| failed.contains(&message.id));
    let receipts = |messages: &[&'_ Message]| messages.iter().map(|m| m.receipt.clone()).collect::<Vec<_>>();
    let (done, failed) = (receipts(&done), receipts(&failed));
    let buried = queues.settle(
        &source.queue,
        &done.iter().map(String::as_str).collect::<Vec<_>>(),
        &failed.iter().map(String::as_str).collect::<Vec<_>>(),
        source.retry_delay,
    )?;
    tally.add(Tally {
        batches: 1,
        delivered: messages.len() as u64,
        failed: failed.len() as u64,
        dead_lettered: buried as u64,
    });
    Ok(tally)
}

/// Calls the function; an error, a panic and a timeout all end up as a reason why the whole batch failed.
async fn invoke(source: &EventSource, messages: &[Message]) -> Result<SqsBatchResponse, String> {
    let event = event(&source.queue, messages);
    // The call itself is inside, because it may panic before it returns its future.
    let call = AssertUnwindSafe(async { (source.handler)(event).await }).catch_unwind();
    match tokio::time::timeout(source.timeout, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(format!("the function panicked: {}", text.unwrap_or("no message")))
        }
        Err(_) => Err(format!("the function took longer than {:?}", source.timeout)),
    }
}

/// Ids of the messages that failed, or why all of them did. An identifier that is empty or was never sent makes the
/// answer malformed, and a malformed answer fails the batch.
fn failures(
    answer: Result<SqsBatchResponse, String>,
    messages: &[Message],
) -> Result<HashSet<String>, String> {
    let sent: HashSet<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let failed: HashSet<String> =
        answer?.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    match failed.iter().find(|id| !sent.contains(id.as_str())) {
        Some(unknown) => {
            Err(format!("the function reported the failure of {unknown:?}, which was not in its batch"))
        }
        None => Ok(failed),
    }
}

/// The event as Lambda words it.
fn event(queue: &str, messages: &[Message]) -> SqsEvent {
    let arn = sqs::queue_arn(queue);
    let mut event = SqsEvent::default();
    event.records = messages
        .iter()
        .map(|message| {
            let mut record = SqsMessage::default();
            record.message_id = Some(message.id.clone());
            record.receipt_handle = Some(message.receipt.clone());
            record.body = Some(message.body.clone());
            record.md5_of_body = Some(sqs::md5_of(&message.body));
            record.attributes =
                sqs::message_attributes(message).into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
            record.event_source_arn = Some(arn.clone());
            record.event_source = Some("aws:sqs".to_owned());
            record.aws_region = Some(REGION.to_owned());
            record
        })
        .collect();
    event
}
