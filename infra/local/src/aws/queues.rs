//! Durable queues in a SQLite file, with the timing rules of SQS: delay, visibility, receive count, dead letters.
//!
//! One connection behind a mutex serves everything. A call takes tens of microseconds, so it is made where it is
//! needed, without a detour over a thread pool.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::messages::{SCHEMA_VERSION, add, bury, connect, delete, insert, millis, next_due, timestamp};
use super::{LocalAwsError, QueueClock};

/// No wait is longer than this in one piece: timers of the runtime stand still while a machine is suspended.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// A queue and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Name, 1 to 80 letters, digits, hyphens and underscores.
    pub name: String,
    /// How long a received message stays hidden.
    pub visibility_timeout: Duration,
    /// Where a message goes after this many receives, if anywhere.
    pub dead_letters: Option<(String, u32)>,
}

impl QueueConfig {
    /// A queue with a visibility timeout of 30 s and no dead-letter queue, the defaults of SQS.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), visibility_timeout: Duration::from_secs(30), dead_letters: None }
    }

    /// Sets how long a received message stays hidden.
    #[must_use]
    pub fn visibility_timeout(mut self, timeout: Duration) -> Self {
        self.visibility_timeout = timeout;
        self
    }

    /// Sets where a message goes once it was received `max_receive_count` times in vain.
    #[must_use]
    pub fn dead_letters(mut self, queue: impl Into<String>, max_receive_count: u32) -> Self {
        self.dead_letters = Some((queue.into(), max_receive_count));
        self
    }
}

/// Why a queue refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// No queue has this name.
    #[error("there is no queue {0}")]
    UnknownQueue(String),
    /// The message is visible, deleted, or was received again since.
    #[error("the message is not in flight")]
    NotInFlight,
    /// The file was written by a newer version.
    #[error("the queue file has version {0}, this program knows {SCHEMA_VERSION}")]
    NewerFile(i64),
    /// SQLite failed.
    #[error("queue storage: {0}")]
    Storage(#[from] rusqlite::Error),
}

/// A message to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// What to deliver.
    pub body: String,
    /// How long to hide it first.
    pub delay: Duration,
}

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Identity of the message, the same at each receive.
    pub id: String,
    /// Identity of this receive.
    pub receipt: String,
    /// What was sent.
    pub body: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it was received for the first time.
    pub first_received_at: Timestamp,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// For a dead letter, the queue it comes from.
    pub origin: Option<String>,
}

/// What one receive brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Messages, in the order in which they became visible.
    pub messages: Vec<Message>,
    /// How many had exhausted their receives and went to the dead-letter queue instead.
    pub dead_lettered: usize,
}

/// State of a queue, for a status page.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct QueueStats {
    /// Name of the queue.
    pub queue: String,
    /// Ready to be received.
    pub visible: u64,
    /// Received and not settled, or waiting for another try.
    pub in_flight: u64,
    /// Sent with a delay that is not over.
    pub delayed: u64,
    /// Given up: messages of this queue that lie in its dead-letter queue.
    pub dead: u64,
    /// When the oldest message here was sent.
    pub oldest_sent_at: Option<Timestamp>,
}

struct Queue {
    config: QueueConfig,
    arrived: Arc<Notify>,
}

/// All queues of this machine.
pub struct Queues {
    connection: Mutex<Connection>,
    queues: BTreeMap<String, Queue>,
    clock: Arc<dyn QueueClock>,
    changed: Notify,
}

impl Queues {
    /// Opens the queues of `file`, or of memory.
    ///
    /// What was in flight when the file was last open becomes visible at once, and that receive does not count: its
    /// consumer was that process, and it is gone.
    ///
    /// # Errors
    /// When the configuration contradicts itself or the file cannot be used.
    pub fn open(
        file: Option<&Path>,
        configs: Vec<QueueConfig>,
        clock: Arc<dyn QueueClock>,
    ) -> Result<Self, LocalAwsError> {
        check(&configs)?;
        let connection = connect(file, millis(clock.now()))?;
        let queues = configs
            .into_iter()
            .map(|config| (config.name.clone(), Queue { config, arrived: Arc::default() }))
            .collect();
        Ok(Self { connection: Mutex::new(connection), queues, clock, changed: Notify::new() })
    }

