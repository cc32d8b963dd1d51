//! The function against the simulated Jira and the embedded table.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy cannot know

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use domain::vulnerability::{DecidedOn, Decision, Effect, Intent, TicketRef, TicketState};
use domain::{Asset, Status, Vulnerability};
use platform::{Clock, Services};
use queue::{EffectMessage, EffectTarget};
use serde_json::{Value, json};
use simulators::jira;
use store::{AuditAction, AuditLine, Delivery, DeliveryState, Replay, Reservation};
use support::{Bench, asset, event, vulnerability};
use sync::http::{HttpClient, HttpOptions, Method};
use ticket::Ticket;

const TRACKER: &str = "jira-sec";
/// How long the simulated search lags behind, in real time.
const LAG: Duration = Duration::from_millis(150);

async fn bench_with(per_hour: u32, project: &str) -> (Bench, Ticket) {
    let bench = Bench::new(|base| {
        format!(
            "trackers:\n  - name: {TRACKER}\n    type: jira\n    base_url: {base}/jira\n    \
             auth: {{ method: basic, username: \"${{USER}}\", password: \"${{TOKEN}}\" }}\n    project: {project}\n    \
             search_lag: 60s\n    tickets_per_hour: {per_hour}\n    allow_private_address: true\n"
        )
    })
    .await;
    bench.secret(TRACKER, json!({ "USER": jira::EMAIL, "TOKEN": jira::TOKEN }));
    control(&bench, &format!("lag?ms={}", LAG.as_millis())).await;
    let ticket = Ticket::new(&bench.services).with_timeout(Duration::from_millis(200));
    (bench, ticket)
}

/// Pulls a lever of the simulated Jira.
async fn control(bench: &Bench, lever: &str) {
    let options = HttpOptions { allow_private_address: true, ..HttpOptions::default() };
    let control = HttpClient::new("control", &bench.base, &options).unwrap();
    let request = control.request(Method::POST, &format!("jira/control/{lever}"));
    assert!(request.send().await.unwrap().status().is_success());
}

/// The token has expired, and Jira answers as it answers anybody; `told`: with the header that says so.
async fn expire(bench: &Bench, told: bool) {
    control(bench, &format!("strangers?anonymous=true&told={told}")).await;
    token(bench, "expired-token");
}

fn token(bench: &Bench, token: &str) {
    bench.secret(TRACKER, json!({ "USER": jira::EMAIL, "TOKEN": token }));
    bench.services.secrets.forget(TRACKER);
}

/// What the simulated Jira refused to strangers: `get SEC-1: 404`.
fn refused(bench: &Bench) -> Vec<String> {
    let refused = bench.world.received.refused().into_iter();
    refused
        .filter_map(|r| Some(r.strip_prefix("jira.")?.strip_suffix(" for a stranger")?.to_owned()))
        .collect()
}

async fn bench() -> (Bench, Ticket) {
    bench_with(100, "SEC").await
}

fn open_key(vulnerability: &Vulnerability, episode: u32) -> String {
    format!("t-open-{}-{episode}", vulnerability.id)
}

fn message(vulnerability: &Vulnerability, intent: &str) -> EffectMessage {
    let (asset, vulnerability) = (vulnerability.asset.clone(), vulnerability.id.clone());
    EffectMessage { target: EffectTarget::Vulnerability { asset, vulnerability }, intent: intent.to_owned() }
}

fn wish(bench: &Bench, vulnerability: &mut Vulnerability, key: &str) {
    let tracker = TRACKER.to_owned();
    let effect = if key.starts_with("t-open") {
        Effect::OpenTicket { tracker }
    } else {
        Effect::CloseTicket { tracker }
    };
    vulnerability.intents = [(key.to_owned(), Intent::new(key, effect, bench.now()))].into();
}

/// A vulnerability that wants a ticket.
async fn wanting(bench: &Bench, number: u64) -> (Asset, Vulnerability, EffectMessage) {
    let asset = asset(number, &format!("web-{number}.example.com"));
    let mut vulnerability = vulnerability(number, &asset);
    let key = open_key(&vulnerability, 0);
    wish(bench, &mut vulnerability, &key);
    bench.put(&asset, std::slice::from_ref(&vulnerability)).await;
    let message = message(&vulnerability, &key);
    (asset, vulnerability, message)
}

/// As `score` does: changes the stored vulnerability.
async fn change(bench: &Bench, asset: &Asset, id: &domain::VulnId, change: impl FnOnce(&mut Vulnerability)) {
    let read = bench.store().vulnerability(&asset.id, id).await.unwrap().unwrap();
    let mut value = read.value;
    change(&mut value);
    bench.store().put_vulnerability(asset, &value, read.rev, 700).await.unwrap();
}

async fn stored(bench: &Bench, vulnerability: &Vulnerability) -> Vulnerability {
    bench.store().vulnerability(&vulnerability.asset, &vulnerability.id).await.unwrap().unwrap().value
}

async fn linked(bench: &Bench, vulnerability: &Vulnerability) -> Option<TicketRef> {
    stored(bench, vulnerability).await.ticket
}

async fn delivery(bench: &Bench, key: &str) -> Delivery {
    bench.store().delivery(&TRACKER.parse().unwrap(), key).await.unwrap().unwrap()
}

