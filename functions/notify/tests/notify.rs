//! The function against the simulated Slack and the embedded table.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy cannot know

#[path = "../../ticket/tests/support/mod.rs"] // both take an effect from a queue and carry it out
mod support;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use domain::vulnerability::{Announced, Effect, Intent, NotifyEvent};
use domain::{Asset, RunId};
use notify::Notify;
use platform::{Clock, Services};
use queue::{EffectMessage, EffectTarget};
use serde_json::json;
use simulators::slack;
use store::{AuditAction, AuditLine, ConnectorState, DeliveryState, Replay, RunStatus, Verdict};
use support::{Bench, asset, event, vulnerability};

const CHANNEL: &str = "team-payments";

async fn bench(per_hour: u32) -> (Bench, Notify) {
    let bench = Bench::new(|_| {
        format!(
            "channels:\n  - name: {CHANNEL}\n    type: slack\n    webhook_url: ${{WEBHOOK}}\n    \
             messages_per_hour: {per_hour}\n    allow_private_address: true\n"
        )
    })
    .await;
    let address = format!("{}/slack{}", bench.base, slack::webhook_path());
    bench.secret(CHANNEL, json!({ "WEBHOOK": address }));
    let notify = Notify::new(&bench.services).with_timeout(Duration::from_millis(200));
    (bench, notify)
}

/// An asset with `count` overdue vulnerabilities and the intent to say so.
async fn overdue(bench: &Bench, number: u64, count: u64) -> (Asset, EffectMessage) {
    let mut asset = asset(number, &format!("web-{number}.example.com"));
    let vulnerabilities: Vec<_> = (1..=count).map(|n| vulnerability(n, &asset)).collect();
    let crossing = Some("0/overdue".parse().unwrap());
    let about = vulnerabilities.iter().map(|v| Announced { vulnerability: v.id.clone(), crossing }).collect();
    let key = format!("n-{number:016x}");
    let effect = Effect::Notify { channel: CHANNEL.into(), event: NotifyEvent::Overdue, about };
    asset.intents.insert(key.clone(), Intent::new(key.clone(), effect, bench.now()));
    bench.put(&asset, &vulnerabilities).await;
    let message = EffectMessage { target: EffectTarget::Asset { asset: asset.id.clone() }, intent: key };
    (asset, message)
}

async fn work(notify: &Notify, message: &EffectMessage) {
    let failed = notify.handle(event(message)).await.batch_item_failures;
    assert!(failed.is_empty(), "{failed:?}");
}

async fn pending(bench: &Bench, asset: &Asset) -> usize {
    bench.store().asset(&asset.id).await.unwrap().unwrap().value.intents.len()
}

fn texts(bench: &Bench) -> Vec<String> {
    bench.world.received.messages().iter().map(|m| m["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_message_is_sent_once_and_says_what_matters() {
    let (bench, notify) = bench(20).await;
    let (asset, message) = overdue(&bench, 1, 12).await;
    work(&notify, &message).await;
    work(&notify, &message).await;
    let texts = texts(&bench);
    assert_eq!(texts.len(), 1);
    let lines: Vec<_> = texts[0].lines().collect();
    assert_eq!(lines[0], "Overdue: 12 vulnerabilities on web-1.example.com");
    assert_eq!(
        lines[1],
        "• critical 900 OpenSSH &lt;= 9.1 remote code execution, CVE-2026-0001, due 2026-12-01"
    );
    assert_eq!(*lines.last().unwrap(), "and 2 more");
    assert_eq!(lines.len(), 12);
    assert_eq!(pending(&bench, &asset).await, 0);
    let deliveries = bench.deliveries().await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!((deliveries[0].state, deliveries[0].answer.as_str()), (DeliveryState::Sent, "ok"));
    assert!(bench.sent().is_empty());
}

#[tokio::test]
async fn two_messages_of_one_intent_at_once_are_one_message() {
    let (bench, notify) = bench(20).await;
    let (_, message) = overdue(&bench, 1, 1).await;
    tokio::join!(work(&notify, &message), work(&notify, &message));
    assert_eq!(texts(&bench).len(), 1);
    bench.pass(300);
    for (again, _) in bench.sent() {
        work(&notify, &serde_json::from_value(again).unwrap()).await;
    }
    assert_eq!(texts(&bench).len(), 1);
}

#[tokio::test]
async fn what_exceeds_the_budget_is_held_and_listed_and_sent_in_the_next_hour() {
    let (bench, notify) = bench(2).await;
    let mut messages = Vec::new();
    for number in 1..=4 {
        messages.push(overdue(&bench, number, 1).await);
    }
    for (_, message) in &messages {
        work(&notify, message).await;
    }
    assert_eq!(texts(&bench).len(), 2);
    let held =
        bench.deliveries().await.into_iter().filter(|d| d.state == DeliveryState::Held).collect::<Vec<_>>();
    assert_eq!(held.len(), 2);
    assert!(held[0].answer.contains("2 an hour"), "{}", held[0].answer);
    let measured = bench.metrics.lines();
    assert_eq!(measured.len(), 2);
    assert!(
        measured.iter().all(|line| line["Function"] == "notify" && line["BudgetHeld"] == 1),
        "{measured:?}"
    );
    assert_eq!(pending(&bench, &messages[3].0).await, 1, "the wish is kept");
    assert!(bench.sent().is_empty(), "the sweep asks again, a message of its own would multiply");
    for (pass, delivered) in [(900, 2), (2_700, 4)] {
        bench.pass(pass);
        for (_, message) in &messages {
            work(&notify, message).await;
        }
        assert_eq!(texts(&bench).len(), delivered, "after {pass} seconds more");
    }
    assert_eq!(texts(&bench).len(), 4);
    assert!(bench.deliveries().await.iter().all(|d| d.state == DeliveryState::Sent));
}

#[tokio::test]
async fn a_throttled_message_waits_without_using_the_budget_again() {
    let (bench, notify) = bench(1).await;
    bench.world.faults.set("slack.post:ratelimit~7").unwrap();
    let (asset, message) = overdue(&bench, 1, 1).await;
    for _ in 0..7 {
        work(&notify, &message).await;
        let sent = bench.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].1, 1, "as long as Retry-After says");
        assert_eq!(bench.deliveries().await[0].state, DeliveryState::Held);
        bench.pass(1);
    }
    work(&notify, &message).await;
    assert_eq!((texts(&bench).len(), pending(&bench, &asset).await), (1, 0));
    assert!(bench.deliveries().await[0].tries <= 2, "waiting does not count as trying");
}

