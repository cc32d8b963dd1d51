//! Which asset owns which identifier.

use std::collections::BTreeSet;

use domain::identity::{Identifier, IdentifierKind};
use domain::{Asset, AssetId};
use store::{Claim, Versioned};

use crate::support::*;

fn mac(value: &str) -> Identifier {
    Identifier::new(IdentifierKind::Mac, "office|%", value)
}

fn macs(values: &[&str]) -> BTreeSet<Identifier> {
    values.iter().map(|value| mac(value)).collect()
}

fn claim(asset: Asset, rev: Option<u64>, native: &str, values: &[&str]) -> Claim {
    Claim { asset: Versioned { rev, value: asset }, sighting: sighting(native), identifiers: macs(values) }
}

#[tokio::test]
async fn of_racing_claims_exactly_one_wins_and_the_others_own_nothing() {
    let store = store().await;
    let claims: Vec<_> = (0..6)
        .map(|i| {
            claim(asset(&format!("asset {i}")), None, &format!("host {i}"), &["shared", &format!("own {i}")])
        })
        .collect();
    let outcomes = futures::future::join_all(claims.iter().map(|claim| store.claim(claim))).await;
    let winner = outcomes.iter().position(Result::is_ok).unwrap();
    assert_eq!(winners(outcomes), 1);
    let owner = &claims[winner].asset.value.id;
    for (i, claim) in claims.iter().enumerate() {
        let own = mac(&format!("own {i}"));
        let owners = store.owners_of(&BTreeSet::from([mac("shared"), own.clone()])).await.unwrap();
        assert_eq!(owners[&mac("shared")], *owner);
        assert_eq!(owners.get(&own), (i == winner).then_some(owner), "identifiers of a loser stay free");
        assert_eq!(store.link(&claim.sighting).await.unwrap().is_some(), i == winner);
        assert_eq!(store.asset(&claim.asset.value.id).await.unwrap().is_some(), i == winner);
    }
}

#[tokio::test]
async fn another_sighting_joins_under_the_current_revision() {
    let store = store().await;
    let mut one = asset("one");
    store.claim(&claim(one.clone(), None, "a", &["1", "2"])).await.unwrap();
    one.owner = "payments".into();
    assert_conflict(store.claim(&claim(one.clone(), None, "b", &["3"])).await);
    assert_conflict(store.claim(&claim(one.clone(), Some(9), "b", &["3"])).await);
    assert!(store.owners_of(&macs(&["3"])).await.unwrap().is_empty());
    store
        .claim(&claim(one.clone(), Some(1), "b", &["2", "3"]))
        .await
        .expect("claiming what one owns is no conflict");
    assert_conflict(store.claim(&claim(one.clone(), Some(2), "b", &[])).await);
    assert_eq!(store.asset(&one.id).await.unwrap(), Some(Versioned { rev: Some(2), value: one.clone() }));
    assert_eq!(store.owners_of(&macs(&["1", "2", "3", "4"])).await.unwrap().len(), 3);
    let state = store.asset_state(&one.id, true).await.unwrap().unwrap();
    assert_eq!((state.asset.value, state.vulnerabilities.len(), state.aliases.len()), (one, 0, 0));
    assert!(store.asset_state(&AssetId::derive("none"), true).await.unwrap().is_none());
}

#[tokio::test]
async fn a_sighting_with_very_many_identifiers_still_joins() {
    let store = store().await;
    let one = asset("one");
    let many: Vec<_> = (0..150).map(|i| i.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    store.claim(&claim(one.clone(), None, "a", &many)).await.unwrap();
    let owned = store.owners_of(&macs(&many)).await.unwrap();
    assert!(owned.len() >= 90 && owned.values().all(|asset| *asset == one.id));
}

#[tokio::test]
async fn identifiers_that_come_later_are_claimed_where_nobody_owns_them() {
    let store = store().await;
    let (one, two) = (asset("one"), asset("two"));
    store.claim(&claim(one.clone(), None, "a", &["1"])).await.unwrap();
    for _ in 0..2 {
        store.claim_identifiers(&two.id, &macs(&["1", "2"])).await.unwrap();
        let owners = store.owners_of(&macs(&["1", "2"])).await.unwrap();
        assert_eq!((&owners[&mac("1")], &owners[&mac("2")]), (&one.id, &two.id));
    }
}