async fn work(ticket: &Ticket, message: &EffectMessage) {
    let failed = ticket.handle(event(message)).await.batch_item_failures;
    assert!(failed.is_empty(), "{failed:?}");
}

/// Delivers what was sent back to the queue, each after its delay, until nothing is left; says how often.
async fn drain(bench: &Bench, ticket: &Ticket) -> usize {
    for round in 0..60 {
        let sent = bench.sent();
        let Some(wait) = sent.iter().map(|(_, delay)| *delay).max() else { return round };
        bench.pass(wait);
        tokio::time::sleep(LAG + Duration::from_millis(20)).await;
        for (body, _) in sent {
            if let Ok(message) = serde_json::from_value(body) {
                work(ticket, &message).await;
            }
        }
    }
    panic!("it never comes to an end");
}

fn issues(bench: &Bench) -> Vec<Value> {
    bench.world.received.tickets()
}

#[tokio::test]
async fn a_ticket_is_created_once_and_says_what_and_where() {
    let (bench, ticket) = bench().await;
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    let issue = issues(&bench).remove(0);
    assert_eq!(issue["summary"], "OpenSSH <= 9.1 remote code execution on web-1.example.com");
    assert_eq!(issue["labels"], json!(["vulnrelay", format!("vulnrelay-{}", vulnerability.id)]));
    let about =
        json!({ "vulnerability": vulnerability.id, "asset": vulnerability.asset, "key": message.intent });
    assert_eq!(issue["properties"]["vulnrelay"], about);
    let text = issue["description"].as_str().unwrap();
    for part in [
        "Owner: payments",
        "Severity: critical",
        "Score: 900 of 1000: severity 95, exploit availability 200, EPSS 200, asset criticality 80, exposure 100",
        "CVEs: CVE-2026-0001",
        "Due: 2026-12-01T00:00:00Z",
        "Seen by: qualys",
        "Addresses: 10.0.0.1",
        &format!("Reference: {}", message.intent),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let after = stored(&bench, &vulnerability).await;
    let url = format!("{}/jira/browse/SEC-1", bench.base);
    let expected = TicketRef { tracker: TRACKER.into(), key: "SEC-1".into(), url, state: TicketState::Open };
    assert_eq!((after.ticket, after.intents.len()), (Some(expected), 0));

    let requests = bench.world.received.requests()["jira"];
    work(&ticket, &message).await;
    assert_eq!(bench.world.received.requests()["jira"], requests, "a repeat asks nobody");
    assert!(bench.sent().is_empty());
}

#[tokio::test]
async fn a_lost_answer_leads_to_a_search_and_one_ticket() {
    for fault in ["timeout=2", "drop", "truncate", "error=500", "error=503", "garbage"] {
        let (bench, ticket) = bench().await;
        bench.world.faults.set(&format!("jira.create:{fault}~1")).unwrap();
        let (_, vulnerability, message) = wanting(&bench, 1).await;
        work(&ticket, &message).await;
        assert_eq!(delivery(&bench, &message.intent).await.state, DeliveryState::Sending, "{fault}");
        // A repeat before the lease is over, and with it the search lag, must not act.
        let requests = bench.world.received.requests()["jira"];
        work(&ticket, &message).await;
        assert_eq!(bench.world.received.requests()["jira"], requests, "{fault}");
        let sent = bench.sent();
        assert!(sent.iter().all(|(_, delay)| *delay >= 60), "{fault}: after the search lag: {sent:?}");
        bench.pass(sent[0].1);
        tokio::time::sleep(LAG * 2).await;
        work(&ticket, &message).await;
        assert_eq!(issues(&bench).len(), 1, "{fault}");
        assert_eq!(linked(&bench, &vulnerability).await.unwrap().key, "SEC-1", "{fault}");
        drain(&bench, &ticket).await;
        assert_eq!(issues(&bench).len(), 1, "{fault}");
        assert_eq!(issues(&bench)[0]["comments"], json!([]), "{fault}");
    }
}

#[tokio::test]
async fn a_function_that_died_after_creating_finds_its_ticket() {
    let (bench, ticket) = bench().await;
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    // The first function gets as far as it can without anybody hearing of it.
    let other = Ticket::new(&bench.services);
    bench.world.faults.set("jira.create:timeout=1~1").unwrap();
    let handling = other.handle(event(&message));
    assert!(
        tokio::time::timeout(Duration::from_millis(400), handling).await.is_err(),
        "it was killed at the answer"
    );
    assert_eq!(issues(&bench).len(), 1);
    work(&ticket, &message).await;
    drain(&bench, &ticket).await;
    assert_eq!(issues(&bench).len(), 1);
    assert!(linked(&bench, &vulnerability).await.is_some());
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
async fn a_function_that_is_killed_anywhere_leaves_one_ticket() {
    for polls in 1.. {
        let (bench, ticket) = bench().await;
        let (_, vulnerability, message) = wanting(&bench, 1).await;
        let done = kill_after(polls, ticket.handle(event(&message))).await;
        work(&ticket, &message).await;
        drain(&bench, &ticket).await;
        assert_eq!(issues(&bench).len(), 1, "killed after {polls} polls");
        let after = stored(&bench, &vulnerability).await;
        assert_eq!(
            (after.ticket.unwrap().key, after.intents.len()),
            ("SEC-1".to_owned(), 0),
            "{polls} polls"
        );
        if done {
            break;
        }
    }
}

#[tokio::test]
async fn two_messages_of_one_intent_at_once_are_one_ticket() {
    let (bench, ticket) = bench().await;
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    tokio::join!(work(&ticket, &message), work(&ticket, &message), work(&ticket, &message));
    drain(&bench, &ticket).await;
    assert_eq!(issues(&bench).len(), 1);
    assert!(linked(&bench, &vulnerability).await.is_some());
}

#[tokio::test]
async fn a_function_that_died_before_linking_only_links() {
    let (bench, ticket) = bench().await;
    let (asset, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    // As if the link had never been written.
    change(&bench, &asset, &vulnerability.id, |v| {
        v.ticket = None;
        v.intents = vulnerability.intents.clone();
    })
    .await;
    let requests = bench.world.received.requests()["jira"];
    work(&ticket, &message).await;
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().key, "SEC-1");
    assert_eq!((issues(&bench).len(), bench.world.received.requests()["jira"]), (1, requests));
}

#[tokio::test]
async fn what_exceeds_the_budget_is_held_and_listed_and_created_in_the_next_hour() {
    let (bench, ticket) = bench_with(1, "SEC").await;
    let (first_asset, first, created) = wanting(&bench, 1).await;
    work(&ticket, &created).await;
    let (_, second, over) = wanting(&bench, 2).await;
    work(&ticket, &over).await;
    assert_eq!(issues(&bench).len(), 1);
    let held = delivery(&bench, &over.intent).await;
    assert_eq!((held.state, held.tries), (DeliveryState::Held, 0));
    assert!(bench.deliveries().await.contains(&held), "it is listed");
    let measured = bench.metrics.lines();
    assert_eq!((measured.len(), &measured[0]["BudgetHeld"]), (1, &serde_json::json!(1)));
    assert_eq!(
        (&measured[0]["Function"], &measured[0]["intent"]),
        (&"ticket".into(), &over.intent.as_str().into())
    );
    // Closing is free, whatever the budget.
    let key = format!("t-close-{}-0", first.id);
    change(&bench, &first_asset, &first.id, |v| {
        v.status = Status::Fixed;
        wish(&bench, v, &key);
    })
    .await;
    work(&ticket, &message(&first, &key)).await;
    assert_eq!(issues(&bench)[0]["status_category"], "done");
    // The sweep asks again; before the hour is over it is still held.
    work(&ticket, &over).await;
    assert_eq!(issues(&bench).len(), 1);
    bench.pass(3_600);
    work(&ticket, &over).await;
    assert_eq!(issues(&bench).len(), 2);
    assert_eq!(linked(&bench, &second).await.unwrap().key, "SEC-2");
}

#[tokio::test]
async fn a_ticket_is_closed_with_the_reason_and_reopened_when_it_is_seen_again() {
    let (bench, ticket) = bench().await;
    let (asset, vulnerability, created) = wanting(&bench, 1).await;
    work(&ticket, &created).await;
    let event = |text: &str| serde_json::from_value(serde_json::from_str(text).unwrap()).unwrap();

    let close = format!("t-close-{}-0", vulnerability.id);
    change(&bench, &asset, &vulnerability.id, |v| {
        v.status = Status::Fixed;
        v.events.push(event(r#"{"at":"2026-11-20T08:00:00Z","event":"fixed"}"#));
        wish(&bench, v, &close);
    })
    .await;
    work(&ticket, &message(&vulnerability, &close)).await;
    work(&ticket, &message(&vulnerability, &close)).await;
    let issue = issues(&bench).remove(0);
    assert_eq!(issue["status_category"], "done");
    assert_eq!(issue["comments"].as_array().unwrap().len(), 1);
    let words = issue["comments"][0]["text"].as_str().unwrap();
    assert!(words.starts_with("Fixed on 2026-11-20, by evidence of qualys."), "{words}");
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().state, TicketState::Closed);

    let reopen = open_key(&vulnerability, 1);
    change(&bench, &asset, &vulnerability.id, |v| {
        v.status = Status::Identified;
        v.events.push(event(r#"{"at":"2026-11-22T08:00:00Z","event":"reopened"}"#));
        wish(&bench, v, &reopen);
    })
    .await;
    work(&ticket, &message(&vulnerability, &reopen)).await;
    let issue = issues(&bench).remove(0);
    assert_eq!((issues(&bench).len(), &issue["status"]), (1, &json!("To Do")));
    let words = issue["comments"][1]["text"].as_str().unwrap();
    assert!(words.starts_with("Seen again on 2026-11-22 by qualys."), "{words}");
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().state, TicketState::Open);
}

#[tokio::test]
async fn a_close_that_fails_halfway_comments_once() {
    for fault in [
        "jira.transition:drop~1",
        "jira.comment:drop~1",
        "jira.transition:error=503~2",
        "jira.get:error=500~3",
    ] {
        let (bench, ticket) = bench().await;
        let (asset, vulnerability, created) = wanting(&bench, 1).await;
        work(&ticket, &created).await;
        let close = format!("t-close-{}-0", vulnerability.id);
        change(&bench, &asset, &vulnerability.id, |v| {
            v.status = Status::RiskAccepted;
            v.decision = Some(Decision {
                about: Some(DecidedOn::of(v)),
                status: Status::RiskAccepted,
                by: "kim".into(),
                reason: "end of life in May".into(),
                at: bench.now(),
                until: Some("2027-05-01T00:00:00Z".parse().unwrap()),
            });
            wish(&bench, v, &close);
        })
        .await;
        bench.world.faults.set(fault).unwrap();
        work(&ticket, &message(&vulnerability, &close)).await;
        drain(&bench, &ticket).await;
        let issue = issues(&bench).remove(0);
        assert_eq!(issue["status_category"], "done", "{fault}");
        assert_eq!(issue["comments"].as_array().unwrap().len(), 1, "{fault}");
        let words = issue["comments"][0]["text"].as_str().unwrap();
        let expected = "The risk was accepted by kim on 2026-11-22, until 2027-05-01: end of life in May.";
        assert!(words.starts_with(expected), "{words}");
        assert_eq!(linked(&bench, &vulnerability).await.unwrap().state, TicketState::Closed, "{fault}");
    }
}

#[tokio::test]
async fn a_key_that_comes_back_has_its_effect_again() {
    let (bench, ticket) = bench().await;
    let (asset, vulnerability, opened) = wanting(&bench, 1).await;
    work(&ticket, &opened).await;
    let close = format!("t-close-{}-0", vulnerability.id);
    // Silenced, spoken again, silenced: no event of the ledger tells these turns apart.
    for (key, category) in [(&close, "done"), (&opened.intent, "new"), (&close, "done")] {
        bench.pass(60);
        change(&bench, &asset, &vulnerability.id, |v| wish(&bench, v, key)).await;
        work(&ticket, &message(&vulnerability, key)).await;
        assert_eq!(issues(&bench)[0]["status_category"], category);
        assert!(stored(&bench, &vulnerability).await.intents.is_empty());
    }
    assert_eq!(issues(&bench).len(), 1);
    assert_eq!(issues(&bench)[0]["comments"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_refusal_fails_with_the_words_of_each_field() {
    let (bench, ticket) = bench_with(100, "NOPE").await;
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    let failed = delivery(&bench, &message.intent).await;
    assert_eq!(failed.state, DeliveryState::Failed);
    assert_eq!(failed.answer, "answered 400: project: Specify a valid project ID or key");
    work(&ticket, &message).await;
    assert!(bench.sent().is_empty() && issues(&bench).is_empty());
    assert_eq!(stored(&bench, &vulnerability).await.intents.len(), 1, "the wish is kept for a replay");
}

/// As a person does who has it tried anew; the message with it.
async fn replay(bench: &Bench, key: &str) -> Replay {
    let (by, target) = ("ana".to_owned(), String::new());
    let action = AuditAction::ReplayedDelivery;
    let line = AuditLine { at: bench.now(), by, subject: None, action, target, detail: String::new() };
    bench.store().replay_delivery(&TRACKER.parse().unwrap(), key, bench.now(), &line).await.unwrap()
}

#[tokio::test]
async fn a_replayed_ticket_is_created_once_and_looked_for_before() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:error=400~1").unwrap();
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    assert_eq!(delivery(&bench, &message.intent).await.state, DeliveryState::Failed);
    for _ in 0..2 {
        assert_eq!(replay(&bench, &message.intent).await, Replay::Ready(message.target.clone()));
    }
    let searched = bench.world.received.requests()["jira"];
    work(&ticket, &message).await;
    let asked = bench.world.received.requests()["jira"] - searched;
    assert_eq!(asked, 4, "a search, who asks, what he may see, and then the ticket");
    work(&ticket, &message).await;
    assert_eq!(
        (issues(&bench).len(), linked(&bench, &vulnerability).await.unwrap().key.as_str()),
        (1, "SEC-1")
    );
    let sent = delivery(&bench, &message.intent).await;
    assert_eq!((sent.state, sent.restarts, sent.target), (DeliveryState::Sent, 1, None));
    assert_eq!(replay(&bench, &message.intent).await, Replay::Refused(DeliveryState::Sent));
}

#[tokio::test]
async fn a_replay_finds_the_ticket_of_the_tries_before_it() {
    let (bench, ticket) = bench().await;
    // Created, and the tracker said that it was not.
    bench.world.faults.set("jira.create:drop~1").unwrap();
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    assert_eq!(replay(&bench, &message.intent).await, Replay::Refused(DeliveryState::Sending));
    let (tracker, lease) = (TRACKER.parse().unwrap(), jiff::SignedDuration::from_secs(1));
    bench.pass(3_600);
    let again = bench.store().reserve_delivery(&tracker, &message.intent, "x", bench.now(), lease, 9).await;
    let Ok(Reservation::Yours(given_up, rev)) = again else { panic!("{again:?}") };
    let target = Some(message.target.clone());
    let given_up = Delivery { state: DeliveryState::Failed, lease_until: None, target, ..given_up };
    bench.store().end_delivery(&given_up, rev).await.unwrap();

    assert_eq!(replay(&bench, &message.intent).await, Replay::Ready(message.target.clone()));
    tokio::time::sleep(LAG * 2).await;
    work(&ticket, &message).await;
    assert_eq!(
        (issues(&bench).len(), linked(&bench, &vulnerability).await.unwrap().key.as_str()),
        (1, "SEC-1")
    );
}

#[tokio::test]
async fn a_replay_of_what_is_no_longer_wanted_settles_it() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:error=400~1").unwrap();
    let (asset, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    change(&bench, &asset, &vulnerability.id, |v| v.intents.clear()).await;
    assert_eq!(replay(&bench, &message.intent).await, Replay::Ready(message.target.clone()));
    work(&ticket, &message).await;
    let settled = delivery(&bench, &message.intent).await;
    assert_eq!(
        (settled.state, settled.answer.as_str()),
        (DeliveryState::Held, "no longer wanted; nothing was created")
    );
    assert!(issues(&bench).is_empty());
}

#[tokio::test]
async fn a_failed_ticket_rests_for_a_day_and_heals_by_itself() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:error=400~2").unwrap();
    let (asset, vulnerability, message) = wanting(&bench, 1).await;
    for tried in 1..=2 {
        work(&ticket, &message).await;
        let requests = bench.world.received.requests()["jira"];
        let failed = delivery(&bench, &message.intent).await;
        assert_eq!((failed.state, failed.restarts), (DeliveryState::Failed, tried - 1));
        let sweep_at = stored(&bench, &vulnerability).await.intents[&message.intent].sweep_at();
        assert_eq!(sweep_at, failed.at + store::RETRY_AFTER);
        // A message before that asks nobody, and a sweep is put off again: it had died before it could.
        let now = bench.now();
        change(&bench, &asset, &vulnerability.id, |v| v.intents.get_mut(&message.intent).unwrap().ask(now))
            .await;
        bench.pass(900);
        work(&ticket, &message).await;
        assert_eq!(bench.world.received.requests()["jira"], requests);
        let put_off = stored(&bench, &vulnerability).await.intents[&message.intent].sweep_at();
        assert_eq!(put_off, sweep_at);
        bench.pass(86_400 - 900);
    }
    work(&ticket, &message).await;
    assert_eq!(issues(&bench).len(), 1);
    assert!(linked(&bench, &vulnerability).await.is_some() && bench.sent().is_empty());
}

#[tokio::test]
async fn refused_credentials_are_read_again_at_once_and_then_patiently() {
    let (bench, ticket) = bench().await;
    bench.secret(TRACKER, json!({ "USER": jira::EMAIL, "TOKEN": "before-rotation" }));
    bench.services.secrets.resolve(TRACKER, "${TOKEN}").await.unwrap();
    bench.secret(TRACKER, json!({ "USER": jira::EMAIL, "TOKEN": jira::TOKEN }));
    let (_, vulnerability, rotated) = wanting(&bench, 1).await;
    work(&ticket, &rotated).await;
    assert!(linked(&bench, &vulnerability).await.is_some(), "a rotation is noticed at once");

    bench.secret(TRACKER, json!({ "USER": jira::EMAIL, "TOKEN": "wrong-token" }));
    bench.services.secrets.forget(TRACKER);
    let (_, second, message) = wanting(&bench, 2).await;
    work(&ticket, &message).await;
    let held = delivery(&bench, &message.intent).await;
    assert_eq!(held.state, DeliveryState::Held);
    assert!(held.answer.contains("401") && !held.answer.contains("wrong-token"), "{}", held.answer);
    // However long it takes until somebody repairs them.
    for _ in 0..20 {
        bench.pass(900);
        work(&ticket, &message).await;
        assert_eq!(delivery(&bench, &message.intent).await.state, DeliveryState::Held);
    }
    assert!(linked(&bench, &second).await.is_none());
    bench.secret(TRACKER, json!({ "USER": jira::EMAIL, "TOKEN": jira::TOKEN }));
    bench.pass(900);
    work(&ticket, &message).await;
    assert!(linked(&bench, &second).await.is_some());
}

#[tokio::test]
async fn throttling_burns_no_tries() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:ratelimit~15").unwrap();
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    assert_eq!(drain(&bench, &ticket).await, 15);
    assert_eq!(issues(&bench).len(), 1);
    assert!(linked(&bench, &vulnerability).await.is_some());
    assert!(delivery(&bench, &message.intent).await.tries <= 2);
}

#[tokio::test]
async fn a_tracker_that_never_answers_ends_as_failed_and_without_a_second_ticket() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:error=500").unwrap();
    let (_, _, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    drain(&bench, &ticket).await;
    let failed = delivery(&bench, &message.intent).await;
    assert_eq!(failed.state, DeliveryState::Failed);
    assert!(failed.answer.contains("10 tries"), "{}", failed.answer);
}

#[tokio::test]
async fn of_several_tickets_the_oldest_is_adopted_and_the_others_are_closed() {
    let (bench, ticket) = bench().await;
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    let options = HttpOptions { allow_private_address: true, ..HttpOptions::default() };
    let client = HttpClient::new("jira", &format!("{}/jira", bench.base), &options).unwrap();
    let client = client.with_basic(jira::EMAIL, jira::TOKEN).unwrap();
    for summary in ["first", "second", "third"] {
        let body = json!({ "fields": {
            "project": { "key": "SEC" }, "issuetype": { "name": "Task" }, "summary": summary,
            "labels": ["vulnrelay", format!("vulnrelay-{}", vulnerability.id)],
        }});
        let created = client.request(Method::POST, "rest/api/3/issue").json(&body).send().await.unwrap();
        assert_eq!(created.status().as_u16(), 201);
    }
    // An earlier function took the delivery and never came back.
    let lease = jiff::SignedDuration::from_mins(3);
    let tracker = TRACKER.parse().unwrap();
    bench.store().reserve_delivery(&tracker, &message.intent, "x", bench.now(), lease, 9).await.unwrap();
    work(&ticket, &message).await;
    drain(&bench, &ticket).await;
    let issues = issues(&bench);
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().key, "SEC-1");
    let categories: Vec<_> = issues.iter().map(|issue| issue["status_category"].as_str().unwrap()).collect();
    assert_eq!(categories, ["new", "done", "done"]);
    assert!(issues[1]["comments"][0]["text"].as_str().unwrap().starts_with("Duplicate of SEC-1"));
    assert_eq!(issues[2]["comments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_ticket_of_a_withdrawn_wish_is_linked_all_the_same() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:drop~1").unwrap();
    let (asset, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    change(&bench, &asset, &vulnerability.id, |v| {
        v.status = Status::Fixed;
        v.intents.clear();
    })
    .await;
    let (again, delay) = bench.sent().remove(0);
    bench.pass(delay);
    tokio::time::sleep(LAG * 2).await;
    work(&ticket, &serde_json::from_value(again).unwrap()).await;
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().key, "SEC-1");
    let decision = [(json!({ "assets": [asset.id] }), 0)];
    assert_eq!(bench.sent(), decision, "and the next decision closes it");
    work(&ticket, &message).await;
    assert_eq!(bench.sent(), decision, "it may have died before it could ask for that");
    assert_eq!(issues(&bench).len(), 1);
}

#[tokio::test]
async fn a_withdrawn_wish_that_had_no_effect_can_be_wanted_again() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:error=500~1").unwrap();
    let (asset, vulnerability, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    change(&bench, &asset, &vulnerability.id, |v| v.intents.clear()).await;
    drain(&bench, &ticket).await;
    assert_eq!(delivery(&bench, &message.intent).await.state, DeliveryState::Held);
    assert!(issues(&bench).is_empty());
    change(&bench, &asset, &vulnerability.id, |v| wish(&bench, v, &message.intent)).await;
    work(&ticket, &message).await;
    assert_eq!(issues(&bench).len(), 1);
}

#[tokio::test]
async fn a_later_episode_finds_the_ticket_of_an_earlier_lost_answer() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:drop~1").unwrap();
    let (asset, vulnerability, message_0) = wanting(&bench, 1).await;
    work(&ticket, &message_0).await;
    let key = open_key(&vulnerability, 1);
    change(&bench, &asset, &vulnerability.id, |v| wish(&bench, v, &key)).await;
    work(&ticket, &message(&vulnerability, &key)).await;
    assert_eq!(issues(&bench).len(), 1, "it waits for the earlier one");
    drain(&bench, &ticket).await;
    assert_eq!(issues(&bench).len(), 1);
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().key, "SEC-1");
    assert!(stored(&bench, &vulnerability).await.intents.is_empty());
}

#[tokio::test]
async fn a_lost_close_that_is_no_longer_wanted_is_taken_back() {
    let (bench, ticket) = bench().await;
    let (asset, vulnerability, created) = wanting(&bench, 1).await;
    work(&ticket, &created).await;
    let close = format!("t-close-{}-0", vulnerability.id);
    change(&bench, &asset, &vulnerability.id, |v| wish(&bench, v, &close)).await;
    bench.world.faults.set("jira.transition:drop~1").unwrap();
    work(&ticket, &message(&vulnerability, &close)).await;
    assert_eq!(issues(&bench)[0]["status_category"], "done");
    // Seen again before anybody heard that the ticket is closed: the record still says open.
    change(&bench, &asset, &vulnerability.id, |v| v.intents.clear()).await;
    drain(&bench, &ticket).await;
    assert_eq!(issues(&bench)[0]["status_category"], "new");
}

#[tokio::test]
async fn a_close_that_was_done_and_not_said_is_known_before_the_next_decision() {
    let (bench, ticket) = bench().await;
    let (asset, vulnerability, created) = wanting(&bench, 1).await;
    work(&ticket, &created).await;
    let close = format!("t-close-{}-0", vulnerability.id);
    change(&bench, &asset, &vulnerability.id, |v| wish(&bench, v, &close)).await;
    work(&ticket, &message(&vulnerability, &close)).await;
    // The function died before the record said so, and then the vulnerability was seen again.
    change(&bench, &asset, &vulnerability.id, |v| v.ticket.as_mut().unwrap().state = TicketState::Open).await;
    bench.sent();
    work(&ticket, &message(&vulnerability, &close)).await;
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().state, TicketState::Closed);
    assert_eq!(bench.sent(), [(json!({ "assets": [asset.id] }), 0)], "which opens it again");
}

#[tokio::test]
async fn a_deleted_ticket_is_replaced_by_one_new_one() {
    let (bench, ticket) = bench().await;
    let (asset, vulnerability, created) = wanting(&bench, 1).await;
    work(&ticket, &created).await;
    bench.world.received.remove_tickets(|_| true);
    change(&bench, &asset, &vulnerability.id, |v| {
        let ticket = v.ticket.as_mut().unwrap();
        ticket.state = TicketState::Closed;
        wish(&bench, v, &open_key(&vulnerability, 1));
    })
    .await;
    let reopen = message(&vulnerability, &open_key(&vulnerability, 1));
    work(&ticket, &reopen).await;
    drain(&bench, &ticket).await;
    work(&ticket, &reopen).await;
    assert_eq!(issues(&bench).len(), 1);
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().key, "SEC-2");
}

