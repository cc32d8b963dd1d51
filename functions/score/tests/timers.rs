//! What is due again after a decision, and what a decision costs that changes nothing.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod support;

use std::collections::BTreeMap;

use domain::vulnerability::{Statement, TicketRef, TicketState};
use domain::{
    AssetId, Finding, FindingKey, FindingKind, FindingState, Host, Rule, RuleId, Scanner, Severity,
    SightingId, Vulnerability,
};
use jiff::SignedDuration;
use queue::{EffectMessage, EffectTarget, ScoreMessage};
use score::Score;
use store::{RuleBook, keys};
use support::Bench;

const NOW: &str = "2026-11-22T10:05:00Z";
const CONFIG: &str = "
connectors:
  - name: tenable-prod
    type: tenable
    base_url: https://cloud.example
    auth: { method: api_keys, access_key: \"${ACCESS}\", secret_key: \"${SECRET}\" }
trackers:
  - name: jira
    type: jira
    base_url: https://jira.example
    auth: { method: basic, username: a, password: \"${TOKEN}\" }
    project: SEC
channels:
  - { name: team, type: slack, webhook_url: \"${WEBHOOK}\" }
policies:
  tickets: [critical]
  ticket_min_score: 0
";

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// A host with one critical vulnerability, on which `score` has decided.
async fn decided() -> (Bench, Score, AssetId) {
    let bench = Bench::new(CONFIG, NOW).await;
    let score = Score::new(&bench.services);
    let asset = found(&bench, &score, &["1"]).await;
    (bench, score, asset)
}

/// The host shows these rules, all critical; `score` decides.
async fn found(bench: &Bench, score: &Score, rules: &[&str]) -> AssetId {
    let definition = |rule: &&str| Rule {
        scanner: Scanner::Tenable,
        id: RuleId::new(*rule),
        title: "A weakness".into(),
        cves: Vec::new(),
        severity: Some(Severity::Critical),
        cvss: None,
        description: None,
        solution: None,
        patchable: None,
        vendor_risk: None,
        exploit_available: None,
        modified: None,
    };
    let definitions: Vec<Rule> = rules.iter().map(definition).collect();
    RuleBook::new(Scanner::Tenable).write(bench.store(), &definitions, &[]).await.unwrap();
    let statement = |rule: &&str| Statement {
        finding: Finding {
            key: FindingKey::new(*rule),
            rule: RuleId::new(*rule),
            severity: Severity::Critical,
            kind: FindingKind::Vulnerability,
            source_severity: "critical".into(),
            state: FindingState::Open,
            source_state: "OPEN".into(),
            cvss: None,
            epss: None,
            vendor_risk: None,
            exploit_available: None,
            vendor_factors: BTreeMap::new(),
            first_found: Some(bench.now()),
            last_found: Some(bench.now()),
            fixed_at: None,
            reopened_at: None,
            port: None,
            protocol: None,
            service: None,
            evidence: None,
        },
        closing: None,
    };
    let statements: Vec<Statement> = rules.iter().map(statement).collect();
    let sighting = SightingId::new("tenable-prod".parse().unwrap(), "host");
    let mut state = bench.store().sighting_state(&sighting, true).await.unwrap();
    let agent_ids = vec!["agent-1".into()];
    let last_scanned_at = Some(bench.now());
    state.sighting.scan = Some(Host { native: "host".into(), agent_ids, last_scanned_at, ..Host::default() });
    bench.store().write_statements(&sighting, &statements).await.unwrap();
    bench.store().put_sighting(&sighting, &state, true).await.unwrap();
    score.work(ScoreMessage { sightings: vec![sighting.clone()], ..ScoreMessage::default() }).await.unwrap();
    bench.store().link(&sighting).await.unwrap().unwrap().asset
}

async fn decide(score: &Score, asset: &AssetId) {
    score.work(ScoreMessage { assets: vec![asset.clone()], ..ScoreMessage::default() }).await.unwrap();
}

async fn only(bench: &Bench, asset: &AssetId) -> Vulnerability {
    let state = bench.store().asset_state(asset, true).await.unwrap().unwrap();
    let all: BTreeMap<_, _> = state.vulnerabilities;
    assert_eq!(all.len(), 1);
    all.into_values().next().unwrap().value
}

/// Confirms what was sent to `notify` and to `ticket`; returns how much that was.
async fn deliver(bench: &Bench) -> (usize, usize) {
    let (mut told, mut opened) = (0, 0);
    for message in bench.sent() {
        let EffectMessage { target, intent } = serde_json::from_value(message).unwrap();
        match target {
            EffectTarget::Asset { asset } => {
                bench.store().confirm_notification(&asset, &intent).await.unwrap();
                told += 1;
            }
            EffectTarget::Vulnerability { asset, vulnerability } => {
                let url = "https://jira.example/browse/SEC-1".into();
                let (tracker, key) = ("jira".into(), "SEC-1".into());
                let ticket = TicketRef { tracker, key, url, state: TicketState::Open };
                bench.store().confirm_ticket(&asset, &vulnerability, &intent, &ticket).await.unwrap();
                opened += 1;
            }
            EffectTarget::Run { .. } => panic!("no run is told"),
        }
    }
    (told, opened)
}

#[tokio::test]
async fn delivered_effects_are_not_decided_on_again_and_what_comes_next_stays_due() {
    let (bench, score, asset) = decided().await;
    assert_eq!(deliver(&bench).await, (0, 1));
    let next = only(&bench, &asset).await.next_at.unwrap();
    bench.pass(minutes(20));
    assert_eq!(bench.due(bench.now()).await, []);
    decide(&score, &asset).await;
    assert_eq!((bench.due(bench.now()).await, bench.sent()), (vec![], vec![]));

    bench.pass(next.duration_since(bench.now()));
    assert_eq!(bench.due(bench.now()).await, std::slice::from_ref(&asset));
    decide(&score, &asset).await;
    assert_eq!(deliver(&bench).await, (1, 0), "the deadline comes near");
    bench.pass(minutes(20));
    assert_eq!(bench.due(bench.now()).await, []);
    let next = only(&bench, &asset).await.next_at.unwrap();
    assert_eq!(bench.due(next).await, [asset]);
}

#[tokio::test]
async fn effects_that_nobody_confirmed_are_asked_for_again() {
    let (bench, score, asset) = decided().await;
    let lost = bench.sent();
    bench.pass(minutes(20));
    assert_eq!(bench.due(bench.now()).await, std::slice::from_ref(&asset));
    decide(&score, &asset).await;
    assert_eq!(bench.sent(), lost);
    assert_eq!(bench.due(bench.now()).await, [], "the receiver has its time once more");
}

#[tokio::test]
async fn timers_that_earlier_versions_left_behind_go_with_the_next_decision() {
    let (bench, score, asset) = decided().await;
    deliver(&bench).await;
    let before = only(&bench, &asset).await;
    let stale = bench.now() + minutes(15);
    for key in [keys::asset(&asset), keys::vulnerability(&asset, &before.id)] {
        bench.mistime(&key, stale).await;
    }
    bench.pass(minutes(20));
    assert_eq!(bench.due(bench.now()).await, std::slice::from_ref(&asset));
    let counted = bench.store().open_counts().await.unwrap();

    let written = bench.written();
    decide(&score, &asset).await;
    assert!(bench.written() > written);
    assert_eq!((bench.due(bench.now()).await, bench.sent()), (vec![], vec![]));
    let after = only(&bench, &asset).await;
    assert_eq!((&after, bench.store().open_counts().await.unwrap()), (&before, counted));
    assert_eq!(
        bench.due(after.next_at.unwrap()).await,
        std::slice::from_ref(&asset),
        "what comes next stays due"
    );

    let written = bench.written();
    decide(&score, &asset).await;
    assert!((bench.written() - written).abs() < f64::EPSILON, "nothing is written where nothing changed");
}

#[tokio::test]
async fn an_asset_that_cannot_be_read_keeps_no_others_back() {
    let (bench, score, asset) = decided().await;
    deliver(&bench).await;
    let bad: AssetId = "a-0000000000000000".parse().unwrap();
    assert!(bad < asset, "it comes first");
    bench.spoil(&store::keys::asset(&bad)).await;
    let next = only(&bench, &asset).await.next_at.unwrap();
    bench.pass(next.duration_since(bench.now()));
    let message = ScoreMessage { assets: vec![bad, asset.clone()], ..ScoreMessage::default() };
    assert!(score.work(message).await.is_err(), "the message comes again");
    assert!(only(&bench, &asset).await.next_at.unwrap() > next, "the other one was decided on");
}

#[tokio::test]
async fn a_connector_without_a_complete_run_is_heard_after_a_week() {
    let config = CONFIG.replace("name: team,", "name: team, events: [opened],");
    let bench = Bench::new(&config, NOW).await;
    let name = "tenable-prod".parse().unwrap();
    let (mut state, rev) = bench.store().connector_state(&name).await.unwrap();
    state.first_run_at = Some(bench.now());
    bench.store().put_connector_state(&name, &state, rev).await.unwrap();
    let score = Score::new(&bench.services);
    bench.pass(minutes(6 * 24 * 60));
    let asset = found(&bench, &score, &["1"]).await;
    assert_eq!(deliver(&bench).await, (0, 1), "the summary of the first sync will tell");
    bench.pass(minutes(24 * 60));
    assert_eq!(found(&bench, &score, &["1", "2"]).await, asset);
    assert_eq!(deliver(&bench).await, (1, 1), "what is found now is news");
}
