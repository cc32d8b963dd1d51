//! Vulnerabilities, decisions of people, tickets, uses of CVEs, timers.

use std::collections::BTreeSet;

use domain::vulnerability::{DecidedOn, Decision, TicketRef, TicketState};
use domain::{Asset, AssetId, CveId, Status, VulnId, Vulnerability};
use jiff::SignedDuration;
use jiff::civil::date;
use store::{CounterDelta, Due, Mistimed, Store, Versioned, VulnerabilityFilter, keys};

use crate::support::*;

fn ticket(key: &str) -> TicketRef {
    let url = format!("https://jira.example.org/browse/{key}");
    TicketRef { tracker: "jira".into(), key: key.into(), url, state: TicketState::Open }
}

fn decision() -> Decision {
    let reason = "behind the proxy".to_owned();
    Decision {
        status: Status::RiskAccepted,
        by: "ana".into(),
        reason,
        at: noon(),
        until: Some(noon()),
        about: Some(DecidedOn::default()),
    }
}

async fn read(store: &Store, v: &Vulnerability) -> Versioned<Vulnerability> {
    store.vulnerability(&v.asset, &v.id).await.unwrap().unwrap()
}

/// An asset with one vulnerability, both stored.
async fn stored(store: &Store) -> (Asset, Vulnerability) {
    let asset = asset("one");
    store.commit_asset(&asset, None, &CounterDelta::default()).await.unwrap();
    let mut v = vulnerability(&asset, "1", 800);
    v.intents = ticket_intent("t-1");
    store.put_vulnerability(&asset, &v, None, HIGH).await.unwrap();
    (asset, v)
}

#[tokio::test]
async fn a_vulnerability_comes_back_as_it_was_written() {
    let store = store().await;
    let (asset, mut v) = stored(&store).await;
    assert_eq!(read(&store, &v).await, Versioned { rev: Some(1), value: v.clone() });
    v.decision = Some(decision());
    v.ticket = Some(ticket("SEC-1"));
    store.put_vulnerability(&asset, &v, Some(1), HIGH).await.unwrap();
    assert_eq!(read(&store, &v).await, Versioned { rev: Some(2), value: v.clone() });
    assert_conflict(store.put_vulnerability(&asset, &v, Some(1), HIGH).await);
    assert_conflict(store.put_vulnerability(&asset, &v, None, HIGH).await);
    let state = store.asset_state(&asset.id, true).await.unwrap().unwrap();
    assert_eq!(state.vulnerabilities[&v.id].value, v);
    assert!(store.vulnerability(&asset.id, &VulnId::derive(&asset.id, "none")).await.unwrap().is_none());
}

#[tokio::test]
async fn lists_hold_what_belongs_into_them_and_nothing_else() {
    let store = store().await;
    let asset = asset("one");
    let mut v = vulnerability(&asset, "1", HIGH);
    let owner = [asset.owner.clone()];
    let mut rev = None;
    for (status, score, in_owners_list, in_top) in [
        (Status::Identified, HIGH, true, true),
        (Status::Identified, HIGH - 1, true, false),
        (Status::InProgress, 1_000, true, true),
        (Status::AwaitingValidation, 900, true, true),
        (Status::Created, 900, true, false),
        (Status::RiskAccepted, 900, true, false),
        (Status::Fixed, 900, false, false),
        (Status::Identified, 900, true, true),
        (Status::Gone, 900, false, false),
    ] {
        v.status = status;
        v.score.value = score;
        store.put_vulnerability(&asset, &v, rev, HIGH).await.unwrap();
        rev = Some(rev.unwrap_or(0) + 1);
        let filter = VulnerabilityFilter { statuses: Status::ALL.to_vec(), ..VulnerabilityFilter::default() };
        let listed = store.vulnerabilities(&owner, &filter, None, 5).await.unwrap();
        let top = store.top(&filter, 5).await.unwrap();
        let found = (listed.rows.len() == 1, top.rows.len() == 1);
        assert_eq!(found, (in_owners_list, in_top), "{status} {score}");
        if let Some(row) = listed.rows.first() {
            assert_eq!(
                (&row.value, row.owner.as_str(), row.asset_name.as_str()),
                (&v, &*owner[0], "one.example.org")
            );
        }
    }
}

