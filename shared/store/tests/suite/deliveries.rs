//! Deliveries and budgets.

use domain::ConnectorName;
use jiff::{SignedDuration, Timestamp};
use store::{Delivery, DeliveryState, Reservation, Store};

use crate::support::*;

const LEASE: SignedDuration = SignedDuration::from_mins(5);

fn slack() -> ConnectorName {
    "slack".parse().unwrap()
}

async fn reserve(store: &Store, key: &str, now: Timestamp, per_hour: u32) -> Reservation {
    store.reserve_delivery(&slack(), key, "subject", now, LEASE, per_hour).await.unwrap()
}

fn yours(reservation: Reservation) -> (Delivery, u64) {
    match reservation {
        Reservation::Yours(delivery, rev) => (delivery, rev),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_holder_at_a_time_and_the_end_is_final() {
    let store = store().await;
    let (delivery, rev) = yours(reserve(&store, "k", noon(), 10).await);
    assert_eq!((delivery.state, delivery.tries, rev), (DeliveryState::Sending, 1, 1));
    assert_eq!(delivery.lease_until, Some(noon() + LEASE));
    assert_eq!(reserve(&store, "k", noon(), 10).await, busy(noon() + LEASE, None));

    for state in [DeliveryState::Sent, DeliveryState::Failed, DeliveryState::Unconfirmed] {
        let key = state.as_str();
        let (mut delivery, rev) = yours(reserve(&store, key, noon(), 10).await);
        delivery.state = state;
        delivery.answer = "ok".into();
        delivery.reference = Some("SEC-1".into());
        store.end_delivery(&delivery, rev).await.unwrap();
        assert_conflict(store.end_delivery(&delivery, rev).await);
        assert_eq!(reserve(&store, key, noon() + LEASE * 9, 10).await, Reservation::Ended(delivery.clone()));
        assert_eq!(store.delivery(&slack(), key).await.unwrap(), Some(delivery));
    }
    assert_eq!(store.delivery(&slack(), "none").await.unwrap(), None);
}

fn busy(until: Timestamp, asked: Option<Timestamp>) -> Reservation {
    Reservation::Busy { until, asked }
}

#[tokio::test]
async fn whoever_waits_sees_that_another_will_ask() {
    let store = store().await;
    let (mut delivery, rev) = yours(reserve(&store, "k", noon(), 10).await);
    let (soon, until) = (noon() + LEASE / 2, noon() + LEASE);
    store.note_asked(&slack(), "k", soon).await.unwrap();
    assert_eq!(reserve(&store, "k", noon(), 10).await, busy(until, Some(soon)));
    delivery.state = DeliveryState::Held;
    store.end_delivery(&delivery, rev).await.expect("a note does not touch the revision");
    assert_eq!(reserve(&store, "k", noon(), 10).await, busy(until, None), "a new wait has its own note");
    assert_conflict(store.note_asked(&slack(), "none", soon).await);
}

#[tokio::test]
async fn a_lease_that_is_over_lets_the_next_try() {
    let store = store().await;
    let (first, rev) = yours(reserve(&store, "k", noon(), 1).await);
    let later = noon() + LEASE;
    let (second, next) = yours(reserve(&store, "k", later, 1).await);
    assert_eq!(
        (second.tries, second.first_at, second.at),
        (2, noon(), later),
        "a second try needs no budget"
    );
    assert_conflict(store.end_delivery(&first, rev).await);
    let held = Delivery { state: DeliveryState::Held, lease_until: Some(later + LEASE), ..second };
    store.end_delivery(&held, next).await.unwrap();
    assert_eq!(reserve(&store, "k", later, 1).await, busy(later + LEASE, None));
    let (third, _) = yours(reserve(&store, "k", later + LEASE, 1).await);
    assert_eq!((third.tries, third.state), (3, DeliveryState::Sending));
}

#[tokio::test]
async fn of_racing_reservations_of_one_key_one_is_yours() {
    let store = store().await;
    let receiver = slack();
    let race = (0..10).map(|_| store.reserve_delivery(&receiver, "k", "subject", noon(), LEASE, u32::MAX));
    let outcomes = futures::future::join_all(race).await;
    let won = outcomes.iter().filter(|o| matches!(o, Ok(Reservation::Yours(..)))).count();
    assert_eq!(won, 1);
    for outcome in outcomes {
        match outcome {
            Ok(Reservation::Yours(..) | Reservation::Busy { .. }) => {}
            other => assert_conflict(other),
        }
    }
}

#[tokio::test]
async fn the_budget_of_an_hour_is_exact_whoever_competes() {
    let store = store().await;
    let receiver = slack();
    let keys: Vec<_> = (0..20).map(|i| format!("k{i:02}")).collect();
    let mut left = keys.clone();
    for (hour, expected) in [(0, 7), (1, 7), (2, 6), (3, 0)] {
        let now = noon() + SignedDuration::from_hours(hour) + SignedDuration::from_secs(1);
        let all = left.iter().map(|key| store.reserve_delivery(&receiver, key, "subject", now, LEASE, 7));
        let outcomes = futures::future::try_join_all(all).await.unwrap();
        let mut held = Vec::new();
        for (key, outcome) in left.into_iter().zip(outcomes) {
            match outcome {
                Reservation::Yours(delivery, rev) => {
                    let sent = Delivery { state: DeliveryState::Sent, ..delivery };
                    store.end_delivery(&sent, rev).await.unwrap();
                }
                Reservation::Held(until) => {
                    assert_eq!(until, noon() + SignedDuration::from_hours(hour + 1));
                    let stored = store.delivery(&receiver, &key).await.unwrap().unwrap();
                    assert_eq!((stored.state, stored.tries), (DeliveryState::Held, 0));
                    assert!(stored.answer.contains("budget of 7"), "{}", stored.answer);
                    held.push(key);
                }
                other => panic!("{other:?}"),
            }
        }
        let sent = keys.len() - held.len();
        let before: usize = [0, 7, 14, 20][hour as usize];
        assert_eq!(sent - before, expected);
        left = held;
    }
    assert_eq!(
        reserve(&store, "more", noon() + SignedDuration::from_hours(9), 0).await,
        Reservation::Held(noon() + SignedDuration::from_hours(10))
    );
}

#[tokio::test]
async fn without_a_budget_nothing_is_counted() {
    let store = store().await;
    for key in ["a", "b", "c"] {
        yours(reserve(&store, key, noon(), u32::MAX).await);
    }
    yours(reserve(&store, "d", noon(), 1).await);
    assert!(matches!(reserve(&store, "e", noon(), 1).await, Reservation::Held(_)));
}

#[tokio::test]
async fn the_deliveries_of_a_day_are_listed_newest_first_in_pages() {
    let store = store().await;
    for minute in 0..23 {
        let now = noon() + SignedDuration::from_mins(minute / 2);
        yours(reserve(&store, &format!("k{minute:02}"), now, u32::MAX).await);
    }
    yours(reserve(&store, "tomorrow", noon() + SignedDuration::from_hours(24), u32::MAX).await);
    let day = jiff::civil::date(2026, 11, 22);
    let expected: Vec<_> = (0..23).rev().map(|minute| format!("k{minute:02}")).collect();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = store.deliveries_page(day, after.as_deref(), 5).await.unwrap();
        assert!(page.len() <= 5);
        found.extend(page.into_iter().map(|d| d.key));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    let newest: Vec<_> = store.deliveries(day, 3).await.unwrap().into_iter().map(|d| d.key).collect();
    assert_eq!(newest, expected[..3]);
}

#[tokio::test]
async fn a_push_counts_once_unless_it_is_forgotten() {
    let store = store().await;
    let (source, other) = (slack(), connector());
    let later = noon() + jiff::SignedDuration::from_mins(5);
    assert!(!store.push_seen(&source, "abc", noon()).await.unwrap());
    assert!(store.first_time(&source, "abc", noon(), later).await.unwrap());
    assert!(!store.first_time(&source, "abc", noon(), later).await.unwrap());
    assert!(store.push_seen(&source, "abc", noon()).await.unwrap());
    assert!(store.first_time(&other, "abc", noon(), later).await.unwrap(), "sources do not share digests");
    store.forget_push(&source, "abc").await.unwrap();
    store.forget_push(&source, "abc").await.unwrap();
    assert!(store.first_time(&source, "abc", noon(), later).await.unwrap());
    let race = (0..8).map(|_| store.first_time(&source, "raced", noon(), later));
    let first = futures::future::try_join_all(race).await.unwrap();
    assert_eq!(first.into_iter().filter(|first| *first).count(), 1);
    // The item may still be there after its time.
    assert!(!store.push_seen(&source, "raced", later).await.unwrap());
    assert!(store.first_time(&source, "raced", later, later).await.unwrap());
}
