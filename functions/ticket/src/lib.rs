//! Opens, closes and reopens tickets: one per vulnerability, whatever happens in between.
//!
//! A message names an intent on a vulnerability. What keeps the tracker at one ticket, in this order:
//!
//! 1. **The delivery** of the intent's key is reserved before anything is sent. One holder at a time; its lease is
//!    longer than all its calls and the tracker's search lag together. Whoever gets the delivery after a try whose
//!    outcome nobody knows therefore finds by search what that try has created.
//! 2. **The search** by label comes before every creation but the first try of a first wish. The label names the
//!    vulnerability, so that a ticket created under an earlier wish is found too. Several tickets: the oldest is
//!    adopted, the others are closed as duplicates.
//! 3. **The fence**: a ticket is created only while the lease leaves room for the call and the search lag after it.
//!
//! Everything else is repeatable: closing what is closed is success, and a comment is not added where its marker is
//! already found. After the tracker the delivery is written, then the vulnerability; a function that dies in between
//! is repaired by the message that comes back.

mod error;
mod issue;
mod jira;
mod work;

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::policy::{Config, Tracker};
use domain::vulnerability::{Effect, Intent, TicketRef, TicketState};
use domain::{ConnectorName, VulnId, Vulnerability};
use jiff::{SignedDuration, Timestamp};
use platform::{Clock, Dimension, Effects, Metric, Metrics, Secrets, Services};
use queue::{EffectMessage, EffectTarget, Outgoing, Queue, QueueError, QueueName, ScoreMessage};
use store::{Delivery, DeliveryState, Reservation, Store};

pub use error::TicketError;
pub use jira::JiraError;
use work::{Job, Trouble, Wish};

/// Tries of a ticket; the one after the last only looks for what an earlier one may have created.
const TRIES: u32 = 10;
/// Pause after the first failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// Pause after refused credentials, which a person has to repair, however long that takes.
const UNAUTHORIZED_PAUSE: SignedDuration = SignedDuration::from_mins(15);
/// Calls at their longest that one holder has time for. The lease is longer by the tracker's search lag.
const CALLS: i32 = 4;
/// Longest time without a byte of an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The function.
pub struct Ticket {
    store: Store,
    queue: Queue,
    effects: Effects,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    config: Arc<Config>,
    timeout: Duration,
}

impl Ticket {
    /// The function on these services. The queue needs the addresses of [`QueueName::Ticket`] and, to have a ticket
    /// closed at once that was created although it is no longer wanted, [`QueueName::Score`].
    pub fn new(services: &Services) -> Self {
        let effects = Effects::new(services, QueueName::Ticket);
        let Services { store, queue, secrets, clock, metrics, config, .. } = services.clone();
        Self { store, queue, effects, secrets, clock, metrics, config, timeout: TIMEOUT }
    }

