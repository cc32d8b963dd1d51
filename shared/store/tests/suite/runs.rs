//! Runs, units, closings, hosts.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::decide::SWEEP_AFTER;
use domain::{LastScan, RunId};
use jiff::civil::date;
use serde_json::{Value, json};
use store::{
    ConnectorState, GoesOn, HistoryEntry, RunCounts, RunRecord, RunStatus, Store, UnitRecord, UnitState,
    Verdict,
};

use crate::support::*;

async fn begin(store: &Store, second: i64) -> RunId {
    let run = run_id(second);
    let (state, rev) = store.connector_state(&connector()).await.unwrap();
    store.begin_run(&connector(), (&state, rev), &run, &json!({"full": true}), noon()).await.unwrap();
    run
}

async fn read(store: &Store, run: &RunId) -> RunRecord {
    store.run(&connector(), run).await.unwrap().unwrap().0
}

async fn unit(store: &Store, run: &RunId, id: &str) -> UnitRecord {
    store.unit(&connector(), run, id).await.unwrap().unwrap()
}

fn units(range: std::ops::Range<u32>) -> Vec<(String, Value)> {
    range.map(|i| (format!("page-{i}"), json!({"page": i}))).collect()
}

/// Every counter at a value of its own, from 1.
fn all_counts() -> RunCounts {
    RunCounts {
        hosts: 1,
        received: 2,
        written: 3,
        opened: 4,
        opened_critical: 5,
        opened_high: 6,
        reopened: 7,
        closed: 8,
        unchanged: 9,
        refused: 10,
        requests: 11,
        announced: 12,
        arrived: 13,
        unanswered: 14,
    }
}

