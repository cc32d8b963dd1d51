//! Deliveries: what was sent to whom, once per key; and the budget of each receiver.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::ConnectorName;
use domain::vulnerability::{Effect, EffectTarget};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::audit::AuditLine;
use crate::codec::{self, Item, document, n, number, s};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Condition, Range, Store};

/// Attribute with the time at which a message on its way will ask for the delivery. It is beside the document, because
/// it says nothing about the delivery itself and must not meet its revision.
const ASKED: &str = "asked";
/// A failed delivery whose wish still stands is free again after this time: what was repaired heals without a person.
pub const RETRY_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Tries of a replay: others write what it puts the wish back on.
const REPLAY_TRIES: usize = 8;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Somebody is at it; when the lease is over, somebody else may try.
    Sending,
    /// Done.
    Sent,
    /// Refused for good, or tried too often.
    Failed,
    /// Nobody is at it: the receiver's budget is used up, the receiver asked to wait, or it did not work. Tried again
    /// in the next window, or when the lease is over.
    Held,
    /// Sent, but the answer was lost and the receiver cannot be asked.
    Unconfirmed,
}

impl DeliveryState {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// Whether it is an end at which, as far as anybody knows, it was not done.
    pub fn is_undone(self) -> bool {
        matches!(self, Self::Failed | Self::Unconfirmed)
    }
}

/// One effect outside, from the first try to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The channel or tracker.
    pub receiver: ConnectorName,
    /// Identity of the effect.
    pub key: String,
    /// What it is about, in words.
    pub subject: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Tries so far, this one included; counted anew after each restart.
    pub tries: u32,
    /// How often it began anew after it had ended undone. An earlier try may have been the one that was done.
    #[serde(default)]
    pub restarts: u32,
    /// When it was first tried.
    pub first_at: Timestamp,
    /// When the state last changed.
    pub at: Timestamp,
    /// While `sending`: until then nobody else tries. While `held`: not to be tried before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
    /// What the receiver said, or why it was held.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
    /// What the receiver calls the result: a ticket's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Where its wish belongs, once it has ended undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<EffectTarget>,
    /// The wish itself, if it goes with that end: a replay puts it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

impl Delivery {
    /// Whether a person can have it tried anew. One that ended before its wish was kept with it cannot be.
    pub fn is_replayable(&self) -> bool {
        self.state.is_undone() && self.target.is_some()
    }

    /// When a failed one is free to be tried anew by itself. Of an unconfirmed one only a person can say whether a second
    /// time does harm.
    pub fn free_at(&self) -> Option<Timestamp> {
        (self.state == DeliveryState::Failed).then(|| self.at + RETRY_AFTER)
    }

    /// Whether it was restarted, and nobody has tried it since.
    fn awaits_restart(&self) -> bool {
        self.restarts > 0 && self.tries == 0 && self.state == DeliveryState::Held
    }

    /// Lets it begin anew, at once.
    fn restart(&mut self, now: Timestamp) {
        (self.state, self.tries, self.at, self.lease_until) = (DeliveryState::Held, 0, now, Some(now));
        self.restarts += 1;
        self.answer = "to be tried anew".to_owned();
    }
}

/// What became of the wish to try a delivery anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// It waits to be tried: the message that names this target is to be sent.
    Ready(EffectTarget),
    /// It is under way, or done.
    Refused(DeliveryState),
    /// Nobody knows any more what it was about.
    Gone,
}

/// What became of the wish to send.
#[derive(Debug, Clone, PartialEq)]
pub enum Reservation {
    /// It is yours to send; the number of the try, from 1.
    Yours(Delivery, u64),
    /// It has ended already.
    Ended(Delivery),
    /// Not before a time: somebody else is at it, or it has to wait.
    Busy {
        /// That time.
        until: Timestamp,
        /// When a message that is on its way will ask again, as far as that was noted.
        asked: Option<Timestamp>,
    },
    /// The budget is used up until then.
    Held(Timestamp),
}