#[tokio::test]
async fn an_alias_leads_to_what_it_was_merged_into() {
    let store = store().await;
    let (asset, kept) = stored(&store).await;
    let (first, second) = (vulnerability(&asset, "2", 500), vulnerability(&asset, "3", 500));
    for v in [&first, &second] {
        store.put_vulnerability(&asset, v, None, HIGH).await.unwrap();
    }
    store.put_alias(&asset.id, &first.id, &second.id, Some(1)).await.unwrap();
    assert_conflict(store.put_alias(&asset.id, &first.id, &kept.id, Some(1)).await);
    store.put_alias(&asset.id, &second.id, &kept.id, Some(1)).await.unwrap();
    assert_eq!(read(&store, &first).await.value.id, kept.id);
    let state = store.asset_state(&asset.id, true).await.unwrap().unwrap();
    assert_eq!(state.vulnerabilities.len(), 1);
    assert_eq!((&state.aliases[&first.id].id, &state.aliases[&second.id].id), (&second.id, &kept.id));
    let of = [first.id.clone(), kept.id.clone(), kept.id.clone()];
    assert_eq!(
        store.vulnerabilities_of(&asset.id, &of).await.unwrap(),
        std::slice::from_ref(&kept),
        "ids may repeat"
    );
    let page = store
        .vulnerabilities(std::slice::from_ref(&asset.owner), &VulnerabilityFilter::default(), None, 9)
        .await
        .unwrap();
    assert_eq!(page.rows.len(), 1, "an alias is in no list");
    assert_conflict(store.put_decision(&asset.id, &first.id, Some(&decision()), &line("ana")).await);

    store.put_alias(&asset.id, &kept.id, &first.id, Some(1)).await.unwrap();
    assert!(store.vulnerability(&asset.id, &kept.id).await.unwrap().is_none(), "a circle ends");
}

#[tokio::test]
async fn a_ticket_is_confirmed_once_and_kept() {
    let store = store().await;
    let (asset, v) = stored(&store).await;
    for _ in 0..2 {
        assert!(store.confirm_ticket(&asset.id, &v.id, "t-1", &ticket("SEC-1")).await.unwrap());
        let back = read(&store, &v).await;
        assert_eq!(
            (back.rev, back.value.ticket, back.value.intents.len()),
            (Some(2), Some(ticket("SEC-1")), 0)
        );
    }
    store.confirm_ticket(&asset.id, &v.id, "t-9", &ticket("SEC-2")).await.unwrap();
    assert_eq!(
        read(&store, &v).await.value.ticket,
        Some(ticket("SEC-1")),
        "a second ticket does not replace it"
    );

    // Closed by somebody who had begun before it was open again: nobody wants that any more, and it is so.
    let closed = TicketRef { state: TicketState::Closed, ..ticket("SEC-1") };
    assert!(!store.confirm_ticket(&asset.id, &v.id, "t-8", &closed).await.unwrap());
    assert_eq!(read(&store, &v).await.value.ticket, Some(closed));

    let mut unwanted = vulnerability(&asset, "2", 500);
    store.put_vulnerability(&asset, &unwanted, None, HIGH).await.unwrap();
    assert!(!store.confirm_ticket(&asset.id, &unwanted.id, "t-2", &ticket("SEC-3")).await.unwrap());
    unwanted.ticket = Some(ticket("SEC-3"));
    assert_eq!(
        read(&store, &unwanted).await.value,
        unwanted,
        "nobody wants it any more, it exists all the same"
    );
    let none = VulnId::derive(&asset.id, "none");
    store.confirm_ticket(&asset.id, &none, "t-3", &ticket("SEC-4")).await.unwrap();
    assert!(store.vulnerability(&asset.id, &none).await.unwrap().is_none());
}

