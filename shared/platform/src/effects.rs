//! Carrying out effects: how a function gets a delivery, and how it comes back to one.

use std::sync::Arc;
use std::time::Duration;

use domain::ConnectorName;
use jiff::{SignedDuration, Timestamp};
use queue::{EffectMessage, MAX_DELAY, Outgoing, Queue, QueueError, QueueName};
use store::{Reservation, Store, StoreError};

use crate::clock::Clock;

/// Tries of a reservation that met another one.
const RESERVE_TRIES: u32 = 5;
/// Clocks of two machines differ: a message that was to come this soon may be the one at hand.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// The deliveries of a function that carries out effects.
#[derive(Clone)]
pub struct Effects {
    store: Store,
    queue: Queue,
    clock: Arc<dyn Clock>,
    name: QueueName,
}

/// Why an effect could not be reserved or come back to.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Effects {
    /// The deliveries of the function behind the queue `name`.
    pub fn new(services: &crate::Services, name: QueueName) -> Self {
        let crate::Services { store, queue, clock, .. } = services.clone();
        Self { store, queue, clock, name }
    }

    /// Reserves a delivery: see [`Store::reserve_delivery`]. Two messages of one intent, or of one receiver, can meet
    /// in the reservation: whoever loses looks again.
    pub async fn reserve(
        &self,
        receiver: &ConnectorName,
        key: &str,
        subject: &str,
        lease: SignedDuration,
        per_hour: u32,
    ) -> Result<Reservation, StoreError> {
        let mut tries = 1;
        loop {
            let now = self.clock.now();
            match self.store.reserve_delivery(receiver, key, subject, now, lease, per_hour).await {
                Err(error) if error.is_conflict() && tries < RESERVE_TRIES => {
                    tokio::time::sleep(Duration::from_millis(20) * tries).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    /// Has the message come again when a delivery is free, at `until`. `asked` is when another message will ask for
    /// it: then one is enough, and a message that comes twice does not multiply.
    ///
    /// The message is sent before it is noted that it was: a function that dies in between sends one more.
    pub async fn come_back(
        &self,
        message: &EffectMessage,
        receiver: &ConnectorName,
        until: Timestamp,
        asked: Option<Timestamp>,
    ) -> Result<(), EffectError> {
        let now = self.clock.now();
        if asked.is_some_and(|at| at > now + SKEW) {
            return Ok(());
        }
        // The queue's longest delay is shorter than some waits: who comes early is sent on.
        let delay = until.duration_since(now).clamp(SignedDuration::from_secs(1), MAX_DELAY);
        self.queue.send(self.name, Outgoing::after(message, delay)?).await?;
        Ok(self.store.note_asked(receiver, &message.intent, now + delay).await?)
    }
}
