//! Tells channels what happened: one message per stored intent, within the channel's budget.
//!
//! A message names an intent on an asset or on a run. The flow is always the same:
//!
//! 1. Read the intent. It is gone when it was confirmed before: then there is nothing to do.
//! 2. Reserve the delivery under the intent's key. Only one holder sends at a time, and no more than the channel's
//!    budget within an hour; what is held is listed, and tried again when the hour is over.
//! 3. Post, write what became of it, confirm the intent. Each of these steps can be the last one of a dying function:
//!    the message comes back, and the delivery tells how far it got. A message is posted only while the lease leaves
//!    room for the whole post: after it somebody else may send.
//!
//! An incoming webhook cannot be asked what it has received. Where the answer to a post is lost while the function
//! lives, the delivery ends as `unconfirmed`, which is listed, and a person can have it sent again. Where the function died
//! between reserving and writing, nobody knows whether it posted: it is sent again, because an alarm twice is better than
//! none. Every message carries its reference, so that the rare repeat is recognisable.

mod error;
mod note;
mod slack;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::ConnectorName;
use domain::policy::{Channel, Config};
use domain::vulnerability::{Announced, Asset, Effect, NotifyEvent};
use jiff::{SignedDuration, Timestamp};
use platform::{Clock, Dimension, Effects, Metric, Metrics, Secrets, Services};
use queue::{EffectMessage, EffectTarget, QueueName};
use secrecy::SecretString;
use store::{Delivery, DeliveryState, Reservation, RunRecord, Store};

pub use error::NotifyError;
use note::Note;
use webhook::Posted;

/// Tries of a message that its receiver could not take: a day and a night of them.
const TRIES: u32 = 30;
/// Pause after the first of them; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// How long one holder may take: longer than reading the message's content and two posts, the second of them to an
/// address that replaced a refused one.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
/// Longest time without a byte of an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The function.
pub struct Notify {
    store: Store,
    effects: Effects,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    config: Arc<Config>,
    timeout: Duration,
}

/// What an intent wants to be told.
enum Wish {
    /// Something about vulnerabilities of an asset.
    About { channel: String, event: NotifyEvent, about: Vec<Announced>, asset: Box<Asset> },
    /// The summary of a connector's first run.
    FirstSync { channel: String, connector: ConnectorName, run: Box<RunRecord> },
}

impl Wish {
    fn channel(&self) -> &str {
        match self {
            Self::About { channel, .. } | Self::FirstSync { channel, .. } => channel,
        }
    }

    /// What a replay puts back where the wish was; a run is told its channel alone.
    fn effect(&self) -> Option<Effect> {
        match self {
            Self::About { channel, event, about, .. } => {
                Some(Effect::Notify { channel: channel.clone(), event: *event, about: about.clone() })
            }
            Self::FirstSync { .. } => None,
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::About { event, about, asset, .. } => note::title(*event, about, &asset.host),
            Self::FirstSync { connector, run, .. } => note::first_sync_title(connector, run),
        }
    }
}

impl Notify {
    /// The function on these services. The queue needs the address of [`QueueName::Notify`].
    pub fn new(services: &Services) -> Self {
        let effects = Effects::new(services, QueueName::Notify);
        let Services { store, secrets, clock, metrics, config, .. } = services.clone();
        Self { store, effects, secrets, clock, metrics, config, timeout: TIMEOUT }
    }

