//! Assets with their counters.

use std::collections::BTreeMap;

use domain::vulnerability::{Announced, Effect, Intent, NotifyEvent};
use domain::{AssetId, Severity, VulnId};
use jiff::civil::date;
use store::{CounterDelta, DayCounts, OpenCounts, StoreError};

use crate::support::*;

fn opened(owner: &str) -> CounterDelta {
    let mut delta = CounterDelta::default();
    delta.add_open(owner, "high", 1);
    delta.add_open(owner, "assets", 1);
    delta.add_open(owner, "critical", 1);
    delta.add_open(owner, "critical", -1);
    delta.add_day(date(2026, 11, 22), owner, "opened", 1);
    delta
}

#[tokio::test]
async fn what_is_counted_is_counted_once_whoever_repeats_it() {
    let store = store().await;
    let one = asset("one");
    let delta = opened("payments#eu");
    for rev in [None, Some(1)] {
        let commits = (0..6).map(|_| store.commit_asset(&one, rev, &delta));
        assert_eq!(winners(futures::future::join_all(commits).await), 1);
    }
    let counts = store.open_counts().await.unwrap();
    let expected = OpenCounts { high: 2, assets: 2, ..OpenCounts::default() };
    assert_eq!(counts, BTreeMap::from([("payments#eu".to_owned(), expected)]));
    assert_eq!((expected.total(), expected.of(Severity::High), expected.plus(expected).assets), (2, 2, 4));
    assert_eq!(store.day_counts(date(2026, 11, 22)).await.unwrap().opened, 2);
    assert_eq!(store.asset(&one.id).await.unwrap().unwrap().rev, Some(2));
}

#[tokio::test]
async fn counters_sum_over_assets_and_owners_move() {
    let store = store().await;
    let assets: Vec<_> = (0..30).map(|i| asset(&format!("asset {i}"))).collect();
    let delta = opened("core");
    futures::future::try_join_all(assets.iter().map(|a| store.commit_asset(a, None, &delta))).await.unwrap();
    assert_eq!(store.open_counts().await.unwrap()["core"].high, 30);
    let mut moved = CounterDelta::default();
    for attribute in ["high", "assets"] {
        moved.add_open("core", attribute, -1);
        moved.add_open("edge", attribute, 1);
    }
    futures::future::try_join_all(assets.iter().map(|a| store.commit_asset(a, Some(1), &moved)))
        .await
        .unwrap();
    let counts = store.open_counts().await.unwrap();
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["edge"], "an owner with nothing is not listed");
    assert_eq!((counts["edge"].high, counts["edge"].assets), (30, 30));
}

#[tokio::test]
async fn fixes_are_counted_by_class_of_time() {
    let store = store().await;
    let day = date(2026, 11, 22);
    let mut delta = CounterDelta::default();
    for days in [0, 1, 2, 30, 180, 181, 5_000] {
        delta.add_fix(day, "core", days);
    }
    delta.add_day(day, "edge", "reopened", 3);
    store.commit_asset(&asset("one"), None, &delta).await.unwrap();
    let expected = DayCounts { opened: 0, fixed: 7, reopened: 3, fix_days: [2, 1, 0, 0, 1, 0, 0, 1, 2] };
    assert_eq!(store.day_counts(day).await.unwrap(), expected);
    assert_eq!(store.day_counts(date(2026, 11, 23)).await.unwrap(), DayCounts::default());
}

#[tokio::test]
async fn a_notification_is_confirmed_once() {
    let store = store().await;
    let mut one = asset("one");
    let about = vec![Announced { vulnerability: VulnId::derive(&one.id, "1"), crossing: None }];
    let effect = Effect::Notify { channel: "slack".into(), event: NotifyEvent::Opened, about };
    for key in ["n-1", "n-2"] {
        let intent = Intent::new(key, effect.clone(), noon());
        one.intents.insert(key.into(), intent);
    }
    store.commit_asset(&one, None, &CounterDelta::default()).await.unwrap();
    assert_eq!(store.asset(&one.id).await.unwrap().unwrap().value, one);
    one.intents.remove("n-1");
    for _ in 0..2 {
        store.confirm_notification(&one.id, "n-1").await.unwrap();
        let back = store.asset(&one.id).await.unwrap().unwrap();
        assert_eq!((back.value, back.rev), (one.clone(), Some(2)));
    }
    store.confirm_notification(&AssetId::derive("none"), "n-1").await.unwrap();
    assert!(store.asset(&AssetId::derive("none")).await.unwrap().is_none());
    let stale: Result<(), StoreError> = store.commit_asset(&one, Some(1), &opened("core")).await;
    assert_conflict(stale);
    assert!(store.open_counts().await.unwrap().is_empty());
}
