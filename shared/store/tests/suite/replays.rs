//! Deliveries that ended undone and are tried anew: by a person, and by themselves.

use std::collections::{BTreeMap, BTreeSet};

use domain::vulnerability::{Effect, EffectTarget, Intent, NotifyEvent};
use domain::{Asset, AssetId, ConnectorName, RunId};
use jiff::{SignedDuration, Timestamp};
use store::{ConnectorState, CounterDelta, Delivery, DeliveryState, RETRY_AFTER, Replay, Reservation, Store};

use crate::support::*;

const LEASE: SignedDuration = SignedDuration::from_mins(5);
const KEY: &str = "n-1";

fn slack() -> ConnectorName {
    "slack".parse().unwrap()
}

fn effect() -> Effect {
    Effect::Notify { channel: "slack".into(), event: NotifyEvent::Opened, about: Vec::new() }
}

async fn reserve(store: &Store, now: Timestamp) -> Reservation {
    store.reserve_delivery(&slack(), KEY, "subject", now, LEASE, 10).await.unwrap()
}

async fn yours(store: &Store, now: Timestamp) -> (Delivery, u64) {
    match reserve(store, now).await {
        Reservation::Yours(delivery, rev) => (delivery, rev),
        other => panic!("{other:?}"),
    }
}

/// A delivery that ended so at noon.
async fn ended(store: &Store, state: DeliveryState, target: Option<EffectTarget>) {
    let (delivery, rev) = yours(store, noon()).await;
    let delivery = Delivery { state, lease_until: None, target, effect: Some(effect()), ..delivery };
    store.end_delivery(&delivery, rev).await.unwrap();
}

async fn replay(store: &Store, now: Timestamp) -> Replay {
    store.replay_delivery(&slack(), KEY, now, &line("ana")).await.unwrap()
}

async fn delivery(store: &Store) -> Delivery {
    store.delivery(&slack(), KEY).await.unwrap().unwrap()
}

async fn lines(store: &Store) -> usize {
    store.audit_page("2026-11-22".parse().unwrap(), None, 100).await.unwrap().0.len()
}

async fn known(store: &Store, asset: &Asset) -> EffectTarget {
    store.commit_asset(asset, None, &CounterDelta::default()).await.unwrap();
    EffectTarget::Asset { asset: asset.id.clone() }
}

async fn intents(store: &Store, asset: &AssetId) -> BTreeMap<String, Intent> {
    store.asset(asset).await.unwrap().unwrap().value.intents
}

async fn due(store: &Store, now: Timestamp) -> BTreeSet<AssetId> {
    store.due(now.to_zoned(jiff::tz::TimeZone::UTC).date(), now).await.unwrap().assets
}

#[tokio::test]
async fn a_replay_puts_the_wish_back_and_is_told_once() {
    for state in [DeliveryState::Failed, DeliveryState::Unconfirmed] {
        let store = store().await;
        let asset = asset("one");
        let target = known(&store, &asset).await;
        ended(&store, state, Some(target.clone())).await;
        let later = noon() + LEASE;
        // The second time nothing but the message is repeated.
        for now in [later, later + LEASE] {
            assert_eq!(replay(&store, now).await, Replay::Ready(target.clone()));
            let waits = delivery(&store).await;
            assert_eq!((waits.state, waits.tries, waits.restarts), (DeliveryState::Held, 0, 1), "{state:?}");
            assert_eq!(intents(&store, &asset.id).await[KEY], Intent::new(KEY, effect(), now));
            assert_eq!(lines(&store).await, 1);
        }
        assert!(due(&store, later + LEASE * 3).await.is_empty());
        assert_eq!(due(&store, later + LEASE * 4).await, [asset.id].into(), "the sweep asks too");

        let (held, rev) = yours(&store, later + LEASE).await;
        assert_eq!((held.tries, held.restarts, held.first_at), (1, 1, noon()));
        assert_eq!(replay(&store, later + LEASE).await, Replay::Refused(DeliveryState::Sending));
        let sent = Delivery { state: DeliveryState::Sent, ..held };
        store.end_delivery(&sent, rev).await.unwrap();
        assert_eq!(replay(&store, later + LEASE).await, Replay::Refused(DeliveryState::Sent));
        assert_eq!(lines(&store).await, 1);
    }
}

