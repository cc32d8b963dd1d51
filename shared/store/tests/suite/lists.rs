//! Lists: pages lose nothing and repeat nothing.

use std::collections::BTreeSet;

use domain::score::Factors;
use domain::{Asset, Severity, Status, Vulnerability};
use futures::stream::{self, StreamExt, TryStreamExt};
use store::{CounterDelta, Entry, EntryState, ExportItem, Page, SightingState, Store, VulnerabilityFilter};

use crate::support::*;

const OWNERS: [&str; 4] = ["core", "edge#eu", "payments", "unowned"];

/// 300 vulnerabilities on 60 assets of four owners; many share a score. The seed is in every failure's name.
fn estate(seed: u64) -> Vec<(Asset, Vulnerability)> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..300)
        .map(|i| {
            let mut asset = asset(&format!("asset {}", i % 60));
            asset.owner = OWNERS[(i % 60) % OWNERS.len()].to_owned();
            let mut v = vulnerability(&asset, &i.to_string(), random.u16(0..100) * 10);
            v.severity = Severity::ALL[random.usize(0..5)];
            v.status = Status::ALL[random.usize(0..Status::ALL.len())];
            v.due = random.bool().then(|| noon() + jiff::SignedDuration::from_hours(random.i64(-50..50)));
            v.factors = Factors { kev: random.bool().then_some(true), ..Factors::default() };
            if random.u8(0..10) == 0 {
                v.title = "Apache Tomcat".into();
            }
            (asset, v)
        })
        .collect()
}

async fn fill(store: &Store, estate: &[(Asset, Vulnerability)]) {
    stream::iter(estate)
        .map(|(asset, v)| store.put_vulnerability(asset, v, None, HIGH))
        .buffer_unordered(16)
        .try_collect::<()>()
        .await
        .unwrap();
}

fn filters() -> Vec<VulnerabilityFilter> {
    let all = VulnerabilityFilter::default;
    vec![
        all(),
        VulnerabilityFilter { severities: vec![Severity::Critical, Severity::Low], ..all() },
        VulnerabilityFilter { statuses: Status::ALL.to_vec(), ..all() },
        VulnerabilityFilter { statuses: vec![Status::Stale, Status::Created], exploited: true, ..all() },
        VulnerabilityFilter { text: Some("TOMCAT".into()), ..all() },
        VulnerabilityFilter { text: Some("cve-2021-44228".into()), overdue_at: Some(noon()), ..all() },
        VulnerabilityFilter { text: Some("nothing at all".into()), ..all() },
    ]
}

/// Reads a list to its end and checks that it goes forward; returns the ids in order.
async fn walk<F: Future<Output = Page<Vulnerability>>>(
    limit: usize,
    store: &Store,
    page: impl Fn(Option<String>) -> F,
) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let before = store.capacity().total().read_units;
        let Page { rows, next } = page(after.clone()).await;
        let cost = store.capacity().total().read_units - before;
        // A query that finds nothing costs on AWS as well; DynamoDB Local reports nothing.
        assert!((cost > 0.0 || !is_embedded()) && cost <= 25.0, "a page costs {cost} read units");
        assert!(rows.len() <= limit);
        ids.extend(rows.into_iter().map(|row| row.value.id.to_string()));
        if next.is_none() {
            return ids;
        }
        assert!(next > after, "{next:?} does not follow {after:?}");
        after = next;
    }
}

/// Ids of what is wanted, highest score first, then by id.
fn expected<'a>(
    estate: impl Iterator<Item = &'a Vulnerability>,
    filter: &VulnerabilityFilter,
) -> Vec<String> {
    let mut wanted: Vec<_> = estate.filter(|v| filter.matches(v)).collect();
    wanted.sort_by_key(|v| (std::cmp::Reverse(v.score.value), v.id.clone()));
    wanted.into_iter().map(|v| v.id.to_string()).collect()
}

#[tokio::test]
async fn filtered_pages_lose_nothing_and_repeat_nothing() {
    for seed in 0..2 {
        let store = store().await;
        let estate = estate(seed);
        fill(&store, &estate).await;
        for owners in [&OWNERS[..], &OWNERS[1..2], &["core", "unowned", "nobody"], &["nobody"]] {
            let owners: Vec<_> = owners.iter().map(|owner| (*owner).to_owned()).collect();
            for filter in filters() {
                let listed = |v: &Vulnerability| !matches!(v.status, Status::Fixed | Status::Gone);
                let theirs =
                    estate.iter().filter(|(a, v)| owners.contains(&a.owner) && listed(v)).map(|(_, v)| v);
                let (store, owners, filter) = (&store, &owners, &filter);
                let page = |after: Option<String>| async move {
                    store.vulnerabilities(owners, filter, after.as_deref(), 7).await.unwrap()
                };
                let found = walk(7, store, page).await;
                assert_eq!(found, expected(theirs, filter), "seed {seed}, {owners:?}, {filter:?}");
            }
        }
    }
}