#[tokio::test]
async fn an_expired_token_does_not_count_as_a_closed_ticket() {
    for told in [false, true] {
        let (bench, ticket) = bench().await;
        let (asset, vulnerability, created) = wanting(&bench, 1).await;
        work(&ticket, &created).await;
        let close = format!("t-close-{}-0", vulnerability.id);
        change(&bench, &asset, &vulnerability.id, |v| wish(&bench, v, &close)).await;
        expire(&bench, told).await;
        work(&ticket, &message(&vulnerability, &close)).await;
        let held = delivery(&bench, &close).await;
        assert_eq!(held.state, DeliveryState::Held, "told: {told}");
        assert!(held.answer.starts_with("refused the credentials: answered 40"), "{}", held.answer);
        assert_eq!(linked(&bench, &vulnerability).await.unwrap().state, TicketState::Open);
        let asked_who = refused(&bench).iter().any(|refusal| refusal.starts_with("myself"));
        assert_eq!(asked_who, !told, "who is told need not ask");

        token(&bench, jira::TOKEN);
        drain(&bench, &ticket).await;
        assert_eq!(issues(&bench)[0]["status_category"], "done");
        assert_eq!(linked(&bench, &vulnerability).await.unwrap().state, TicketState::Closed);
    }
}

#[tokio::test]
async fn a_ticket_that_was_deleted_is_closed_enough_after_two_more_questions() {
    let (bench, ticket) = bench().await;
    let (asset, vulnerability, created) = wanting(&bench, 1).await;
    work(&ticket, &created).await;
    bench.world.received.remove_tickets(|_| true);
    let close = format!("t-close-{}-0", vulnerability.id);
    change(&bench, &asset, &vulnerability.id, |v| wish(&bench, v, &close)).await;
    let before = bench.world.received.requests()["jira"];
    work(&ticket, &message(&vulnerability, &close)).await;
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().state, TicketState::Closed);
    assert_eq!(bench.world.received.requests()["jira"] - before, 3, "who asks, and what he may see");
}