#[tokio::test]
async fn a_ticket_follows_a_merge_that_was_quicker() {
    let store = store().await;
    let (asset, merged) = stored(&store).await;
    let target = vulnerability(&asset, "2", 900);
    store.put_vulnerability(&asset, &target, None, HIGH).await.unwrap();
    store.put_alias(&asset.id, &merged.id, &target.id, Some(1)).await.unwrap();
    for _ in 0..2 {
        store.confirm_ticket(&asset.id, &merged.id, "t-1", &ticket("SEC-1")).await.unwrap();
        let back = store.vulnerability(&asset.id, &merged.id).await.unwrap().unwrap();
        assert_eq!((back.value.id, back.value.ticket), (target.id.clone(), Some(ticket("SEC-1"))));
        assert_eq!(back.rev, Some(2));
    }
}

#[tokio::test]
async fn a_person_decides_and_takes_it_back() {
    let store = store().await;
    let (asset, v) = stored(&store).await;
    store.put_decision(&asset.id, &v.id, Some(&decision()), &line("ana")).await.unwrap();
    let back = read(&store, &v).await;
    assert_eq!((back.rev, back.value.decision.as_ref()), (Some(2), Some(&decision())));
    assert_conflict(store.put_vulnerability(&asset, &v, Some(1), HIGH).await);
    store.put_decision(&asset.id, &v.id, None, &line("ana")).await.unwrap();
    assert_eq!(read(&store, &v).await, Versioned { rev: Some(3), value: v });
    let none = VulnId::derive(&asset.id, "none");
    assert_conflict(store.put_decision(&asset.id, &none, Some(&decision()), &line("ana")).await);
    assert_conflict(store.put_decision(&asset.id, &none, None, &line("ana")).await);
}

