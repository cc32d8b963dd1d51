//! Which hosts are scanned: counted from what scanners say, and from what one knows and another does not.

use std::collections::BTreeSet;

use domain::coverage::Gap;
use domain::{Covered, ScanOutcome};
use serde_json::Value;

use crate::site::{Setup, Site};

/// Ids of the assets that are there, and of those among them that a connector sees.
async fn recount(site: &Site, connector: &str) -> (usize, BTreeSet<String>) {
    let (mut total, mut seen) = (0, BTreeSet::new());
    for line in site.export().await {
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["type"] != "asset" || !line["gone"].is_null() {
            continue;
        }
        total += 1;
        let id: domain::AssetId = line["id"].as_str().unwrap().parse().unwrap();
        let asset = site.stack.observer().asset(&id).await.unwrap().unwrap().value;
        if asset.sightings.keys().any(|sighting| sighting.connector.as_str() == connector) {
            seen.insert(id.to_string());
        }
    }
    (total, seen)
}

#[tokio::test]
async fn coverage_is_what_scanners_say_and_what_they_do_not_know() {
    let cadence = "    type: qualys\n    scan_cadence: 30d\n";
    let streams = "data_streams: [assets, vulnerabilities";
    let setup = Setup::new(20).edit("    type: qualys\n", cadence).edit(streams, format!("{streams}, scans"));
    let site = Site::start(setup).await;
    site.sync().await;
    let store = site.stack.observer();
    let counts = store.asset_counts().await.unwrap();
    for name in ["qualys-demo", "tenable-demo"] {
        let (total, seen) = recount(&site, name).await;
        assert!(seen.len() < total, "every asset is known to {name}");
        let by_connector = counts.by_connector[name];
        assert_eq!((counts.total, by_connector), (total as i64, seen.len() as i64), "{name}");
        let coverage = store.coverage(&name.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(coverage.run, site.last_run(name).await.id);
        assert!(coverage.known() >= seen.len() as u64, "{coverage:?}");
        assert!(!coverage.hosts.contains_key(&Covered::Stale), "{coverage:?}");
    }
    let told = store.scan_jobs(&"tenable-demo".parse().unwrap()).await.unwrap().unwrap();
    let outcomes: Vec<_> = told.jobs.iter().map(|scan| (scan.name.as_str(), scan.outcome)).collect();
    assert_eq!((outcomes[0], outcomes.len()), (("Branch offices", ScanOutcome::Unfinished), 3));
    assert_eq!(store.scan_jobs(&"qualys-demo".parse().unwrap()).await.unwrap(), None, "it does not tell");
}

#[tokio::test]
async fn hosts_that_nobody_scans_become_stale_and_are_listed() {
    let cadence = "    type: qualys\n    scan_cadence: 1h\n";
    let site = Site::start(Setup::new(8).edit("    type: qualys\n", cadence)).await;
    site.sync().await;
    let coverage = site.stack.observer().coverage(&"qualys-demo".parse().unwrap()).await.unwrap().unwrap();
    assert!(coverage.amiss() > 0 && coverage.amiss() == coverage.known(), "{coverage:?}");
    let stale: Vec<&Gap> = coverage.gaps.iter().filter(|gap| gap.covered == Covered::Stale).collect();
    assert!(!stale.is_empty() && stale.is_sorted_by_key(|gap| gap.scanned_at), "{coverage:?}");
    let on_time = site.stack.observer().coverage(&"tenable-demo".parse().unwrap()).await.unwrap().unwrap();
    assert!(!on_time.hosts.contains_key(&Covered::Stale), "{on_time:?}");
}