impl Store {
    /// Reserves the right to send `key` to `receiver`: at most one holder at a time, and no more than `per_hour`
    /// first tries an hour. `u32::MAX` is no budget: such a try is not counted either. One that failed [`RETRY_AFTER`] ago
    /// begins anew.
    pub async fn reserve_delivery(
        &self,
        receiver: &ConnectorName,
        key: &str,
        subject: &str,
        now: Timestamp,
        lease: SignedDuration,
        per_hour: u32,
    ) -> Result<Reservation, StoreError> {
        let item = self.get(&keys::delivery(receiver, key), true).await?;
        let rev = item.as_ref().and_then(|i| number::<u64>(i, "rev"));
        let known: Option<Delivery> = item.as_ref().map(codec::parse).transpose()?;
        let mut delivery = match known {
            None => Delivery {
                receiver: receiver.clone(),
                key: key.to_owned(),
                subject: subject.to_owned(),
                state: DeliveryState::Held,
                tries: 0,
                first_at: now,
                at: now,
                restarts: 0,
                lease_until: None,
                answer: String::new(),
                reference: None,
                target: None,
                effect: None,
            },
            Some(mut delivery) => match delivery.state {
                DeliveryState::Failed if delivery.free_at().is_some_and(|at| at <= now) => {
                    delivery.restart(now);
                    delivery
                }
                DeliveryState::Sent | DeliveryState::Failed | DeliveryState::Unconfirmed => {
                    return Ok(Reservation::Ended(delivery));
                }
                DeliveryState::Sending | DeliveryState::Held
                    if delivery.lease_until.is_some_and(|until| until > now) =>
                {
                    let asked = item.as_ref().and_then(|i| codec::text(i, ASKED)?.parse().ok());
                    return Ok(Reservation::Busy { until: delivery.lease_until.unwrap_or(now), asked });
                }
                DeliveryState::Sending | DeliveryState::Held => delivery,
            },
        };
        let first_try = delivery.tries == 0;
        delivery.state = DeliveryState::Sending;
        delivery.tries += 1;
        delivery.at = now;
        delivery.lease_until = Some(now + lease);
        let sending = self.transact_put(
            &keys::delivery(receiver, key),
            delivery_item(&delivery, rev.unwrap_or(0) + 1),
            Condition::revision(rev),
        )?;
        let hour = now.as_second().div_euclid(3_600);
        let next_hour = Timestamp::from_second((hour + 1) * 3_600).unwrap_or(now);
        if !first_try || per_hour == u32::MAX {
            self.transact(&format!("delivery {key}"), vec![sending]).await?;
            return Ok(Reservation::Yours(delivery, rev.unwrap_or(0) + 1));
        }
        // A budget of nothing does not even allow the first one.
        let left =
            if per_hour == 0 { "used < :limit" } else { "attribute_not_exists(used) OR used < :limit" };
        let budget = self.transact_update(
            &keys::budget(receiver, hour),
            "ADD used :one SET expires = :e",
            left,
            vec![(":one", n(1)), (":limit", n(per_hour)), (":e", n(next_hour.as_second() + 86_400))],
        )?;
        match self.transact(&format!("delivery {key}"), vec![sending, budget]).await {
            Ok(()) => Ok(Reservation::Yours(delivery, rev.unwrap_or(0) + 1)),
            Err(error) if error.is_conflict() => {
                let used = self.get(&keys::budget(receiver, hour), true).await?;
                if used.as_ref().and_then(|i| number::<u32>(i, "used")).unwrap_or(0) < per_hour {
                    return Err(error);
                }
                let held = Delivery {
                    state: DeliveryState::Held,
                    tries: 0,
                    lease_until: None,
                    answer: format!("the budget of {per_hour} an hour is used up; held until {next_hour}"),
                    ..delivery
                };
                self.put_delivery(&held, rev).await?;
                Ok(Reservation::Held(next_hour))
            }
            Err(error) => Err(error),
        }
    }

    /// Notes that a message is on its way which will ask for a delivery at `at`. Whoever reserves or ends the delivery
    /// takes the note away.
    pub async fn note_asked(
        &self,
        receiver: &ConnectorName,
        key: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let values = vec![(":at", s(at.to_string()))];
        let (key, names) = (keys::delivery(receiver, key), [("#asked", ASKED)]);
        self.update(&key, "SET #asked = :at", Some("attribute_exists(pk)"), &names, values).await
    }

    /// Writes what became of a reserved delivery. `rev` is the revision that the reservation gave.
    pub async fn end_delivery(&self, delivery: &Delivery, rev: u64) -> Result<(), StoreError> {
        self.put_delivery(delivery, Some(rev)).await
    }

    async fn put_delivery(&self, delivery: &Delivery, rev: Option<u64>) -> Result<(), StoreError> {
        let item = delivery_item(delivery, rev.unwrap_or(0) + 1);
        self.put(&keys::delivery(&delivery.receiver, &delivery.key), item, Some(Condition::revision(rev)))
            .await
    }

    /// One delivery, as it is now.
    pub async fn delivery(
        &self,
        receiver: &ConnectorName,
        key: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        Ok(self.read_delivery(receiver, key).await?.map(|(delivery, _)| delivery))
    }