#[tokio::test]
async fn of_racing_replays_one_restarts() {
    let store = store().await;
    let target = known(&store, &asset("one")).await;
    ended(&store, DeliveryState::Failed, Some(target.clone())).await;
    let (receiver, line) = (slack(), line("ana"));
    let race = (0..6).map(|_| store.replay_delivery(&receiver, KEY, noon(), &line));
    for outcome in futures::future::join_all(race).await {
        match outcome {
            Ok(outcome) => assert_eq!(outcome, Replay::Ready(target.clone())),
            other => assert_conflict(other),
        }
    }
    assert_eq!((delivery(&store).await.restarts, lines(&store).await), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_replayed_stays_as_it_is() {
    let store = store().await;
    assert_eq!(replay(&store, noon()).await, Replay::Gone);
    store.first_time(&slack(), "abc", noon(), noon() + LEASE).await.unwrap();
    let push = store.replay_delivery(&slack(), "push-abc", noon(), &line("ana")).await.unwrap();
    assert_eq!(push, Replay::Gone, "what is remembered of a push is no delivery");
    assert_eq!(store.delivery(&slack(), "push-abc").await.unwrap(), None);

    let nobody = EffectTarget::Asset { asset: AssetId::derive("nobody") };
    ended(&store, DeliveryState::Failed, Some(nobody)).await;
    let before = delivery(&store).await;
    assert_eq!(replay(&store, noon()).await, Replay::Gone);
    let store = crate::support::store().await;
    ended(&store, DeliveryState::Failed, None).await;
    assert!(!delivery(&store).await.is_replayable() && before.is_replayable());
    assert_eq!(replay(&store, noon()).await, Replay::Gone, "it ended before its wish was kept with it");
    assert_eq!((delivery(&store).await.state, lines(&store).await), (DeliveryState::Failed, 0));

    let store = crate::support::store().await;
    let (first, rev) = yours(&store, noon()).await;
    let held = Delivery { state: DeliveryState::Held, lease_until: Some(noon() + LEASE), ..first };
    store.end_delivery(&held, rev).await.unwrap();
    assert_eq!(replay(&store, noon()).await, Replay::Refused(DeliveryState::Held));
}

#[tokio::test]
async fn the_wish_of_a_merged_asset_goes_where_it_went() {
    let store = store().await;
    let (gone, kept) = (asset("gone"), asset("kept"));
    let target = known(&store, &gone).await;
    let there = known(&store, &kept).await;
    ended(&store, DeliveryState::Failed, Some(target)).await;
    let merged = Asset { merged_into: Some(kept.id.clone()), ..gone };
    store.commit_asset(&merged, Some(1), &CounterDelta::default()).await.unwrap();
    assert_eq!(replay(&store, noon()).await, Replay::Ready(there));
    assert!(intents(&store, &kept.id).await.contains_key(KEY));
    assert!(intents(&store, &merged.id).await.is_empty());
}

#[tokio::test]
async fn the_wish_of_a_run_is_put_back() {
    let store = store().await;
    let run = RunId::new(noon(), 1);
    let state = ConnectorState::default();
    store.begin_run(&connector(), (&state, None), &run, &serde_json::json!("full"), noon()).await.unwrap();
    let (state, rev) = store.connector_state(&connector()).await.unwrap();
    let wishes = BTreeMap::from([(KEY.to_owned(), "slack".to_owned())]);
    store.end_run(&connector(), (&state, rev), &run, noon(), &wishes).await.unwrap();
    let target = EffectTarget::Run { connector: connector(), run: run.clone() };
    ended(&store, DeliveryState::Failed, Some(target.clone())).await;
    store.confirm_run_intent(&connector(), &run, KEY).await.unwrap();
    assert_eq!(replay(&store, noon()).await, Replay::Ready(target));
    assert_eq!(store.run(&connector(), &run).await.unwrap().unwrap().0.intents, wishes);
    let due = store.due("2026-11-22".parse().unwrap(), noon() + LEASE * 3).await.unwrap();
    assert_eq!(due.runs, [(connector(), run)].into());
}

#[tokio::test]
async fn a_failed_delivery_begins_anew_after_a_day_and_an_unconfirmed_one_never() {
    let store = store().await;
    ended(&store, DeliveryState::Failed, None).await;
    let day = noon() + RETRY_AFTER;
    let soon = reserve(&store, day - SignedDuration::from_secs(1)).await;
    assert!(matches!(soon, Reservation::Ended(_)), "{soon:?}");
    let (again, _) = yours(&store, day).await;
    assert_eq!((again.tries, again.restarts), (1, 1));

    let store = crate::support::store().await;
    ended(&store, DeliveryState::Unconfirmed, None).await;
    assert!(matches!(reserve(&store, day + RETRY_AFTER).await, Reservation::Ended(_)));
}

#[tokio::test]
async fn a_ticket_that_failed_is_swept_a_day_later_and_at_once_when_it_is_replayed() {
    let store = store().await;
    let one = asset("one");
    store.commit_asset(&one, None, &CounterDelta::default()).await.unwrap();
    let mut v = vulnerability(&one, "1", 800);
    v.intents = ticket_intent(KEY);
    store.put_vulnerability(&one, &v, None, HIGH).await.unwrap();
    let tomorrow = noon() + RETRY_AFTER;
    for _ in 0..2 {
        store.put_off_ticket(&one.id, &v.id, KEY, tomorrow).await.unwrap();
        let read = store.vulnerability(&one.id, &v.id).await.unwrap().unwrap();
        assert_eq!(read.rev, Some(2), "saying so again is not written");
        assert_eq!((read.value.intents[KEY].sweep_at(), read.value.intents[KEY].since), (tomorrow, noon()));
    }
    assert!(due(&store, tomorrow - LEASE).await.is_empty());
    assert_eq!(due(&store, tomorrow).await, [one.id.clone()].into());

    let target = EffectTarget::Vulnerability { asset: one.id.clone(), vulnerability: v.id.clone() };
    ended(&store, DeliveryState::Failed, Some(target.clone())).await;
    assert_eq!(replay(&store, noon()).await, Replay::Ready(target.clone()));
    assert_eq!(due(&store, noon() + LEASE * 3).await, [one.id.clone()].into());
    let read = store.vulnerability(&one.id, &v.id).await.unwrap().unwrap();
    assert_eq!(read.value.intents[KEY].since, noon(), "its comment keeps its mark");

    // What is no longer wanted is settled, and nothing is wished for it.
    v.intents.clear();
    store.put_vulnerability(&one, &v, read.rev, HIGH).await.unwrap();
    store.put_off_ticket(&one.id, &v.id, KEY, tomorrow).await.unwrap();
    assert_eq!(replay(&store, noon()).await, Replay::Ready(target));
    assert!(store.vulnerability(&one.id, &v.id).await.unwrap().unwrap().value.intents.is_empty());
}