#[tokio::test]
async fn a_refused_message_fails_with_the_answers_words() {
    let (bench, notify) = bench(20).await;
    let wrong = format!("{}/slack/services/T0SIMULATE/B0SIMULATE/removed", bench.base);
    bench.secret(CHANNEL, json!({ "WEBHOOK": wrong }));
    let (asset, message) = overdue(&bench, 1, 1).await;
    work(&notify, &message).await;
    let delivery = bench.deliveries().await.remove(0);
    assert_eq!(
        (delivery.state, delivery.answer.as_str()),
        (DeliveryState::Failed, "answered 404 no_service")
    );
    assert_eq!(pending(&bench, &asset).await, 0);
    work(&notify, &message).await;
    assert!(bench.sent().is_empty() && texts(&bench).is_empty());
}

/// As a person does who has it tried anew.
async fn replay(bench: &Bench, key: &str) -> Replay {
    let (by, target) = ("ana".to_owned(), String::new());
    let action = AuditAction::ReplayedDelivery;
    let line = AuditLine { at: bench.now(), by, subject: None, action, target, detail: String::new() };
    bench.store().replay_delivery(&CHANNEL.parse().unwrap(), key, bench.now(), &line).await.unwrap()
}

#[tokio::test]
async fn a_replayed_message_says_what_the_first_would_have_said_and_is_sent_once() {
    for fault in ["slack.post:error=404~1", "slack.post:drop~1"] {
        let (bench, notify) = bench(20).await;
        bench.world.faults.set(fault).unwrap();
        let (asset, message) = overdue(&bench, 1, 2).await;
        work(&notify, &message).await;
        let told = texts(&bench).len();
        assert_eq!(pending(&bench, &asset).await, 0, "{fault}");
        for _ in 0..2 {
            assert_eq!(
                replay(&bench, &message.intent).await,
                Replay::Ready(message.target.clone()),
                "{fault}"
            );
        }
        assert_eq!(pending(&bench, &asset).await, 1, "{fault}: the sweep would ask for it too");
        work(&notify, &message).await;
        work(&notify, &message).await;
        let texts = texts(&bench);
        assert_eq!((texts.len(), pending(&bench, &asset).await), (told + 1, 0), "{fault}");
        assert!(
            texts[told].starts_with("Overdue: 2 vulnerabilities on web-1.example.com"),
            "{}",
            texts[told]
        );
        let sent = bench.deliveries().await.remove(0);
        assert_eq!((sent.state, sent.restarts, sent.effect), (DeliveryState::Sent, 1, None), "{fault}");
        assert_eq!(replay(&bench, &message.intent).await, Replay::Refused(DeliveryState::Sent), "{fault}");
    }
}