#[tokio::test]
async fn high_scores_come_in_pages_too() {
    let store = store().await;
    let estate = estate(7);
    fill(&store, &estate).await;
    for filter in filters() {
        let (store, filter) = (&store, &filter);
        let high = estate.iter().map(|(_, v)| v).filter(|v| v.status.is_open() && v.score.value >= HIGH);
        let page = |after: Option<String>| async move {
            store.top_after(filter, after.as_deref(), 7).await.unwrap()
        };
        let expected = expected(high, filter);
        assert_eq!(walk(7, store, page).await, expected, "{filter:?}");
        let first: Vec<_> =
            store.top(filter, 3).await.unwrap().rows.into_iter().map(|r| r.value.id.to_string()).collect();
        assert_eq!(first, expected[..expected.len().min(3)]);
    }
}

#[tokio::test]
async fn a_list_that_changes_between_pages_still_ends() {
    let store = store().await;
    let estate = estate(3);
    fill(&store, &estate).await;
    let filter = VulnerabilityFilter::default();
    let owners: Vec<_> = OWNERS.iter().map(|owner| (*owner).to_owned()).collect();
    let page = store.vulnerabilities(&owners, &filter, None, 7).await.unwrap();
    for row in &page.rows {
        let (asset, _) = estate.iter().find(|(_, v)| v.id == row.value.id).unwrap();
        let fixed = Vulnerability { status: Status::Fixed, ..row.value.clone() };
        store.put_vulnerability(asset, &fixed, Some(1), HIGH).await.unwrap();
    }
    let rest = |after: Option<String>| {
        let (store, owners, filter, next) = (&store, &owners, &filter, page.next.clone());
        async move { store.vulnerabilities(owners, filter, after.or(next).as_deref(), 7).await.unwrap() }
    };
    let listed: BTreeSet<_> = walk(7, &store, rest).await.into_iter().collect();
    let open = estate.iter().filter(|(_, v)| v.status.is_open()).count();
    assert_eq!(listed.len(), open - page.rows.len());
}

#[tokio::test]
async fn assets_come_in_pages_by_owner() {
    let store = store().await;
    let mut assets: Vec<_> = (0..25).map(|i| asset(&format!("asset {i}"))).collect();
    for (i, asset) in assets.iter_mut().enumerate() {
        asset.owner = OWNERS[i % 2].to_owned();
        store.commit_asset(asset, None, &CounterDelta::default()).await.unwrap();
    }
    for owner in &OWNERS[..2] {
        let mut expected: Vec<_> = assets.iter().filter(|a| a.owner == *owner).cloned().collect();
        expected.sort_by(|a, b| a.id.cmp(&b.id));
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.assets(owner, after.as_deref(), 4).await.unwrap();
            for row in page.rows {
                assert_eq!(
                    (row.owner.as_str(), row.asset_name.as_str()),
                    (*owner, row.value.host.display_name())
                );
                found.push(row.value);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
    }
    assert!(store.assets("nobody", None, 4).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn an_export_has_everything_once_over_many_pages() {
    let store = store().await;
    let estate = estate(5);
    fill(&store, &estate).await;
    let assets: BTreeSet<_> = estate.iter().map(|(asset, _)| asset.id.clone()).collect();
    for (asset, _) in &estate[..60] {
        store.commit_asset(asset, None, &CounterDelta::default()).await.unwrap();
    }
    store
        .put_alias(&estate[0].0.id, &domain::VulnId::derive(&estate[0].0.id, "old"), &estate[0].1.id, None)
        .await
        .unwrap();
    let receiver = connector();
    let lease = jiff::SignedDuration::from_mins(1);
    store.reserve_delivery(&receiver, "k", "subject", noon(), lease, 5).await.unwrap();
    store.first_time(&receiver, "push", noon(), noon()).await.unwrap();
    // Manifests are big: more than one page of a scan.
    let entry = |hash| {
        (hash, Entry { digest: hash, state: EntryState::Open, kind: domain::FindingKind::Vulnerability })
    };
    let mut state = SightingState::default();
    state.manifest.entries = (0..18_000).map(entry).collect();
    for i in 0..5 {
        store.put_manifest(&sighting(&format!("host {i}")), &state).await.unwrap();
    }

    let (mut pages, mut next) = (0, None);
    let (mut found_assets, mut vulnerabilities, mut deliveries) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let page = store.export_page(next).await.unwrap();
        pages += 1;
        for item in page.items {
            match item {
                ExportItem::Asset(asset) => found_assets.push(asset.id),
                ExportItem::Vulnerability(v) => vulnerabilities.push(v.id.to_string()),
                ExportItem::Delivery(delivery) => deliveries.push(delivery.key),
            }
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert!(pages > 1, "{pages} page");
    found_assets.sort();
    assert_eq!(found_assets, assets.into_iter().collect::<Vec<_>>());
    vulnerabilities.sort();
    let mut all: Vec<_> = estate.iter().map(|(_, v)| v.id.to_string()).collect();
    all.sort();
    assert_eq!(vulnerabilities, all);
    assert_eq!(deliveries, ["k"]);
}