    /// The clock the queues go by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn QueueClock> {
        &self.clock
    }

    /// Names of all queues, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.queues.keys().map(String::as_str)
    }

    /// The rules of a queue.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn config(&self, queue: &str) -> Result<&QueueConfig, QueueError> {
        Ok(&self.queue(queue)?.config)
    }

    /// Sends one message; returns its id.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be written.
    pub fn send(&self, queue: &str, body: &str, delay: Duration) -> Result<String, QueueError> {
        let mut ids = self.send_all(queue, &[NewMessage { body: body.to_owned(), delay }])?;
        Ok(ids.swap_remove(0))
    }

    /// Sends all of these or, on an error, none; returns their ids in order.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be written.
    pub fn send_all(&self, queue: &str, messages: &[NewMessage]) -> Result<Vec<String>, QueueError> {
        self.queue(queue)?;
        let now = self.now();
        let ids = self.write(|tx| {
            messages.iter().map(|message| insert(tx, queue, &message.body, now, message.delay)).collect()
        })?;
        self.notify(queue);
        Ok(ids)
    }

    /// Receives up to `max` messages, whose bodies together stay under `max_bytes` unless the first alone is larger.
    /// They stay hidden for `visibility`, or for the queue's own timeout.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be written.
    pub fn receive(
        &self,
        queue: &str,
        max: usize,
        max_bytes: usize,
        visibility: Option<Duration>,
    ) -> Result<Received, QueueError> {
        let config = &self.queue(queue)?.config;
        let now = self.now();
        let hidden_until = add(now, visibility.unwrap_or(config.visibility_timeout));
        let received = self.write(|tx| {
            let mut received = Received::default();
            let mut bytes = 0;
            while received.messages.len() < max {
                let Some(due) = next_due(tx, queue, now)? else { break };
                if let Some((dead_letters, _)) =
                    config.dead_letters.as_ref().filter(|(_, most)| due.receive_count >= *most)
                {
                    bury(tx, due.seq, dead_letters, now)?;
                    received.dead_lettered += 1;
                    continue;
                }
                bytes += due.body.len();
                if bytes > max_bytes && !received.messages.is_empty() {
                    break;
                }
                received.messages.push(due.take(tx, now, hidden_until)?);
            }
            Ok(received)
        })?;
        if received.dead_lettered > 0 {
            self.notify_dead_letters(config);
        }
        Ok(received)
    }

    /// As [`receive`](Self::receive), but waits up to `wait` (for ever without) until there is something to tell.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be written.
    pub async fn receive_wait(
        &self,
        queue: &str,
        max: usize,
        max_bytes: usize,
        visibility: Option<Duration>,
        wait: Option<Duration>,
    ) -> Result<Received, QueueError> {
        let deadline = wait.map(|wait| Instant::now() + wait);
        let arrived = Arc::clone(&self.queue(queue)?.arrived);
        loop {
            let arrival = arrived.notified();
            tokio::pin!(arrival);
            // Registered before looking, so that a message sent in between is not missed.
            arrival.as_mut().enable();
            let received = self.receive(queue, max, max_bytes, visibility)?;
            if received != Received::default() || deadline.is_some_and(|deadline| deadline <= Instant::now())
            {
                return Ok(received);
            }
            let nap = self.next_visible(&[queue])?.map_or(LONGEST_NAP, |next| self.real_time_until(next));
            let until = Instant::now() + nap;
            tokio::select! {
                () = arrival => {}
                () = tokio::time::sleep_until(deadline.map_or(until, |deadline| deadline.min(until))) => {}
            }
        }
    }

    /// Deletes received messages; a receipt that is no longer valid deletes nothing. Returns how many were deleted.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be written.
    pub fn delete(&self, queue: &str, receipts: &[&str]) -> Result<usize, QueueError> {
        self.queue(queue)?;
        let deleted = self.write(|tx| delete(tx, queue, receipts))?;
        self.changed.notify_waiters();
        Ok(deleted)
    }

    /// Hides a message in flight for `timeout` from now; zero makes it visible.
    ///
    /// # Errors
    /// When the message is not in flight, there is no such queue, or it cannot be written.
    pub fn change_visibility(&self, queue: &str, receipt: &str, timeout: Duration) -> Result<(), QueueError> {
        self.queue(queue)?;
        let now = self.now();
        let changed = self.write(|tx| {
            tx.prepare_cached(
                "UPDATE messages SET visible_at = ?1 WHERE queue = ?2 AND receipt = ?3 AND visible_at > ?4",
            )?
            .execute(params![add(now, timeout), queue, receipt, now])
        })?;
        if changed == 0 {
            return Err(QueueError::NotInFlight);
        }
        self.notify(queue);
        Ok(())
    }

    /// Ends a batch in one transaction: deletes what is `done`; what `failed` becomes visible after `retry_after`, or
    /// when its visibility timeout ends. What has no receive left goes to the dead-letter queue now rather than at
    /// the next receive, so that it can be seen there. Returns how many did.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be written.
    pub fn settle(
        &self,
        queue: &str,
        done: &[&str],
        failed: &[&str],
        retry_after: Option<Duration>,
    ) -> Result<usize, QueueError> {
        let config = &self.queue(queue)?.config;
        let now = self.now();
        let buried = self.write(|tx| {
            delete(tx, queue, done)?;
            let mut buried = 0;
            for receipt in failed {
                let found = tx
                    .prepare_cached("SELECT seq, receive_count FROM messages WHERE queue = ?1 AND receipt = ?2")?
                    .query_row(params![queue, receipt], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?)))
                    .optional()?;
                let Some((seq, receives)) = found else { continue };
                if let Some((dead_letters, _)) = config.dead_letters.as_ref().filter(|(_, most)| receives >= *most) {
                    bury(tx, seq, dead_letters, now)?;
                    buried += 1;
                } else {
                    // Without its receipt the message counts as given back: this receive is not undone by a restart.
                    tx.prepare_cached(
                        "UPDATE messages SET receipt = NULL, visible_at = coalesce(?1, visible_at) WHERE seq = ?2",
                    )?
                    .execute(params![retry_after.map(|delay| add(now, delay)), seq])?;
                }
            }
            Ok(buried)
        })?;
        if !failed.is_empty() {
            self.notify(queue);
        }
        if buried > 0 {
            self.notify_dead_letters(config);
        }
        self.changed.notify_waiters();
        Ok(buried)
    }

    /// Deletes every message of a queue; returns how many.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be written.
    pub fn purge(&self, queue: &str) -> Result<usize, QueueError> {
        self.queue(queue)?;
        let purged = self.write(|tx| tx.execute("DELETE FROM messages WHERE queue = ?1", [queue]))?;
        self.changed.notify_waiters();
        Ok(purged)
    }

    /// Sends dead letters back to the queues they come from, as new as on their first day; returns how many.
    /// Those sent to the dead-letter queue directly, or by a queue that is no more, stay.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be written.
    pub fn redrive(&self, dead_letters: &str) -> Result<usize, QueueError> {
        self.queue(dead_letters)?;
        let now = self.now();
        let mut moved = 0;
        for queue in self.queues.keys() {
            let of_queue = self.write(|tx| {
                tx.execute(
                    "UPDATE messages SET queue = origin, origin = NULL, receipt = NULL, receive_count = 0,
                        first_received_at = NULL, sent_at = ?1, visible_at = ?1
                     WHERE queue = ?2 AND origin = ?3",
                    params![now, dead_letters, queue],
                )
            })?;
            if of_queue > 0 {
                self.notify(queue);
            }
            moved += of_queue;
        }
        Ok(moved)
    }

    /// State of one queue.
    ///
    /// # Errors
    /// When there is no such queue or it cannot be read.
    pub fn stats(&self, queue: &str) -> Result<QueueStats, QueueError> {
        let config = &self.queue(queue)?.config;
        let now = self.now();
        let connection = self.lock();
        let mut stats = connection
            .prepare_cached(
                "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                        count(*) FILTER (WHERE visible_at > ?2 AND receive_count > 0),
                        count(*) FILTER (WHERE visible_at > ?2 AND receive_count = 0),
                        min(sent_at)
                 FROM messages WHERE queue = ?1",
            )?
            .query_row(params![queue, now], |row| {
                Ok(QueueStats {
                    queue: queue.to_owned(),
                    visible: row.get(0)?,
                    in_flight: row.get(1)?,
                    delayed: row.get(2)?,
                    dead: 0,
                    oldest_sent_at: row.get::<_, Option<i64>>(3)?.map(timestamp),
                })
            })?;
        if let Some((dead_letters, _)) = &config.dead_letters {
            stats.dead = connection
                .prepare_cached("SELECT count(*) FROM messages WHERE queue = ?1 AND origin = ?2")?
                .query_row(params![dead_letters, queue], |row| row.get(0))?;
        }
        Ok(stats)
    }

    /// State of every queue, by name.
    ///
    /// # Errors
    /// When the queues cannot be read.
    pub fn all_stats(&self) -> Result<Vec<QueueStats>, QueueError> {
        self.queues.keys().map(|queue| self.stats(queue)).collect()
    }

    /// How many messages these queues hold in any state.
    ///
    /// # Errors
    /// When the queues cannot be read.
    pub fn pending(&self, queues: &[&str]) -> Result<u64, QueueError> {
        let connection = self.lock();
        let mut count = connection.prepare_cached("SELECT count(*) FROM messages WHERE queue = ?1")?;
        queues
            .iter()
            .try_fold(0, |sum, queue| Ok(sum + count.query_row([queue], |row| row.get::<_, u64>(0))?))
    }

    /// When the first message of these queues is or becomes visible, those in flight included.
    ///
    /// # Errors
    /// When the queues cannot be read.
    pub fn next_visible(&self, queues: &[&str]) -> Result<Option<Timestamp>, QueueError> {
        let connection = self.lock();
        let mut first = connection.prepare_cached("SELECT min(visible_at) FROM messages WHERE queue = ?1")?;
        let mut next: Option<i64> = None;
        for queue in queues {
            let visible_at: Option<i64> = first.query_row([queue], |row| row.get(0))?;
            next = next.into_iter().chain(visible_at).min();
        }
        Ok(next.map(timestamp))
    }

    /// Makes every waiting consumer look again; needed after the clock was moved by hand.
    pub fn wake(&self) {
        for queue in self.queues.values() {
            queue.arrived.notify_waiters();
        }
        self.changed.notify_waiters();
    }

    /// Notified whenever any queue has changed.
    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// How long to sleep until the clock shows `time`, in one piece.
    pub(super) fn real_time_until(&self, time: Timestamp) -> Duration {
        let left = time.duration_since(self.clock.now());
        // One more millisecond, because stored times are cut to milliseconds.
        Duration::try_from(left).unwrap_or_default().min(LONGEST_NAP) + Duration::from_millis(1)
    }

    /// When a schedule fired last.
    pub(super) fn last_fired(&self, schedule: &str) -> Result<Option<Timestamp>, QueueError> {
        let fired_at = self
            .lock()
            .prepare_cached("SELECT fired_at FROM schedules WHERE name = ?1")?
            .query_row([schedule], |row| row.get(0))
            .optional()?;
        Ok(fired_at.map(timestamp))
    }

    /// Sends a schedule's message and notes the time, both or neither.
    pub(super) fn fire(
        &self,
        schedule: &str,
        at: Timestamp,
        queue: &str,
        body: &str,
    ) -> Result<(), QueueError> {
        self.queue(queue)?;
        let now = self.now();
        self.write(|tx| {
            insert(tx, queue, body, now, Duration::ZERO)?;
            tx.execute(
                "INSERT OR REPLACE INTO schedules (name, fired_at) VALUES (?1, ?2)",
                params![schedule, millis(at)],
            )
        })?;
        self.notify(queue);
        Ok(())
    }

    fn queue(&self, name: &str) -> Result<&Queue, QueueError> {
        self.queues.get(name).ok_or_else(|| QueueError::UnknownQueue(name.to_owned()))
    }

    fn now(&self) -> i64 {
        millis(self.clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in between has rolled its transaction back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, QueueError> {
        let mut connection = self.lock();
        let tx = connection.transaction()?;
        let result = work(&tx)?;
        tx.commit()?;
        Ok(result)
    }

    fn notify(&self, queue: &str) {
        if let Some(queue) = self.queues.get(queue) {
            queue.arrived.notify_waiters();
        }
        self.changed.notify_waiters();
    }

    fn notify_dead_letters(&self, config: &QueueConfig) {
        if let Some((dead_letters, _)) = &config.dead_letters {
            self.notify(dead_letters);
        }
    }
}

fn check(configs: &[QueueConfig]) -> Result<(), LocalAwsError> {
    let mut rules = BTreeMap::new();
    for config in configs {
        let name = &config.name;
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 80 || !name.chars().all(valid) {
            return Err(LocalAwsError::Config(format!(
                "queue name {name:?} is not 1 to 80 letters, digits, hyphens and underscores"
            )));
        }
        if rules.insert(name.as_str(), config).is_some() {
            return Err(LocalAwsError::Config(format!("queue {name} is there twice")));
        }
    }
    for QueueConfig { name, dead_letters, .. } in configs {
        let Some((target, most)) = dead_letters else { continue };
        if target == name || !rules.contains_key(target.as_str()) {
            return Err(LocalAwsError::Config(format!(
                "queue {name}: {target} cannot be its dead-letter queue"
            )));
        }
        if *most == 0 {
            return Err(LocalAwsError::Config(format!(
                "queue {name}: a message must be received at least once"
            )));
        }
    }
    Ok(())
}