    /// The same with another longest time without a byte of an answer. A whole call may take twice that.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Works a batch of [`EffectMessage`]s; names those that have to come back.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        queue::handle_batch(event, async |message: EffectMessage| self.carry_out(&message).await).await
    }

    async fn carry_out(&self, message: &EffectMessage) -> Result<(), TicketError> {
        let EffectTarget::Vulnerability { asset, vulnerability: id } = &message.target else {
            return Err(TicketError::NotOurs { intent: message.intent.clone() });
        };
        let Some(read) = self.store.vulnerability(asset, id).await? else { return Ok(()) };
        let vulnerability = read.value;
        match vulnerability.intents.get(&message.intent) {
            Some(intent) => self.wanted(message, id, &vulnerability, intent).await,
            None => self.withdrawn(message, id, &vulnerability).await,
        }
    }

    /// The intent is there: do it.
    async fn wanted(
        &self,
        message: &EffectMessage,
        id: &VulnId,
        vulnerability: &Vulnerability,
        intent: &Intent,
    ) -> Result<(), TicketError> {
        let (wish, tracker) = match &intent.effect {
            Effect::OpenTicket { tracker } => (Wish::Open, tracker),
            Effect::CloseTicket { tracker } => (Wish::Close, tracker),
            Effect::Notify { .. } => return Err(TicketError::NotOurs { intent: intent.key.clone() }),
        };
        let ticket = vulnerability.ticket.as_ref();
        if wish == Wish::Close && ticket.is_none() {
            return Ok(());
        }
        // A ticket is moved where it is, wherever new ones would go.
        let receiver: ConnectorName = ticket.map_or(tracker, |ticket| &ticket.tracker).parse()?;
        let tracker = self.config.trackers.iter().find(|tracker| tracker.name == receiver);
        let budget = match tracker {
            Some(tracker) if ticket.is_none() => tracker.tickets_per_hour,
            _ => u32::MAX,
        };
        let job = Job::new(message, id, vulnerability, wish, Some(intent));
        let lease = self.lease(tracker);
        match self.effects.reserve(&receiver, job.key(), &job.subject(), lease, budget).await? {
            Reservation::Ended(delivery) if delivery.state == DeliveryState::Sent => {
                self.sent_before(&job, &delivery, tracker).await
            }
            // The function died before it could say so, or somebody else has asked.
            Reservation::Ended(delivery) => self.put_off(&job, &delivery).await,
            Reservation::Busy { until, asked } => {
                Ok(self.effects.come_back(message, &receiver, until, asked).await?)
            }
            // The intent stays, and the sweep of unconfirmed intents asks again: a message that kept itself going
            // beside the sweep would only multiply.
            Reservation::Held(_) => {
                let held = self.metrics.of(Dimension::Function("ticket")).value(Metric::BudgetHeld, 1);
                held.field("receiver", &receiver).field("intent", &message.intent).emit();
                Ok(())
            }
            Reservation::Yours(delivery, rev) => {
                let outcome = match tracker {
                    Some(tracker) => self.attempt(&job, tracker, &delivery).await,
                    None => {
                        let problem = format!("there is no tracker {receiver} in the configuration");
                        Err(Trouble::Jira(JiraError::Refused(problem)))
                    }
                };
                self.end(&job, delivery, rev, outcome).await
            }
        }
    }

    /// The effect was done under this key before, and the intent is still there: the function died before it could
    /// say so, or the vulnerability has turned twice since and wants the same again. The tracker knows which.
    async fn sent_before(
        &self,
        job: &Job<'_>,
        delivery: &Delivery,
        tracker: Option<&Tracker>,
    ) -> Result<(), TicketError> {
        let done = match (&job.vulnerability.ticket, tracker, &delivery.reference) {
            // Its ticket had been deleted, and this one took its place.
            (Some(old), Some(tracker), Some(key)) if job.wish == Wish::Open && old.key != *key => {
                Some(job.reference(tracker, key, TicketState::Open))
            }
            (Some(_), Some(tracker), _) => match self.move_ticket(job, tracker).await {
                Ok(done) => done,
                Err(Trouble::Store(error)) => return Err(error.into()),
                Err(Trouble::Jira(error)) => return Err(error.into()),
                Err(Trouble::Unknown(why) | Trouble::Wait(_, why)) => {
                    return Err(JiraError::Unsure(why).into());
                }
            },
            (None, Some(tracker), Some(key)) => Some(job.reference(tracker, key, TicketState::Open)),
            _ => None,
        };
        match done {
            Some(ticket) => self.confirm(job, &ticket, false).await,
            None => Ok(()),
        }
    }

    /// The intent is gone: done before, or no longer wanted. What was begun under its key and never came to an end
    /// has to be settled, or a ticket nobody knows of stays in the tracker.
    async fn withdrawn(
        &self,
        message: &EffectMessage,
        id: &VulnId,
        vulnerability: &Vulnerability,
    ) -> Result<(), TicketError> {
        for tracker in &self.config.trackers {
            let Some(delivery) = self.store.delivery(&tracker.name, &message.intent).await? else { continue };
            let job = Job::new(message, id, vulnerability, Wish::Settle, None);
            match delivery.state {
                DeliveryState::Sent => {
                    // Done and written, and then the function died and the wish went. A later wish, if there was
                    // one, has set it right.
                    if let Some(key) = delivery.reference.as_ref().filter(|_| job.is_newest()) {
                        let ticket = job.reference(tracker, key, job.reached());
                        self.confirm(&job, &ticket, !job.is_in_step()).await?;
                    }
                    continue;
                }
                DeliveryState::Failed | DeliveryState::Unconfirmed => continue,
                // Not begun, or settled already.
                DeliveryState::Held if delivery.lease_until.is_none() => continue,
                DeliveryState::Sending | DeliveryState::Held => {}
            }
            let lease = self.lease(Some(tracker));
            match self.effects.reserve(&tracker.name, job.key(), &job.subject(), lease, u32::MAX).await? {
                Reservation::Ended(_) => {}
                Reservation::Busy { until, asked } => {
                    self.effects.come_back(message, &tracker.name, until, asked).await?;
                }
                Reservation::Held(until) => {
                    self.effects.come_back(message, &tracker.name, until, None).await?;
                }
                Reservation::Yours(delivery, rev) => {
                    let outcome = self.attempt(&job, tracker, &delivery).await;
                    self.end(&job, delivery, rev, outcome).await?;
                }
            }
        }
        Ok(())
    }

    /// The longest time of one call.
    fn call(&self) -> SignedDuration {
        SignedDuration::try_from(jira::call_limit(self.timeout)).unwrap_or(SignedDuration::MAX)
    }

    /// How long a delivery is nobody else's: all calls, and then until search finds what they created.
    fn lease(&self, tracker: Option<&Tracker>) -> SignedDuration {
        let lag = tracker.map_or(SignedDuration::ZERO, |tracker| tracker.search_lag.duration());
        self.call().saturating_mul(CALLS).saturating_add(lag)
    }

    /// Works the job; once more at once with fresh credentials if they were refused, because they may have been
    /// rotated. Refused means not done, so the second time repeats nothing.
    async fn attempt(
        &self,
        job: &Job<'_>,
        tracker: &Tracker,
        delivery: &Delivery,
    ) -> Result<Option<TicketRef>, Trouble> {
        match self.work(job, tracker, delivery).await {
            Err(Trouble::Jira(JiraError::Unauthorized(_))) => {
                self.secrets.forget(tracker.name.as_str());
                self.work(job, tracker, delivery).await
            }
            other => other,
        }
    }

    /// Writes what became of the delivery, then links the ticket or comes back to it.
    async fn end(
        &self,
        job: &Job<'_>,
        mut delivery: Delivery,
        rev: u64,
        outcome: Result<Option<TicketRef>, Trouble>,
    ) -> Result<(), TicketError> {
        let now = self.clock.now();
        let held = |until: Timestamp, why: &str| {
            (DeliveryState::Held, Some(until), format!("{why}; tried again at {until}"))
        };
        let mut done = None;
        let (state, lease_until, answer) = match outcome {
            Ok(Some(ticket)) => {
                delivery.reference = Some(ticket.key.clone());
                (DeliveryState::Sent, None, done.insert(ticket).url.clone())
            }
            Ok(None) => {
                // Free to be wanted again.
                delivery.tries -= 1;
                (DeliveryState::Held, None, "no longer wanted; nothing was created".to_owned())
            }
            Err(Trouble::Unknown(why)) => {
                let answer =
                    format!("{why}; it may have been created, which is looked up when the lease is over");
                (DeliveryState::Sending, delivery.lease_until, answer)
            }
            // Not tried, so it does not count; 1 remembers that the budget is paid.
            Err(Trouble::Wait(until, why)) => {
                delivery.tries = (delivery.tries - 1).max(1);
                held(until, &why)
            }
            Err(Trouble::Jira(JiraError::Throttled(until))) => {
                delivery.tries = (delivery.tries - 1).max(1);
                held(until, "the tracker asks to wait")
            }
            Err(Trouble::Jira(JiraError::Refused(why))) => (DeliveryState::Failed, None, why),
            Err(Trouble::Jira(error @ JiraError::Unauthorized(_))) => {
                delivery.tries = (delivery.tries - 1).max(1);
                held(now + UNAUTHORIZED_PAUSE, &error.to_string())
            }
            Err(Trouble::Jira(error)) if delivery.tries >= TRIES => {
                (DeliveryState::Failed, None, format!("given up after {TRIES} tries: {error}"))
            }
            Err(Trouble::Jira(error)) => held(now + pause(delivery.tries), &error.to_string()),
            // The lease runs out, then the message tries again.
            Err(Trouble::Store(error)) => return Err(error.into()),
        };
        (delivery.at, delivery.state, delivery.lease_until, delivery.answer) =
            (now, state, lease_until, answer);
        delivery.target = state.is_undone().then(|| job.message.target.clone());
        if state != DeliveryState::Sent {
            let (tracker, intent) = (&delivery.receiver, &delivery.key);
            tracing::warn!(%tracker, %intent, state = state.as_str(), answer = %delivery.answer, "a ticket is not done");
        }
        self.store.end_delivery(&delivery, rev).await?;
        if let Some(ticket) = done {
            return self.confirm(job, &ticket, job.wish == Wish::Settle).await;
        }
        match lease_until {
            Some(until) => Ok(self.effects.come_back(job.message, &delivery.receiver, until, None).await?),
            None => self.put_off(job, &delivery).await,
        }
    }

    /// Keeps the sweep from asking for what has failed until it is free again: before that, it asks in vain.
    async fn put_off(&self, job: &Job<'_>, delivery: &Delivery) -> Result<(), TicketError> {
        let Some(at) = delivery.free_at() else { return Ok(()) };
        let vulnerability = job.vulnerability;
        Ok(self.store.put_off_ticket(&vulnerability.asset, &vulnerability.id, job.key(), at).await?)
    }

    /// Links the ticket; the wish is gone with that. Where it was gone before, the asset is decided on again, and where
    /// that `has_to_be` in any case.
    async fn confirm(&self, job: &Job<'_>, ticket: &TicketRef, has_to_be: bool) -> Result<(), TicketError> {
        let vulnerability = job.vulnerability;
        let wanted =
            self.store.confirm_ticket(&vulnerability.asset, &vulnerability.id, job.key(), ticket).await?;
        if wanted && !has_to_be { Ok(()) } else { self.decide_again(job).await }
    }

    /// Has the asset decided on again: it got a ticket that it may no longer want.
    async fn decide_again(&self, job: &Job<'_>) -> Result<(), TicketError> {
        let message =
            ScoreMessage { assets: vec![job.vulnerability.asset.clone()], ..ScoreMessage::default() };
        match self.queue.send(QueueName::Score, Outgoing::now(&message)?).await {
            Err(error @ QueueError::NoAddress(_)) => {
                // The next scan of the asset decides too, only later.
                tracing::warn!(%error, "a ticket that is no longer wanted stays until the next scan");
                Ok(())
            }
            other => Ok(other?),
        }
    }
}

fn pause(tries: u32) -> SignedDuration {
    (FIRST_PAUSE * 2_i32.pow(tries.clamp(1, TRIES) - 1)).min(LONGEST_PAUSE)
}