#[tokio::test]
async fn a_project_that_may_not_be_browsed_does_not_count_as_one_without_tickets() {
    let (bench, ticket) = bench().await;
    // Its answer is lost: another try looks for it.
    bench.world.faults.set("jira.create:drop~1").unwrap();
    let (_, lost, message) = wanting(&bench, 1).await;
    work(&ticket, &message).await;
    control(&bench, "browsing?allowed=false").await;
    let (again, delay) = bench.sent().remove(0);
    bench.pass(delay);
    tokio::time::sleep(LAG * 2).await;
    work(&ticket, &serde_json::from_value(again).unwrap()).await;
    let held = delivery(&bench, &message.intent).await;
    assert_eq!(held.state, DeliveryState::Held);
    assert!(held.answer.contains("may not browse SEC"), "{}", held.answer);
    assert_eq!(issues(&bench).len(), 1);

    control(&bench, "browsing?allowed=true").await;
    drain(&bench, &ticket).await;
    assert_eq!(issues(&bench).len(), 1);
    assert_eq!(linked(&bench, &lost).await.unwrap().key, "SEC-1");
}

#[tokio::test]
async fn a_ticket_that_is_hidden_is_neither_closed_nor_replaced() {
    let (bench, ticket) = bench().await;
    let (asset, vulnerability, created) = wanting(&bench, 1).await;
    work(&ticket, &created).await;
    control(&bench, "browsing?allowed=false").await;
    let close = format!("t-close-{}-0", vulnerability.id);
    change(&bench, &asset, &vulnerability.id, |v| wish(&bench, v, &close)).await;
    work(&ticket, &message(&vulnerability, &close)).await;
    assert_eq!(delivery(&bench, &close).await.state, DeliveryState::Held);
    assert_eq!(linked(&bench, &vulnerability).await.unwrap().state, TicketState::Open);
    let reopen = open_key(&vulnerability, 1);
    change(&bench, &asset, &vulnerability.id, |v| {
        v.ticket.as_mut().unwrap().state = TicketState::Closed;
        wish(&bench, v, &reopen);
    })
    .await;
    work(&ticket, &message(&vulnerability, &reopen)).await;
    assert_eq!(delivery(&bench, &reopen).await.state, DeliveryState::Held);
    assert_eq!(issues(&bench).len(), 1);
}