#[tokio::test]
async fn a_message_under_way_is_not_replayed() {
    let (bench, notify) = bench(20).await;
    bench.world.faults.set("slack.post:error=503~1").unwrap();
    let (_, message) = overdue(&bench, 1, 1).await;
    work(&notify, &message).await;
    assert_eq!(replay(&bench, &message.intent).await, Replay::Refused(DeliveryState::Held));
    let (channel, lease) = (CHANNEL.parse().unwrap(), jiff::SignedDuration::from_mins(2));
    bench.pass(60);
    bench.store().reserve_delivery(&channel, &message.intent, "x", bench.now(), lease, 20).await.unwrap();
    assert_eq!(replay(&bench, &message.intent).await, Replay::Refused(DeliveryState::Sending));
}

#[tokio::test]
async fn a_replaced_address_is_noticed_at_once() {
    let (bench, notify) = bench(20).await;
    let address = format!("{}/slack{}", bench.base, slack::webhook_path());
    bench.secret(
        CHANNEL,
        json!({ "WEBHOOK": format!("{}/slack/services/T0SIMULATE/B0SIMULATE/old", bench.base) }),
    );
    bench.services.secrets.resolve(CHANNEL, "${WEBHOOK}").await.unwrap();
    bench.secret(CHANNEL, json!({ "WEBHOOK": address }));
    let (_, message) = overdue(&bench, 1, 1).await;
    work(&notify, &message).await;
    assert_eq!(texts(&bench).len(), 1);
}

#[tokio::test]
async fn a_broken_receiver_is_tried_for_a_day_with_growing_pauses() {
    let (bench, notify) = bench(20).await;
    bench.world.faults.set("slack.post:error=503").unwrap();
    let (asset, message) = overdue(&bench, 1, 1).await;
    let mut delays = Vec::new();
    loop {
        work(&notify, &message).await;
        let sent = bench.sent();
        if sent.is_empty() {
            break;
        }
        for (_, delay) in sent {
            delays.push(delay);
            bench.pass(delay);
        }
    }
    assert_eq!(delays[..6], [30, 60, 120, 240, 480, 900]);
    let hours = delays.iter().sum::<i64>() / 3_600;
    assert!((20..30).contains(&hours), "{hours} hours");
    let delivery = bench.deliveries().await.remove(0);
    assert_eq!(delivery.state, DeliveryState::Failed);
    assert!(delivery.answer.contains("30 tries") && delivery.answer.contains("503"), "{}", delivery.answer);
    assert_eq!(pending(&bench, &asset).await, 0);
}

#[tokio::test]
async fn a_lost_answer_is_never_followed_by_a_second_message() {
    for fault in ["slack.post:timeout=2~1", "slack.post:drop~1"] {
        let (bench, notify) = bench(20).await;
        bench.world.faults.set(fault).unwrap();
        let (asset, message) = overdue(&bench, 1, 1).await;
        work(&notify, &message).await;
        let delivery = bench.deliveries().await.remove(0);
        assert_eq!(delivery.state, DeliveryState::Unconfirmed, "{fault}");
        assert!(!delivery.answer.contains(slack::SECRET), "{}", delivery.answer);
        bench.pass(3_600);
        work(&notify, &message).await;
        assert_eq!((texts(&bench).len(), pending(&bench, &asset).await), (1, 0), "{fault}");
    }
}

#[tokio::test]
async fn a_gateways_answer_is_never_followed_by_a_second_message() {
    for fault in ["slack.post:error=504~1", "slack.post:garbage~1"] {
        let (bench, notify) = bench(20).await;
        bench.world.faults.set(fault).unwrap();
        let (asset, message) = overdue(&bench, 1, 1).await;
        work(&notify, &message).await;
        assert_eq!(bench.deliveries().await[0].state, DeliveryState::Unconfirmed, "{fault}");
        bench.pass(3_600);
        work(&notify, &message).await;
        assert_eq!((bench.world.received.requests()["slack"], pending(&bench, &asset).await), (1, 0));
        assert!(bench.sent().is_empty(), "{fault}");
    }
}

/// Leaps after it was first asked: the function was frozen between reserving and posting.
struct Leaping(AtomicI64, Arc<dyn Clock>);

impl Clock for Leaping {
    fn now(&self) -> jiff::Timestamp {
        let seconds = self.0.swap(100, Ordering::Relaxed);
        self.1.now() + jiff::SignedDuration::from_secs(seconds)
    }
}