#[tokio::test]
async fn a_connector_has_one_active_run() {
    let store = store().await;
    let (state, rev) = store.connector_state(&connector()).await.unwrap();
    assert_eq!((&state, rev), (&ConnectorState::default(), None));
    let begin = |second| {
        let (store, state) = (&store, &state);
        async move { store.begin_run(&connector(), (state, rev), &run_id(second), &json!("full"), noon()).await }
    };
    let outcomes = futures::future::join_all((0..5).map(begin)).await;
    let winner = outcomes.iter().position(Result::is_ok).unwrap();
    assert_eq!(winners(outcomes), 1);
    let (state, rev) = store.connector_state(&connector()).await.unwrap();
    assert_eq!((state.active, rev), (Some(run_id(winner as i64)), Some(1)));
    let runs = store.runs(&connector(), 10).await.unwrap();
    assert_eq!(runs.len(), 1, "a refused run leaves nothing behind");
    assert_eq!(
        (runs[0].status, runs[0].started_at, &runs[0].mode),
        (RunStatus::Running, noon(), &json!("full"))
    );
    assert!(store.run(&connector(), &run_id(99)).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_connector_remembers_is_guarded() {
    let store = store().await;
    let mut state =
        ConnectorState { again: true, watermark: Some(noon()), open: -3, ..ConnectorState::default() };
    for second in 0..12 {
        state.remember(HistoryEntry { run: run_id(second), hosts: 1, received: 2 });
    }
    assert_eq!((state.history.len(), &state.history[0].run), (10, &run_id(11)));
    store.put_connector_state(&connector(), &state, None).await.unwrap();
    assert_conflict(store.put_connector_state(&connector(), &state, None).await);
    assert_eq!(store.connector_state(&connector()).await.unwrap(), (state.clone(), Some(1)));
    store.put_connector_state(&connector(), &state, Some(1)).await.unwrap();
    assert_conflict(store.put_connector_state(&connector(), &state, Some(1)).await);
}

#[test]
fn wishes_are_remembered_for_a_while() {
    let mut state = ConnectorState::default();
    for wish in 0..40 {
        state.take(Some(&wish.to_string()));
    }
    state.take(None);
    assert!(state.has_taken("39") && state.has_taken("8") && !state.has_taken("7"), "{:?}", state.requests);
}

#[tokio::test]
async fn planning_twice_plans_once() {
    let store = store().await;
    let run = begin(&store, 0).await;
    store.add_units(&connector(), &run, &[]).await.unwrap();
    store.add_units(&connector(), &run, &units(0..30)).await.unwrap();
    store.add_units(&connector(), &run, &units(0..100)).await.expect("partly existing");
    store.add_units(&connector(), &run, &units(0..100)).await.expect("wholly existing");
    let (record, planned) = store.run(&connector(), &run).await.unwrap().unwrap();
    assert_eq!((record.units, record.pending, planned), (100, 100, false));
    store.mark_planned(&connector(), &run).await.unwrap();
    assert!(store.run(&connector(), &run).await.unwrap().unwrap().1);
    assert_conflict(store.mark_planned(&connector(), &run_id(9)).await);
    let all = store.units(&connector(), &run, Some(UnitState::Pending)).await.unwrap();
    assert_eq!(all.len(), 100);
    let by_id: BTreeMap<_, _> = all.into_iter().map(|u| (u.id, u.work)).collect();
    assert_eq!(by_id["page-71"], json!({"page": 71}));
    assert!(store.add_units(&connector(), &run_id(9), &units(0..1)).await.is_err(), "no such run");
}

#[tokio::test]
async fn racing_planners_count_each_unit_once() {
    let store = store().await;
    let run = begin(&store, 0).await;
    let plans = [units(0..50), units(25..75), units(0..75)];
    let plan = |units: &'_ Vec<(String, Value)>| {
        let (store, run, units) = (&store, &run, units.clone());
        async move { store.add_units(&connector(), run, &units).await }
    };
    futures::future::try_join_all(plans.iter().map(plan)).await.unwrap();
    let record = read(&store, &run).await;
    assert_eq!((record.units, record.pending), (75, 75));
}

#[tokio::test]
async fn a_unit_ends_once_with_everything_it_counted() {
    let store = store().await;
    let run = begin(&store, 0).await;
    store.add_units(&connector(), &run, &units(0..3)).await.unwrap();
    let first = unit(&store, &run, "page-0").await;
    let (connector, counts) = (connector(), all_counts());
    let end = || store.end_unit(&connector, &run, &first, UnitState::Done, None, &counts);
    let outcomes = futures::future::join_all((0..5).map(|_| end())).await;
    assert_eq!(winners(outcomes), 1);
    assert_conflict(end().await);
    let record = read(&store, &run).await;
    assert_eq!(record.counts, all_counts());
    assert_eq!((record.pending, record.failed, record.missing), (2, 0, 0));
    let ended = unit(&store, &run, "page-0").await;
    assert_eq!((ended.state, ended.work), (UnitState::Done, json!({"page": 0})));

    let none = RunCounts::default();
    let second = unit(&store, &run, "page-1").await;
    store.end_unit(&connector, &run, &second, UnitState::Done, Some("3 pages lost"), &none).await.unwrap();
    let third = unit(&store, &run, "page-2").await;
    store.end_unit(&connector, &run, &third, UnitState::Failed, Some("401"), &none).await.unwrap();
    let record = read(&store, &run).await;
    assert_eq!((record.pending, record.failed, record.missing), (0, 1, 2));
    assert_eq!(record.counts, all_counts());
    let failed = store.units(&connector, &run, Some(UnitState::Failed)).await.unwrap();
    assert_eq!((failed.len(), failed[0].missing.as_deref()), (1, Some("401")));
    assert_eq!(store.units(&connector, &run, None).await.unwrap().len(), 3);
}

#[tokio::test]
async fn units_that_end_together_are_all_counted() {
    let store = store().await;
    let run = begin(&store, 0).await;
    store.add_units(&connector(), &run, &units(0..20)).await.unwrap();
    let pending = store.units(&connector(), &run, None).await.unwrap();
    let one = RunCounts { received: 10, ..RunCounts::default() };
    let connector = connector();
    let ends = pending.iter().map(|u| store.end_unit(&connector, &run, u, UnitState::Done, None, &one));
    futures::future::try_join_all(ends).await.unwrap();
    let record = read(&store, &run).await;
    assert_eq!((record.pending, record.counts.received), (0, 200));
}

#[tokio::test]
async fn a_postponed_unit_remembers_what_it_needs() {
    let store = store().await;
    let run = begin(&store, 0).await;
    store.add_units(&connector(), &run, &units(0..1)).await.unwrap();
    let stale = unit(&store, &run, "page-0").await;
    let work = json!({"export": "e-1", "chunks": [1, 2]});
    let since = noon() - jiff::SignedDuration::from_hours(1);
    let next = GoesOn { work: &work, not_before: noon(), put_off_since: since, failures: 2, turn: 3 };
    store.postpone_unit(&connector(), &run, &stale, next).await.unwrap();
    let postponed = unit(&store, &run, "page-0").await;
    assert_eq!((&postponed.work, postponed.failures, postponed.not_before), (&work, 2, Some(noon())));
    assert_eq!((stale.put_off_since, postponed.put_off_since), (None, Some(since)));
    assert_eq!((stale.rev, postponed.state, postponed.rev), (UnitRecord::FIRST_TURN, UnitState::Pending, 3));
    assert_conflict(store.postpone_unit(&connector(), &run, &stale, next).await);
    assert_conflict(
        store.end_unit(&connector(), &run, &stale, UnitState::Done, None, &RunCounts::default()).await,
    );
    assert_eq!(read(&store, &run).await.pending, 1, "the refused end changed nothing");
}

#[tokio::test]
async fn a_verdict_is_given_once() {
    let store = store().await;
    for (second, verdict) in
        [Verdict::Complete, Verdict::Partial, Verdict::Suspicious, Verdict::Failed].into_iter().enumerate()
    {
        let run = run_id(second as i64);
        let (state, rev) = store.connector_state(&connector()).await.unwrap();
        store.begin_run(&connector(), (&state, rev), &run, &json!(1), noon()).await.unwrap();
        let judge = |verdict, reason, closed| {
            let (store, run) = (&store, &run);
            async move { store.judge_run(&connector(), run, verdict, RunStatus::Running, reason, closed).await }
        };
        judge(verdict, Some("because"), 12).await.unwrap();
        assert_conflict(judge(Verdict::Complete, None, 0).await);
        let record = read(&store, &run).await;
        assert_eq!((record.verdict, record.reason.as_deref()), (Some(verdict), Some("because")));
        assert_eq!((record.counts.closed, record.status), (12, RunStatus::Running));
        assert_conflict(store.approve_run(&connector(), &run, &line("ana")).await);
    }
    let judged =
        store.judge_run(&connector(), &run_id(99), Verdict::Complete, RunStatus::Running, None, 0).await;
    assert_conflict(judged);
    let runs: Vec<_> = store.runs(&connector(), 3).await.unwrap().into_iter().map(|r| r.id).collect();
    assert_eq!(runs, [run_id(3), run_id(2), run_id(1)], "newest first");
}

#[tokio::test]
async fn a_held_run_goes_on_after_one_approval() {
    let store = store().await;
    let run = begin(&store, 0).await;
    let reason = Some("would close too much");
    store.judge_run(&connector(), &run, Verdict::Complete, RunStatus::Held, reason, 400).await.unwrap();
    assert_eq!(read(&store, &run).await.status, RunStatus::Held);
    store.approve_run(&connector(), &run, &line("ana")).await.unwrap();
    assert_conflict(store.approve_run(&connector(), &run, &line("bob")).await);
    let record = read(&store, &run).await;
    assert_eq!((record.status, record.approved_by.as_deref()), (RunStatus::Running, Some("ana")));
}

#[tokio::test]
async fn the_end_of_a_run_and_what_is_remembered_of_it_are_one() {
    let store = store().await;
    let run = begin(&store, 0).await;
    let (mut state, rev) = store.connector_state(&connector()).await.unwrap();
    state.active = None;
    state.last_full = Some((run.clone(), noon()));
    let intents =
        BTreeMap::from([("n-1".to_owned(), "slack".to_owned()), ("n-2".to_owned(), "mail".to_owned())]);
    assert_conflict(store.end_run(&connector(), (&state, Some(7)), &run, noon(), &intents).await);
    let record = read(&store, &run).await;
    assert_eq!((record.status, record.ended_at), (RunStatus::Running, None), "a refused end changes neither");
    store.end_run(&connector(), (&state, rev), &run, noon(), &intents).await.unwrap();
    assert_conflict(store.end_run(&connector(), (&state, rev), &run, noon(), &intents).await);
    let record = read(&store, &run).await;
    assert_eq!((record.status, record.ended_at, &record.intents), (RunStatus::Done, Some(noon()), &intents));
    assert_eq!(store.connector_state(&connector()).await.unwrap(), (state, Some(2)));

    let due = || async { store.due(date(2026, 11, 22), noon() + SWEEP_AFTER).await.unwrap().runs };
    for _ in 0..2 {
        store.confirm_run_intent(&connector(), &run, "n-1").await.unwrap();
        assert_eq!(read(&store, &run).await.intents.into_keys().collect::<Vec<_>>(), ["n-2"]);
        assert_eq!(due().await, BTreeSet::from([(connector(), run.clone())]));
    }
    store.confirm_run_intent(&connector(), &run, "n-2").await.unwrap();
    assert!(read(&store, &run).await.intents.is_empty() && due().await.is_empty());
    let without = begin(&store, 5).await;
    store.confirm_run_intent(&connector(), &without, "n-1").await.expect("a run without intents");
    let (state, rev) = store.connector_state(&connector()).await.unwrap();
    store.end_run(&connector(), (&state, rev), &without, noon(), &BTreeMap::new()).await.unwrap();
    assert!(read(&store, &without).await.intents.is_empty());
}

#[tokio::test]
async fn closings_wait_by_host() {
    let store = store().await;
    let run = begin(&store, 0).await;
    for (native, count) in [("h1", 3), ("h2", 1), ("h#3", 2), ("h1", 4)] {
        store.note_closings(&connector(), &run, native, count).await.unwrap();
    }
    store.forget_closings(&connector(), &run, "h2").await.unwrap();
    store.forget_closings(&connector(), &run, "h2").await.unwrap();
    store.note_closings(&connector(), &run_id(1), "h9", 9).await.unwrap();
    let closings: BTreeMap<_, _> = store.closings(&connector(), &run).await.unwrap().into_iter().collect();
    assert_eq!(closings, BTreeMap::from([(sighting("h1"), 4), (sighting("h#3"), 2)]));
}

#[tokio::test]
async fn units_with_much_to_remember_are_planned_in_parts() {
    let store = store().await;
    let run = begin(&store, 0).await;
    let large: Vec<(String, Value)> =
        (0..60).map(|n| (format!("large-{n}"), json!("x".repeat(110_000)))).collect();
    store.add_units(&connector(), &run, &large).await.unwrap();
    store.add_units(&connector(), &run, &large).await.unwrap();
    assert_eq!((read(&store, &run).await.units, read(&store, &run).await.pending), (60, 60));
}

#[tokio::test]
async fn what_is_kept_of_a_run_expires() {
    let (client, table, store) = table().await;
    let run = begin(&store, 0).await;
    store.add_units(&connector(), &run, &units(0..2)).await.unwrap();
    let host = BTreeMap::from([("h1".to_owned(), LastScan::default())]);
    store.put_hosts(&connector(), &run, "page-1", &host).await.unwrap();
    store.put_confirmed(&connector(), &run, "missing/0", &[("h1".to_owned(), None)].into()).await.unwrap();
    store.put_scopes(&connector(), &run, "page-1", &BTreeSet::from(["1".to_owned()])).await.unwrap();
    store.note_closings(&connector(), &run, "h1", 9).await.unwrap();
    let partition = AttributeValue::S(format!("U#{}#{run}", connector()));
    let query = client.query().table_name(table).key_condition_expression("pk = :pk");
    let items = query.expression_attribute_values(":pk", partition).send().await.unwrap().items.unwrap();
    assert_eq!(items.len(), 6, "{items:?}");
    let began = run.began().unwrap().as_second();
    for item in items {
        let seconds = item["expires"].as_n().unwrap().parse::<i64>().unwrap() - began;
        // What a later full run compares itself with is kept longer.
        let sk = item["sk"].as_s().unwrap();
        let days = if ["UNIT#", "CLOSING#"].iter().any(|kind| sk.starts_with(kind)) { 90 } else { 400 };
        assert_eq!(seconds, days * 86_400, "{item:?}");
    }
}

#[tokio::test]
async fn hosts_are_kept_by_unit_and_read_as_a_set() {
    let store = store().await;
    let run = begin(&store, 0).await;
    let scanned = |second, credentialed| LastScan {
        at: jiff::Timestamp::from_second(second).ok(),
        credentialed,
        ..LastScan::default()
    };
    let hosts = |range: std::ops::Range<u32>, scan: LastScan| -> BTreeMap<String, LastScan> {
        range.map(|i| (format!("host-{i}"), scan)).collect()
    };
    let names = |range| hosts(range, LastScan::default());
    store.put_hosts(&connector(), &run, "page-1", &names(0..12_000)).await.unwrap();
    store
        .put_hosts(&connector(), &run, "page-10", &hosts(11_990..12_010, scanned(1_000, Some(false))))
        .await
        .unwrap();
    store.put_hosts(&connector(), &run, "page-2", &BTreeMap::new()).await.unwrap();
    store.add_units(&connector(), &run, &units(0..2)).await.unwrap();
    let all = store.hosts(&connector(), &run).await.unwrap();
    assert_eq!(all, names(0..12_010).into_keys().collect::<BTreeSet<_>>());
    let scans = store.scans(&connector(), &run).await.unwrap();
    assert_eq!(scans["host-0"], LastScan::default());
    assert_eq!(scans["host-11995"], scanned(1_000, Some(false)), "what another page knows completes it");
    assert_eq!(store.confirmed(&connector(), &run).await.unwrap(), BTreeMap::new());
    let told = [("host-1", Some(true)), ("host-2", Some(false)), ("host-3", None)]
        .map(|(host, exists)| (host.to_owned(), exists));
    let told = BTreeMap::from(told);
    store.put_confirmed(&connector(), &run, "missing/0", &told).await.unwrap();
    assert_eq!(store.confirmed(&connector(), &run).await.unwrap(), told);
    assert_eq!(store.hosts(&connector(), &run).await.unwrap().len(), 12_010, "no host that was seen");
    let scopes = BTreeSet::from(["1".to_owned(), "2".to_owned()]);
    store.put_scopes(&connector(), &run, "assets/0", &scopes).await.unwrap();
    assert_eq!(store.scopes(&connector(), &run).await.unwrap(), scopes);
    let odd = BTreeMap::from([(
        "a\tb".to_owned(),
        LastScan { gone: true, partly: true, ..scanned(-5, Some(true)) },
    )]);
    store.put_hosts(&connector(), &run, "page-3", &odd).await.unwrap();
    let scans = store.scans(&connector(), &run).await.unwrap();
    assert_eq!(scans["a\tb"], odd["a\tb"]);
    assert_eq!(store.hosts_of_unit(&connector(), &run, "page-1").await.unwrap().len(), 12_000);
    assert_eq!(store.hosts_of_unit(&connector(), &run, "page-10").await.unwrap().len(), 20);
    assert!(store.hosts_of_unit(&connector(), &run, "page").await.unwrap().is_empty());
    assert!(store.hosts(&connector(), &run_id(7)).await.unwrap().is_empty());
}