#[tokio::test]
async fn an_expired_token_does_not_settle_that_nothing_was_created() {
    for told in [false, true] {
        let (bench, ticket) = bench().await;
        bench.world.faults.set("jira.create:drop~1").unwrap();
        let (asset, vulnerability, message) = wanting(&bench, 1).await;
        work(&ticket, &message).await;
        change(&bench, &asset, &vulnerability.id, |v| v.intents.clear()).await;
        expire(&bench, told).await;
        let (again, delay) = bench.sent().remove(0);
        bench.pass(delay);
        tokio::time::sleep(LAG * 2).await;
        work(&ticket, &serde_json::from_value(again).unwrap()).await;
        let held = delivery(&bench, &message.intent).await;
        assert!(held.answer.starts_with("refused the credentials"), "told: {told}: {}", held.answer);

        token(&bench, jira::TOKEN);
        drain(&bench, &ticket).await;
        assert_eq!(linked(&bench, &vulnerability).await.unwrap().key, "SEC-1", "told: {told}");
    }
}

#[tokio::test]
async fn an_expired_token_does_not_ask_for_a_second_ticket_in_place_of_a_closed_one() {
    for told in [false, true] {
        let (bench, ticket) = bench().await;
        let (asset, vulnerability, created) = wanting(&bench, 1).await;
        work(&ticket, &created).await;
        let reopen = open_key(&vulnerability, 1);
        change(&bench, &asset, &vulnerability.id, |v| {
            v.ticket.as_mut().unwrap().state = TicketState::Closed;
            wish(&bench, v, &reopen);
        })
        .await;
        expire(&bench, told).await;
        work(&ticket, &message(&vulnerability, &reopen)).await;
        let refused = refused(&bench);
        assert!(refused.iter().any(|refusal| refusal == "get SEC-1: 404"), "{refused:?}");
        assert!(!refused.iter().any(|refusal| refusal.starts_with("create")), "{refused:?}");
        assert_eq!(delivery(&bench, &reopen).await.state, DeliveryState::Held);

        token(&bench, jira::TOKEN);
        drain(&bench, &ticket).await;
        assert_eq!(issues(&bench).len(), 1);
        assert_eq!(linked(&bench, &vulnerability).await.unwrap().key, "SEC-1");
    }
}

