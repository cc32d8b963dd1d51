//! The function over an embedded table and a queue that remembers.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

#[allow(dead_code)] // of what `score` needs, a part
#[path = "../../score/tests/support/mod.rs"] // the two work on the same timers
mod support;

use domain::vulnerability::{Effect, Intent, NotifyEvent};
use domain::{Asset, AssetId};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sla::Sla;
use store::CounterDelta;
use support::Bench;

const NOON: &str = "2026-11-22T12:00:00Z";

async fn bench(now: &str) -> (Bench, Sla) {
    let bench = Bench::new("{}", now).await;
    let sla = Sla::new(&bench.services);
    (bench, sla)
}

/// An asset that somebody has to look at then, and nothing else.
async fn due_at(bench: &Bench, name: &str, at: &str) -> Asset {
    let mut asset = Asset::new(AssetId::derive(name));
    asset.look_at = Some(at.parse().unwrap());
    bench.store().commit_asset(&asset, None, &CounterDelta::default()).await.unwrap();
    asset
}

/// Assets that a pass found; they are what it sent.
async fn pass(bench: &Bench, sla: &Sla) -> usize {
    let found = sla.handle().await.unwrap().assets;
    let sent: usize = bench.sent().iter().map(|message| message["assets"].as_array().unwrap().len()).sum();
    assert_eq!(sent, found);
    found
}

#[tokio::test]
async fn what_is_due_goes_to_score_until_it_is_decided_on() {
    let (bench, sla) = bench(NOON).await;
    let mut asset = due_at(&bench, "one", "2026-11-22T11:00:00Z").await;
    due_at(&bench, "later", "2026-11-22T12:30:00Z").await;
    for _ in 0..2 {
        assert_eq!(sla.handle().await.unwrap().assets, 1);
        assert_eq!(bench.sent(), [json!({ "assets": [asset.id] })]);
    }
    asset.look_at = None;
    bench.store().commit_asset(&asset, Some(1), &CounterDelta::default()).await.unwrap();
    assert_eq!(pass(&bench, &sla).await, 0);
    bench.pass(SignedDuration::from_mins(30));
    assert_eq!(pass(&bench, &sla).await, 1);
}

#[tokio::test]
async fn a_confirmed_notification_is_looked_at_no_more() {
    let (bench, sla) = bench(NOON).await;
    let mut asset = Asset::new(AssetId::derive("one"));
    let effect = Effect::Notify { channel: "team".into(), event: NotifyEvent::Overdue, about: Vec::new() };
    let key = "n-1".to_owned();
    asset.intents.insert(key.clone(), Intent::new(key, effect, bench.now()));
    bench.store().commit_asset(&asset, None, &CounterDelta::default()).await.unwrap();
    bench.pass(SignedDuration::from_mins(20));
    assert_eq!(pass(&bench, &sla).await, 1);
    bench.store().confirm_notification(&asset.id, "n-1").await.unwrap();
    assert_eq!(pass(&bench, &sla).await, 0);
}

#[tokio::test]
async fn what_was_due_before_midnight_and_came_after_the_pass_is_found_by_the_next() {
    let (bench, sla) = bench("2026-11-22T23:59:59Z").await;
    assert_eq!(pass(&bench, &sla).await, 0);
    bench.pass(SignedDuration::from_secs(2));
    assert_eq!(pass(&bench, &sla).await, 0);
    due_at(&bench, "late", "2026-11-22T23:59:59Z").await;
    bench.pass(SignedDuration::from_mins(5));
    assert_eq!(pass(&bench, &sla).await, 1);
}

#[tokio::test]
async fn a_quiet_day_is_written_once_and_two_days_are_looked_at() {
    let (bench, sla) = bench(NOON).await;
    sla.handle().await.unwrap();
    let written = bench.written();
    for _ in 0..3 {
        bench.pass(SignedDuration::from_mins(5));
        assert_eq!(sla.handle().await.unwrap().days, 2);
    }
    assert!((bench.written() - written).abs() < f64::EPSILON);
}

#[tokio::test]
async fn an_outage_loses_nothing() {
    let (bench, sla) = bench(NOON).await;
    sla.handle().await.unwrap();
    due_at(&bench, "one", "2026-11-25T08:00:00Z").await;
    bench.pass(SignedDuration::from_hours(24 * 200));
    assert_eq!(pass(&bench, &sla).await, 1);
}

#[tokio::test]
async fn a_first_pass_finds_what_became_due_in_the_week_before() {
    let (bench, sla) = bench(NOON).await;
    let days_ago = NOON.parse::<Timestamp>().unwrap() - SignedDuration::from_hours(24 * 6);
    due_at(&bench, "one", &days_ago.to_string()).await;
    assert_eq!(pass(&bench, &sla).await, 1);
}