    /// The same with another longest time without a byte of an answer. A whole post may take twice that.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Works a batch of [`EffectMessage`]s; names those that have to come back.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        queue::handle_batch(event, async |message: EffectMessage| self.carry_out(&message).await).await
    }

    async fn carry_out(&self, message: &EffectMessage) -> Result<(), NotifyError> {
        let Some(wish) = self.wish(message).await? else {
            tracing::debug!(intent = %message.intent, "the intent is gone: done before");
            return Ok(());
        };
        let receiver: ConnectorName = wish.channel().parse()?;
        let channel = self.config.channels.iter().find(|channel| channel.name == receiver);
        let budget = channel.map_or(u32::MAX, |channel| channel.messages_per_hour);
        match self.effects.reserve(&receiver, &message.intent, &wish.subject(), LEASE, budget).await? {
            Reservation::Ended(_) => self.confirm(message).await,
            Reservation::Busy { until, asked } => {
                Ok(self.effects.come_back(message, &receiver, until, asked).await?)
            }
            // The intent stays, and the sweep of unconfirmed intents asks again: a message that kept itself going
            // beside the sweep would only multiply.
            Reservation::Held(_) => {
                let held = self.metrics.of(Dimension::Function("notify")).value(Metric::BudgetHeld, 1);
                held.field("receiver", &receiver).field("intent", &message.intent).emit();
                Ok(())
            }
            Reservation::Yours(delivery, rev) => {
                let posted = match channel {
                    // The last try died without a trace, and so did those before: somebody has to look.
                    _ if delivery.tries > TRIES => Posted::Refused(format!("no outcome after {TRIES} tries")),
                    None => Posted::Refused(format!("there is no channel {receiver} in the configuration")),
                    Some(channel) => {
                        let note = self.note(&wish, &message.intent).await?;
                        self.post(channel, &note, delivery.lease_until).await
                    }
                };
                self.end(message, &wish, delivery, rev, posted).await
            }
        }
    }

    /// What the message's intent wants; `None`: it was confirmed or withdrawn.
    async fn wish(&self, message: &EffectMessage) -> Result<Option<Wish>, NotifyError> {
        match &message.target {
            EffectTarget::Asset { asset } => {
                let Some(mut asset) = self.store.asset(asset).await?.map(|read| read.value) else {
                    return Ok(None);
                };
                let Some(intent) = asset.intents.remove(&message.intent) else { return Ok(None) };
                let Effect::Notify { channel, event, about } = intent.effect else {
                    return Err(NotifyError::NotOurs { intent: intent.key });
                };
                Ok(Some(Wish::About { channel, event, about, asset: Box::new(asset) }))
            }
            EffectTarget::Run { connector, run } => {
                let Some((mut run, _)) = self.store.run(connector, run).await? else { return Ok(None) };
                let Some(channel) = run.intents.remove(&message.intent) else { return Ok(None) };
                Ok(Some(Wish::FirstSync { channel, connector: connector.clone(), run: Box::new(run) }))
            }
            EffectTarget::Vulnerability { .. } => {
                Err(NotifyError::NotOurs { intent: message.intent.clone() })
            }
        }
    }

    /// The content. It depends on nothing but the stored state, so that a repeat says the same.
    async fn note(&self, wish: &Wish, reference: &str) -> Result<Note, NotifyError> {
        match wish {
            Wish::About { event, about, asset, .. } => {
                let ids = note::distinct(about);
                let mut vulnerabilities = Vec::new();
                for id in ids.iter().take(note::LISTED) {
                    vulnerabilities
                        .extend(self.store.vulnerability(&asset.id, id).await?.map(|read| read.value));
                }
                let more = ids.len().saturating_sub(note::LISTED);
                Ok(Note::about(*event, about, asset, &vulnerabilities, more, reference))
            }
            Wish::FirstSync { connector, run, .. } => Ok(Note::first_sync(connector, run, reference)),
        }
    }

    /// Posts to the channel. A refused address is read again once: it may have been replaced.
    async fn post(&self, channel: &Channel, note: &Note, lease_until: Option<Timestamp>) -> Posted {
        let name = channel.name.as_str();
        let body = slack::render(note);
        let longest = SignedDuration::try_from(webhook::post_limit(self.timeout));
        let longest = longest.unwrap_or(SignedDuration::MAX);
        let mut refused: Option<(SecretString, Posted)> = None;
        loop {
            let address = match self.secrets.resolve(name, &channel.webhook_url).await {
                Ok(address) => address,
                Err(error) => return Posted::Again(error.to_string()),
            };
            let again = refused.is_some();
            if let Some((before, answer)) = refused
                && webhook::same(&before, &address)
            {
                return answer;
            }
            let now = self.clock.now();
            let over_at = now.checked_add(longest);
            if !over_at.is_ok_and(|at| lease_until.is_some_and(|lease| at <= lease)) {
                let soon = now + SignedDuration::from_secs(1);
                return Posted::Wait(soon, "the lease was nearly over before the message was posted");
            }
            let answer = webhook::post(channel, &address, &body, self.timeout, now).await;
            if again || !matches!(answer, Posted::Refused(_)) {
                return answer;
            }
            self.secrets.forget(name);
            refused = Some((address, answer));
        }
    }

    /// Writes what became of the delivery, then confirms the intent or comes back to it.
    async fn end(
        &self,
        message: &EffectMessage,
        wish: &Wish,
        mut delivery: Delivery,
        rev: u64,
        posted: Posted,
    ) -> Result<(), NotifyError> {
        let now = self.clock.now();
        delivery.at = now;
        delivery.lease_until = None;
        (delivery.state, delivery.answer) = match posted {
            Posted::Done(words) => (DeliveryState::Sent, words),
            Posted::Refused(why) => (DeliveryState::Failed, why),
            Posted::Lost(why) => (DeliveryState::Unconfirmed, why),
            Posted::Wait(until, why) => {
                // It was not tried, so it does not count; 1 remembers that the budget is paid.
                delivery.tries = (delivery.tries - 1).max(1);
                delivery.lease_until = Some(until);
                (DeliveryState::Held, format!("{why}; tried again at {until}"))
            }
            Posted::Again(why) if delivery.tries >= TRIES => {
                (DeliveryState::Failed, format!("given up after {TRIES} tries: {why}"))
            }
            Posted::Again(why) => {
                let next = now + pause(delivery.tries);
                delivery.lease_until = Some(next);
                (DeliveryState::Held, format!("{why}; tried again at {next}"))
            }
        };
        let undone = delivery.state.is_undone();
        delivery.target = undone.then(|| message.target.clone());
        delivery.effect = if undone { wish.effect() } else { None };
        if delivery.state != DeliveryState::Sent {
            let (channel, intent, state) = (&delivery.receiver, &delivery.key, delivery.state.as_str());
            tracing::warn!(%channel, %intent, state, answer = %delivery.answer, "a message was not delivered");
        }
        self.store.end_delivery(&delivery, rev).await?;
        match delivery.lease_until {
            Some(until) => Ok(self.effects.come_back(message, &delivery.receiver, until, None).await?),
            None => self.confirm(message).await,
        }
    }

    /// Takes the intent away. Whatever the end of its delivery is, it is listed there, and what was not done is kept there
    /// for a replay.
    async fn confirm(&self, message: &EffectMessage) -> Result<(), NotifyError> {
        match &message.target {
            EffectTarget::Asset { asset } => self.store.confirm_notification(asset, &message.intent).await?,
            EffectTarget::Run { connector, run } => {
                self.store.confirm_run_intent(connector, run, &message.intent).await?;
            }
            EffectTarget::Vulnerability { .. } => {}
        }
        Ok(())
    }
}

fn pause(tries: u32) -> SignedDuration {
    // From the eighth on it is the longest.
    (FIRST_PAUSE * 2_i32.pow(tries.clamp(1, 8) - 1)).min(LONGEST_PAUSE)
}