#[tokio::test]
async fn an_expired_token_does_not_say_after_the_last_try_that_there_is_no_ticket() {
    let (bench, ticket) = bench().await;
    bench.world.faults.set("jira.create:error=500").unwrap();
    let (_, _, message) = wanting(&bench, 1).await;
    for tries in 1..=10 {
        work(&ticket, &message).await;
        let tried = delivery(&bench, &message.intent).await;
        assert_eq!((tried.state, tried.tries), (DeliveryState::Sending, tries));
        bench.pass(3_600);
    }
    expire(&bench, false).await;
    work(&ticket, &message).await;
    let failed = delivery(&bench, &message.intent).await;
    assert_eq!(failed.state, DeliveryState::Held);
    assert!(failed.answer.contains("refused the credentials"), "{}", failed.answer);
}

/// Leaps by an hour after it was first asked: the function was frozen between reserving and creating.
struct Leaping(std::sync::atomic::AtomicI64, std::sync::Arc<dyn Clock>);

impl Clock for Leaping {
    fn now(&self) -> jiff::Timestamp {
        let hours = self.0.swap(1, std::sync::atomic::Ordering::Relaxed);
        self.1.now() + jiff::SignedDuration::from_hours(hours)
    }
}

#[tokio::test]
async fn a_function_whose_lease_is_over_creates_nothing() {
    let (bench, ticket) = bench().await;
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    let clock = std::sync::Arc::new(Leaping(0.into(), bench.services.clock.clone()));
    let frozen = Ticket::new(&Services { clock, ..bench.services.clone() });
    work(&frozen, &message).await;
    assert!(issues(&bench).is_empty());
    assert_eq!(delivery(&bench, &message.intent).await.state, DeliveryState::Held);
    bench.pass(3_601);
    work(&ticket, &message).await;
    assert_eq!(issues(&bench).len(), 1);
    assert!(linked(&bench, &vulnerability).await.is_some());
}

#[tokio::test]
async fn nobody_acts_while_somebody_else_holds_the_delivery() {
    let (bench, ticket) = bench().await;
    let (_, vulnerability, message) = wanting(&bench, 1).await;
    let tracker = TRACKER.parse().unwrap();
    let lease = jiff::SignedDuration::from_secs(30);
    // Whoever holds the delivery is the only one who may act, however late.
    let held =
        bench.store().reserve_delivery(&tracker, &message.intent, "x", bench.now(), lease, 9).await.unwrap();
    assert!(matches!(held, Reservation::Yours(..)));
    work(&ticket, &message).await;
    assert!(issues(&bench).is_empty());
    drain(&bench, &ticket).await;
    assert_eq!(issues(&bench).len(), 1);
    assert!(linked(&bench, &vulnerability).await.is_some());
}