#[tokio::test]
async fn the_users_of_a_cve_are_found_over_all_shards() {
    let store = store().await;
    let cve: CveId = "CVE-2021-44228".parse().unwrap();
    let other: CveId = "CVE-2021-44229".parse().unwrap();
    let assets: Vec<_> = (0..40).map(|i| AssetId::derive(&format!("asset {i}"))).collect();
    let use_of = |cve: &CveId, asset: &AssetId, key: &str| (cve.clone(), VulnId::derive(asset, key));
    for asset in &assets {
        let used = [use_of(&cve, asset, "1"), use_of(&cve, asset, "2"), use_of(&other, asset, "1")];
        store.write_cve_uses(asset, &used, &[]).await.unwrap();
        store.write_cve_uses(asset, &used, &[]).await.unwrap();
    }
    let all: BTreeSet<_> = assets.iter().cloned().collect();
    assert_eq!(store.cve_users(&cve).await.unwrap(), all);
    let gone = &assets[0];
    store.write_cve_uses(gone, &[], &[use_of(&cve, gone, "1")]).await.unwrap();
    assert_eq!(store.cve_users(&cve).await.unwrap(), all, "another vulnerability still uses it");
    store.write_cve_uses(gone, &[], &[use_of(&cve, gone, "2"), use_of(&cve, gone, "never")]).await.unwrap();
    assert_eq!(store.cve_users(&cve).await.unwrap().len(), 39);
    assert_eq!(store.cve_users(&other).await.unwrap(), all);
    store.write_cve_uses(gone, &[], &[]).await.unwrap();
    assert!(store.cve_users(&"CVE-2000-0001".parse().unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_asset_is_due_when_the_first_of_its_timers_is() {
    let store = store().await;
    let day = date(2026, 11, 22);
    let due = |now: &str| {
        let (store, now) = (&store, at(now));
        async move { store.due(day, now).await.unwrap().assets.len() }
    };
    let with_timer = asset("timer");
    let mut v = vulnerability(&with_timer, "1", 500);
    v.next_at = Some(at("2026-11-22T10:00:00.5Z"));
    store.put_vulnerability(&with_timer, &v, None, HIGH).await.unwrap();
    let mut with_intent = asset("intent");
    with_intent.intents = ticket_intent("n-1");
    store.commit_asset(&with_intent, None, &CounterDelta::default()).await.unwrap();
    let mut wants_ticket = vulnerability(&asset("ticket"), "1", 500);
    wants_ticket.intents = ticket_intent("t-1");
    wants_ticket.next_at = Some(at("2026-11-23T00:00:00Z"));
    store.put_vulnerability(&asset("ticket"), &wants_ticket, None, HIGH).await.unwrap();

    assert_eq!(due("2026-11-22T09:59:59Z").await, 0);
    assert_eq!(due("2026-11-22T10:00:00Z").await, 1);
    assert_eq!(
        due("2026-11-22T12:14:59Z").await,
        1,
        "intents of noon are left to their receivers for a while"
    );
    assert_eq!(due("2026-11-22T12:15:00Z").await, 3);
    store.confirm_notification(&with_intent.id, "n-1").await.unwrap();
    let next_day = store.due(date(2026, 11, 23), at("2026-11-23T10:00:00Z")).await.unwrap();
    assert_eq!(next_day, Due::default(), "each is in one timer only, that of the next thing to do");
    v.next_at = None;
    store.put_vulnerability(&with_timer, &v, Some(1), HIGH).await.unwrap();
    assert!(!store.due(day, at("2026-11-23T00:00:00Z")).await.unwrap().assets.contains(&with_timer.id));
}

#[tokio::test]
async fn many_timers_of_one_day_are_all_found() {
    let store = store().await;
    let assets: Vec<_> = (0..50).map(|i| asset(&format!("asset {i}"))).collect();
    for asset in &assets {
        let mut v = vulnerability(asset, "1", 500);
        v.next_at = Some(noon());
        store.put_vulnerability(asset, &v, None, HIGH).await.unwrap();
    }
    let due = store.due(date(2026, 11, 22), noon()).await.unwrap();
    assert_eq!(due.assets, assets.into_iter().map(|a| a.id).collect());
}

/// What is due on the day of the tests, and what on the next.
async fn due_in_two_days(store: &Store) -> [BTreeSet<AssetId>; 2] {
    let now = at("2026-11-23T23:59:59Z");
    let [first, second] = [22, 23].map(|day| store.due(date(2026, 11, day), now));
    [first.await.unwrap().assets, second.await.unwrap().assets]
}

async fn mistimed(store: &Store, asset: &Asset) -> Mistimed {
    store.asset_state(&asset.id, true).await.unwrap().unwrap().mistimed
}

#[tokio::test]
async fn what_is_confirmed_is_due_again_only_for_what_is_left_to_do() {
    let store = store().await;
    let tomorrow = noon() + SignedDuration::from_hours(24);
    let [quiet, mut looked_at, mut told_twice] = ["quiet", "looked at", "told twice"].map(|name| {
        let intents = ticket_intent("n-1");
        Asset { intents, ..asset(name) }
    });
    looked_at.look_at = Some(tomorrow);
    told_twice.intents.extend(ticket_intent("n-2"));
    told_twice.intents.get_mut("n-2").unwrap().since = tomorrow;
    for asset in [&quiet, &looked_at, &told_twice] {
        store.commit_asset(asset, None, &CounterDelta::default()).await.unwrap();
    }
    let [done, goes_on] = [("done", None), ("goes on", Some(tomorrow))].map(|(name, next_at)| {
        let asset = asset(name);
        let intents = ticket_intent("t-1");
        let v = Vulnerability { next_at, intents, ..vulnerability(&asset, "1", 500) };
        (asset, v)
    });
    for (asset, v) in [&done, &goes_on] {
        store.commit_asset(asset, None, &CounterDelta::default()).await.unwrap();
        store.put_vulnerability(asset, v, None, HIGH).await.unwrap();
    }
    assert_eq!(due_in_two_days(&store).await.map(|due| due.len()), [5, 0]);

    for time in ["first", "second"] {
        let before = store.capacity().total().write_units;
        for asset in [&quiet, &looked_at, &told_twice] {
            store.confirm_notification(&asset.id, "n-1").await.unwrap();
        }
        for (asset, v) in [&done, &goes_on] {
            store.confirm_ticket(&asset.id, &v.id, "t-1", &ticket("SEC-1")).await.unwrap();
        }
        let left = [&looked_at, &told_twice, &goes_on.0].map(|asset| asset.id.clone());
        assert_eq!(due_in_two_days(&store).await, [BTreeSet::new(), left.into()], "the {time} time");
        let written = store.capacity().total().write_units > before;
        assert_eq!(written, time == "first", "saying so again is not written");
    }
    for asset in [&quiet, &looked_at, &told_twice, &done.0, &goes_on.0] {
        assert_eq!(mistimed(&store, asset).await, Mistimed::default());
    }
}

#[tokio::test]
async fn notifications_that_are_confirmed_at_once_take_the_timer_with_them() {
    let store = store().await;
    let mut told = asset("one");
    let keys: Vec<_> = (0..5).map(|i| format!("n-{i}")).collect();
    told.intents = keys.iter().flat_map(|key| ticket_intent(key)).collect();
    store.commit_asset(&told, None, &CounterDelta::default()).await.unwrap();
    let confirmed = keys.iter().map(|key| store.confirm_notification(&told.id, key));
    for outcome in futures::future::join_all(confirmed).await {
        outcome.unwrap();
    }
    let back = store.asset(&told.id).await.unwrap().unwrap();
    assert_eq!((back.rev, back.value.intents.len()), (Some(6), 0));
    assert_eq!(due_in_two_days(&store).await, [BTreeSet::new(), BTreeSet::new()]);
}

#[tokio::test]
async fn a_confirmed_ticket_beside_which_others_wait_is_decided_on_once_more() {
    let store = store().await;
    let (asset, mut v) = stored(&store).await;
    v.other_tickets = vec![ticket("SEC-2")];
    store.put_vulnerability(&asset, &v, Some(1), HIGH).await.unwrap();
    store.confirm_ticket(&asset.id, &v.id, "t-1", &ticket("SEC-1")).await.unwrap();
    let [due, _] = due_in_two_days(&store).await;
    assert_eq!(due, [asset.id.clone()].into());
    let late = Mistimed { asset: false, vulnerabilities: [v.id.clone()].into() };
    assert_eq!(mistimed(&store, &asset).await, late);
    let back = read(&store, &v).await;
    store.put_vulnerability(&asset, &back.value, back.rev, HIGH).await.unwrap();
    assert_eq!(mistimed(&store, &asset).await, Mistimed::default());
    assert_eq!(due_in_two_days(&store).await, [BTreeSet::new(), BTreeSet::new()]);
}

#[tokio::test]
async fn a_timer_that_nothing_follows_from_is_noticed() {
    let (client, table, store) = table().await;
    let (asset, v) = stored(&store).await;
    assert_eq!(mistimed(&store, &asset).await, Mistimed::default());
    for key in [keys::asset(&asset.id), keys::vulnerability(&asset.id, &v.id)] {
        let id = key.sk.trim_start_matches("V#");
        let text = aws_sdk_dynamodb::types::AttributeValue::S;
        client
            .update_item()
            .table_name(&table)
            .key("pk", text(key.pk.clone()))
            .key("sk", text(key.sk.clone()))
            .update_expression("SET w = :w, ws = :ws")
            .expression_attribute_values(":w", text(keys::timer_of(noon(), id)))
            .expression_attribute_values(":ws", text(keys::timer_sort(noon(), id)))
            .send()
            .await
            .unwrap();
    }
    let both = Mistimed { asset: true, vulnerabilities: [v.id.clone()].into() };
    assert_eq!(mistimed(&store, &asset).await, both);
}