#[tokio::test]
async fn a_function_whose_lease_is_nearly_over_posts_nothing() {
    let (bench, notify) = bench(1).await;
    let (asset, message) = overdue(&bench, 1, 1).await;
    let clock = Arc::new(Leaping(0.into(), bench.services.clock.clone()));
    let frozen = Notify::new(&Services { clock, ..bench.services.clone() });
    work(&frozen, &message).await;
    let held = bench.deliveries().await.remove(0);
    assert_eq!((held.state, texts(&bench).len()), (DeliveryState::Held, 0), "20 of 30 seconds are left");
    assert!(held.answer.starts_with("the lease was nearly over"), "{}", held.answer);
    assert_eq!((bench.sent()[0].1, held.tries), (1, 1), "it comes back at once, and the budget is paid");
    bench.pass(101);
    work(&notify, &message).await;
    assert_eq!((texts(&bench).len(), pending(&bench, &asset).await), (1, 0));
}

#[tokio::test]
async fn a_function_that_died_before_it_could_write_sends_again_after_its_lease() {
    let (bench, notify) = bench(20).await;
    let (_, message) = overdue(&bench, 1, 1).await;
    let channel = CHANNEL.parse().unwrap();
    let lease = jiff::SignedDuration::from_mins(2);
    bench.store().reserve_delivery(&channel, &message.intent, "x", bench.now(), lease, 20).await.unwrap();
    work(&notify, &message).await;
    assert!(texts(&bench).is_empty(), "somebody may still be at it");
    assert_eq!(bench.sent()[0].1, 120);
    bench.pass(120);
    work(&notify, &message).await;
    let body = bench.world.received.messages()[0]["body"].to_string();
    assert!(body.contains(&message.intent), "the reference makes a repeat recognisable");
}

/// Polls so many times and then drops the future, as when the function is killed. Says whether it was done by then.
async fn kill_after(polls: usize, future: impl Future) -> bool {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|context| match left {
        0 => Poll::Ready(false),
        _ => {
            left -= 1;
            future.as_mut().poll(context).map(|_| true)
        }
    })
    .await
}

#[tokio::test]
async fn a_function_that_is_killed_anywhere_loses_no_message() {
    for polls in 1.. {
        let (bench, notify) = bench(1).await;
        let (asset, message) = overdue(&bench, 1, 1).await;
        let done = kill_after(polls, notify.handle(event(&message))).await;
        work(&notify, &message).await;
        for (again, delay) in bench.sent() {
            bench.pass(delay);
            work(&notify, &serde_json::from_value(again).unwrap()).await;
        }
        let texts = texts(&bench);
        assert!((1..=2).contains(&texts.len()), "killed after {polls} polls: {texts:?}");
        assert!(texts.iter().all(|text| *text == texts[0]), "a repeat says the same");
        assert_eq!(pending(&bench, &asset).await, 0, "killed after {polls} polls");
        if done {
            assert_eq!(texts.len(), 1);
            break;
        }
    }
}

#[tokio::test]
async fn a_first_sync_is_told_in_one_summary() {
    let (bench, notify) = bench(20).await;
    let connector = "qualys-prod".parse().unwrap();
    let run = RunId::new(bench.now(), 1);
    let state = ConnectorState::default();
    let store = bench.store();
    store.begin_run(&connector, (&state, None), &run, &json!("full"), bench.now()).await.unwrap();
    store.judge_run(&connector, &run, Verdict::Complete, RunStatus::Done, None, 0).await.unwrap();
    let (state, rev) = store.connector_state(&connector).await.unwrap();
    let intents = BTreeMap::from([("n-1".to_owned(), CHANNEL.to_owned())]);
    store.end_run(&connector, (&state, rev), &run, bench.now(), &intents).await.unwrap();
    let target = EffectTarget::Run { connector: connector.clone(), run: run.clone() };
    let message = EffectMessage { target, intent: "n-1".into() };
    work(&notify, &message).await;
    work(&notify, &message).await;
    let texts = texts(&bench);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("First sync summary: qualys-prod, complete\n"), "{}", texts[0]);
    assert!(texts[0].contains("Opened: 0, of them 0 critical and 0 high"), "{}", texts[0]);
    assert!(store.run(&connector, &run).await.unwrap().unwrap().0.intents.is_empty());
}

#[tokio::test]
async fn a_channel_that_is_not_configured_any_more_is_listed_as_failed() {
    let (bench, notify) = bench(20).await;
    let (mut asset, _) = overdue(&bench, 1, 1).await;
    asset = Asset { id: "a-00000000000000ff".parse().unwrap(), ..asset };
    for intent in asset.intents.values_mut() {
        let Effect::Notify { channel, .. } = &mut intent.effect else { unreachable!() };
        *channel = "gone".into();
    }
    bench.put(&asset, &[]).await;
    let intent = asset.intents.keys().next().unwrap().clone();
    let target = EffectTarget::Asset { asset: asset.id.clone() };
    work(&notify, &EffectMessage { target, intent }).await;
    let delivery = bench.deliveries().await.remove(0);
    assert_eq!(delivery.state, DeliveryState::Failed);
    assert_eq!(pending(&bench, &asset).await, 0);
}
