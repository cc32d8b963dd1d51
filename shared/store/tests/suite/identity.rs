//! Where identifiers lead, and assets that become one and are parted again.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::identity::{Happened, Identifier, IdentifierKind, IdentityChange, part, unite};
use domain::vulnerability::{TicketRef, TicketState};
use domain::{Asset, AssetId};
use store::{Lead, Regroup, Relink, Store, Versioned, VulnerabilityFilter};

use crate::support::*;

fn mac(value: &str) -> Identifier {
    Identifier::new(IdentifierKind::Mac, "office|%", value)
}

fn macs(values: &[&str]) -> BTreeSet<Identifier> {
    values.iter().map(|value| mac(value)).collect()
}

/// A sighting that joins an asset and holds these values from now on.
async fn join(store: &Store, asset: &Asset, rev: Option<u64>, native: &str, values: &[&str]) -> Regroup {
    let mut leads: Vec<_> = store.leads(&macs(values)).await.unwrap().into_iter().collect();
    leads.retain_mut(|(_, lead)| lead.hold(&asset.id));
    let to = asset.id.clone();
    Regroup {
        assets: vec![Versioned { rev, value: asset.clone() }],
        leads,
        links: vec![Relink { sighting: sighting(native), from: None, to }],
        ..Regroup::default()
    }
}

async fn joined(store: &Store, asset: &Asset, rev: Option<u64>, native: &str, values: &[&str]) {
    store.regroup(&join(store, asset, rev, native, values).await).await.unwrap();
}

async fn holders(store: &Store, value: &str) -> Vec<AssetId> {
    store.leads(&macs(&[value])).await.unwrap()[&mac(value)].holders.clone()
}

#[tokio::test]
async fn of_racing_functions_exactly_one_gets_the_identifier_and_the_others_nothing() {
    let store = store().await;
    let mut wanted = Vec::new();
    for i in 0..6 {
        let (one, native) = (asset(&format!("asset {i}")), format!("host {i}"));
        wanted.push(join(&store, &one, None, &native, &["shared", &format!("own {i}")]).await);
    }
    let outcomes = futures::future::join_all(wanted.iter().map(|change| store.regroup(change))).await;
    let winner = outcomes.iter().position(Result::is_ok).unwrap();
    assert_eq!(winners(outcomes), 1);
    let owner = &wanted[winner].assets[0].value.id;
    assert_eq!(holders(&store, "shared").await, std::slice::from_ref(owner));
    for (i, change) in wanted.iter().enumerate() {
        let won = i == winner;
        assert_eq!(holders(&store, &format!("own {i}")).await.len(), usize::from(won), "a loser's stay free");
        assert_eq!(store.link(&change.links[0].sighting).await.unwrap().is_some(), won);
        assert_eq!(store.asset(&change.assets[0].value.id).await.unwrap().is_some(), won);
    }
}

#[tokio::test]
async fn an_identifier_leads_to_the_same_asset_for_a_version_that_knew_one_holder_and_after_it() {
    let (client, table, store) = table().await;
    let key = || {
        let text = |value: String| AttributeValue::S(value);
        HashMap::from([
            ("pk".to_owned(), text(format!("I#{}", mac("1")))),
            ("sk".to_owned(), text("I".into())),
        ])
    };
    let (one, two) = (asset("one"), asset("two"));
    joined(&store, &one, None, "a", &["1"]).await;
    joined(&store, &two, None, "b", &["1"]).await;
    let item = client.get_item().table_name(&table).set_key(Some(key())).send().await.unwrap().item.unwrap();
    assert_eq!(item["asset"].as_s().unwrap(), two.id.as_str(), "what the earlier version reads");

    let mut item = key();
    item.insert("asset".into(), AttributeValue::S(one.id.to_string()));
    client.put_item().table_name(&table).set_item(Some(item)).send().await.unwrap();
    assert_eq!(holders(&store, "1").await, std::slice::from_ref(&one.id), "what the earlier version wrote");
    joined(&store, &two, Some(1), "c", &["1"]).await;
    assert_eq!(holders(&store, "1").await, [one.id, two.id]);
}