    /// A delivery and its revision. What is remembered of a push stands among them and is none.
    async fn read_delivery(
        &self,
        receiver: &ConnectorName,
        key: &str,
    ) -> Result<Option<(Delivery, Option<u64>)>, StoreError> {
        let item = self.get(&keys::delivery(receiver, key), true).await?;
        let item = item.filter(|item| item.contains_key(codec::DOCUMENT));
        item.map(|item| Ok((codec::parse(&item)?, number(&item, "rev")))).transpose()
    }

    /// A person wants a delivery that ended undone to be tried anew. Its wish is put back with it, so that the sweep asks
    /// if the message is lost, and the audit's line is written. Asked again before anybody tried, it writes no second line.
    pub async fn replay_delivery(
        &self,
        receiver: &ConnectorName,
        key: &str,
        now: Timestamp,
        line: &AuditLine,
    ) -> Result<Replay, StoreError> {
        let what = format!("replay of {key}");
        for _ in 0..REPLAY_TRIES {
            let Some((mut delivery, rev)) = self.read_delivery(receiver, key).await? else {
                return Ok(Replay::Gone);
            };
            let mut items = Vec::new();
            if delivery.state.is_undone() {
                delivery.restart(now);
                items.push(self.transact_audit(line)?);
            } else if !delivery.awaits_restart() {
                return Ok(Replay::Refused(delivery.state));
            }
            let Some((target, wish)) = self.wish_again(&delivery, now).await? else {
                return Ok(Replay::Gone);
            };
            let item = delivery_item(&delivery, rev.unwrap_or(0) + 1);
            items.push(self.transact_put(&keys::delivery(receiver, key), item, Condition::revision(rev))?);
            items.extend(wish);
            match self.transact(&what, items).await {
                Err(error) if error.is_conflict() => {}
                other => return other.map(|()| Replay::Ready(target)),
            }
        }
        Err(StoreError::Conflict { what })
    }

    /// The deliveries first tried on a day, newest first.
    pub async fn deliveries(&self, day: jiff::civil::Date, limit: i32) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.deliveries_page(day, None, limit).await?.0)
    }

    /// The same, after a place, with the place where the list goes on.
    pub async fn deliveries_page(
        &self,
        day: jiff::civil::Date,
        after: Option<&str>,
        limit: i32,
    ) -> Result<(Vec<Delivery>, Option<String>), StoreError> {
        let pk = keys::deliveries_partition(day);
        let mut range = Range::all(&pk);
        range.index = Some(keys::BY_OWNER);
        range.descending = true;
        // Both ends are included, so that the page begins with the one before; it is left out.
        range.limit = Some(limit + i32::from(after.is_some()));
        range.between = after.map(|after| ("0", after));
        let (mut items, next) = self.query_page(&range, None).await?;
        let place = |item: &Item| codec::text(item, "os").map(str::to_owned);
        items.retain(|item| place(item).as_deref() != after);
        let next = next.and(items.last().and_then(place));
        Ok((items.iter().map(codec::parse).collect::<Result<_, _>>()?, next))
    }

    /// Whether a push was seen before and is still to be remembered at `now`.
    pub async fn push_seen(
        &self,
        source: &ConnectorName,
        digest: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let item = self.get(&keys::delivery(source, &format!("push-{digest}")), true).await?;
        // The table drops what has expired when it gets round to it, which may be days later.
        Ok(item.and_then(|item| number::<i64>(&item, "expires")).is_some_and(|until| until > now.as_second()))
    }

    /// Remembers a push by its digest, from `now` until `expires`. `false`: it was seen before, the push is a replay.
    pub async fn first_time(
        &self,
        source: &ConnectorName,
        digest: &str,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = keys::delivery(source, &format!("push-{digest}"));
        let item = Item::from([("expires".to_owned(), n(expires.as_second()))]);
        let condition = Condition {
            expression: "attribute_not_exists(pk) OR expires <= :now".into(),
            values: vec![(":now", n(now.as_second()))],
        };
        match self.put(&key, item, Some(condition)).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Forgets a push again, so that its sender may repeat it: what it should have started could not be sent.
    pub async fn forget_push(&self, source: &ConnectorName, digest: &str) -> Result<(), StoreError> {
        self.delete(&keys::delivery(source, &format!("push-{digest}"))).await
    }
}

fn delivery_item(delivery: &Delivery, rev: u64) -> Item {
    let day = delivery.first_at.to_zoned(jiff::tz::TimeZone::UTC).date();
    Item::from([
        (codec::DOCUMENT.to_owned(), document(delivery)),
        ("rev".into(), n(rev)),
        ("o".into(), s(keys::deliveries_partition(day))),
        (
            "os".into(),
            AttributeValue::S(format!(
                "{}#{}#{}",
                delivery.first_at.strftime("%H:%M:%S"),
                delivery.receiver,
                delivery.key
            )),
        ),
    ])
}