#[tokio::test]
async fn a_sighting_joins_under_the_current_revision_and_once() {
    let store = store().await;
    let one = asset("one");
    joined(&store, &one, None, "a", &["1", "2"]).await;
    for rev in [None, Some(9)] {
        assert_conflict(store.regroup(&join(&store, &one, rev, "b", &["3"]).await).await);
    }
    assert!(holders(&store, "3").await.is_empty());
    joined(&store, &one, Some(1), "b", &["2", "3"]).await;
    assert_conflict(store.regroup(&join(&store, &one, Some(2), "b", &[]).await).await);
    assert_eq!(store.asset(&one.id).await.unwrap(), Some(Versioned { rev: Some(2), value: one.clone() }));
    for value in ["1", "2", "3"] {
        assert_eq!(holders(&store, value).await, std::slice::from_ref(&one.id));
    }
    let state = store.asset_state(&one.id, true).await.unwrap().unwrap();
    assert_eq!((state.asset.value, state.vulnerabilities.len(), state.aliases.len()), (one, 0, 0));
    assert!(store.asset_state(&AssetId::derive("none"), true).await.unwrap().is_none());
}

#[tokio::test]
async fn a_sighting_with_very_many_identifiers_still_joins() {
    let store = store().await;
    let many: Vec<_> = (0..150).map(|i| i.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    joined(&store, &asset("one"), None, "a", &many).await;
    let led = store.leads(&macs(&many)).await.unwrap();
    assert_eq!(led.len(), 150);
    assert!(led.values().filter(|lead| !lead.holders.is_empty()).count() >= 90);
}

#[tokio::test]
async fn a_shared_value_is_listed_leads_nowhere_and_a_person_can_take_it_back() {
    let store = store().await;
    joined(&store, &asset("one"), None, "a", &["dock"]).await;
    let learn = |mut lead: Lead| {
        assert!(lead.share("two machines show it", noon()));
        Regroup {
            assets: vec![Versioned { rev: None, value: asset("two") }],
            leads: vec![(mac("dock"), lead)],
            ..Regroup::default()
        }
    };
    let lead = store.leads(&macs(&["dock"])).await.unwrap()[&mac("dock")].clone();
    store.regroup(&learn(lead.clone())).await.unwrap();
    assert_conflict(store.regroup(&learn(lead)).await);
    let (listed, next) = store.shared_identifiers(None, 10).await.unwrap();
    assert_eq!((listed.len(), next), (1, None));
    assert_eq!((&listed[0].0, listed[0].1.reason.as_str()), (&mac("dock"), "two machines show it"));
    let mut lead = store.leads(&macs(&["dock"])).await.unwrap()[&mac("dock")].clone();
    assert!(lead.holders.is_empty() && !lead.hold(&asset("three").id), "it leads nowhere");
    (lead.shared, lead.never_shared) = (None, true);
    store.put_lead(&mac("dock"), &lead, &line("ann")).await.unwrap();
    assert!(store.shared_identifiers(None, 10).await.unwrap().0.is_empty());
    let mut lead = store.leads(&macs(&["dock"])).await.unwrap()[&mac("dock")].clone();
    assert!(!lead.share("two machines show it", noon()), "it is not learned again");
    assert!(lead.hold(&asset("three").id));
}

#[tokio::test]
async fn an_asset_that_became_another_leads_there_and_its_history_tells_why() {
    let store = store().await;
    let (one, two) = (asset("one"), asset("two"));
    joined(&store, &one, None, "a", &["1"]).await;
    joined(&store, &two, None, "b", &["2"]).await;
    let united = unite(&one, &two, None);
    let change = IdentityChange {
        at: noon(),
        what: Happened::Absorbed,
        other: united.gone.id.clone(),
        sightings: Vec::new(),
        reason: "they share an identifier of the machine itself".into(),
        identifiers: vec![mac("1")],
        by: None,
    };
    let assets = [&united.kept, &united.gone].map(|asset| Versioned { rev: Some(1), value: asset.clone() });
    let history = change.clone().on_both(united.kept.id.clone()).into();
    let regroup = Regroup { assets: assets.into(), history, ..Regroup::default() };
    store.regroup(&regroup).await.unwrap();
    assert_conflict(store.regroup(&regroup).await);
    let found = store.resolved_asset(&united.gone.id).await.unwrap().unwrap();
    assert_eq!(found.value.id, united.kept.id);
    assert_eq!(store.identity_history(&united.kept.id, 10).await.unwrap(), [change]);
    let there = &store.identity_history(&united.gone.id, 10).await.unwrap()[0];
    assert_eq!((there.what, &there.other), (Happened::Merged, &united.kept.id));
    assert_eq!(store.assets(&united.gone.owner, None, 10).await.unwrap().rows.len(), 1, "it is in no list");
    let back = part(&united.kept, &united.gone, "ann").own;
    store
        .regroup(&Regroup { assets: vec![Versioned { rev: Some(2), value: back }], ..Regroup::default() })
        .await
        .unwrap();
    assert_eq!(store.resolved_asset(&united.gone.id).await.unwrap().unwrap().value.id, united.gone.id);
}

#[tokio::test]
async fn a_vulnerability_on_its_way_is_found_and_its_ticket_is_not_lost() {
    let store = store().await;
    let (from, to) = (asset("from"), asset("to"));
    let mut v = vulnerability(&from, "1", 800);
    v.intents = ticket_intent("t-1");
    store.put_vulnerability(&from, &v, None, HIGH).await.unwrap();
    assert_conflict(store.freeze_vulnerability(&from.id, &v.id, Some(7), &to.id).await);
    store.freeze_vulnerability(&from.id, &v.id, Some(1), &to.id).await.unwrap();
    let top = store.top(&VulnerabilityFilter::default(), 10).await.unwrap();
    assert!(top.rows.is_empty(), "it is in no list");
    let frozen = store.kept_vulnerabilities(&from.id).await.unwrap().remove(&v.id).unwrap();
    assert_eq!((frozen.value.as_ref(), frozen.gone_to), (Some(&v), Some((to.id.clone(), v.id.clone()))));
    assert_eq!(store.vulnerability(&from.id, &v.id).await.unwrap().unwrap().value, v);
    let ticket = TicketRef {
        tracker: "jira".into(),
        key: "SEC-1".into(),
        url: "https://example/SEC-1".into(),
        state: TicketState::Open,
    };
    assert_conflict(store.confirm_ticket(&from.id, &v.id, "t-1", &ticket).await);
    let there = domain::Vulnerability { asset: to.id.clone(), ..v.clone() };
    store.put_vulnerability(&to, &there, None, HIGH).await.unwrap();
    store.confirm_ticket(&from.id, &v.id, "t-1", &ticket).await.unwrap();
    let found = store.vulnerability(&from.id, &v.id).await.unwrap().unwrap().value;
    assert_eq!((&found.asset, found.ticket.as_ref(), found.intents.len()), (&to.id, Some(&ticket), 0));
    store.confirm_ticket(&from.id, &v.id, "t-1", &ticket).await.unwrap();
}

#[tokio::test]
async fn what_a_vulnerability_was_before_it_became_one_with_another_is_kept_once() {
    let store = store().await;
    let (one, other) = (asset("one"), asset("other"));
    let before = vulnerability(&one, "1", 400);
    let after = domain::Vulnerability { title: "changed".into(), ..before.clone() };
    store.keep_image(&other.id, &before).await.unwrap();
    store.keep_image(&other.id, &after).await.unwrap();
    assert_eq!(store.images(&one.id, &other.id).await.unwrap(), std::slice::from_ref(&before));
    assert!(store.images(&one.id, &asset("third").id).await.unwrap().is_empty());
    store.drop_image(&before, &other.id).await.unwrap();
    assert!(store.images(&one.id, &other.id).await.unwrap().is_empty());
}
