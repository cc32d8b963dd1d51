//! The integration API, simulated.

use std::collections::BTreeSet;

use domain::{FindingState, Severity};
use serde_json::json;
use simulators::insightvm::USER_KEY;
use sync::{Coverage, Scanner, SyncError};

use crate::support::*;

#[tokio::test]
async fn a_full_pass_brings_everything_and_proves_it() {
    let mut estate = estate(json!({"page_size": 30}), "").await;
    let done = estate.run().await;
    assert!(incomplete(&done).is_empty(), "{done:?}");
    assert_eq!((estate.sink.refused.len(), estate.failures), (0, 0));
    assert!(estate.world.received.refused().is_empty(), "{:?}", estate.world.received.refused());
    assert_eq!(estate.findings().len(), estate.expected());
    assert!(estate.sink.reports.iter().all(|report| report.coverage == Coverage::Whole));

    let pages = done.keys().filter(|id| id.starts_with("assets/")).count();
    assert_eq!(pages, estate.sink.inventory.len().div_ceil(30) + 1, "to the empty page and never past it");
    let last = done.values().find(|proof| proof.announced.is_some()).unwrap();
    assert_eq!(last.announced, Some(estate.sink.inventory.len() as u64));

    let tagged =
        |host: &&domain::Host| host.tags.iter().any(|tag| tag.key == "env") && host.criticality.is_some();
    assert!(estate.sink.inventory.iter().filter(tagged).count() > 50);
    assert!(estate.sink.inventory.iter().any(|host| !host.cloud.is_empty()));
    assert!(estate.sink.inventory.iter().any(|host| host.bios_uuid.is_some() && !host.agent_ids.is_empty()));
    assert!(estate.sink.rules.iter().any(|rule| !rule.cves.is_empty() && rule.solution.is_some()));
    assert!(estate.sink.rules.iter().any(|rule| rule.severity == Some(Severity::Critical)));
}

#[tokio::test]
async fn pitfall_15_definitions_are_asked_for_by_id_and_some_are_not_there() {
    let mut estate = estate(json!({}), "").await;
    estate.run().await;
    let used: BTreeSet<_> = estate
        .sink
        .reports
        .iter()
        .flat_map(|report| report.findings.iter().map(|f| f.rule.clone()))
        .collect();
    let defined: BTreeSet<_> = estate.sink.rules.iter().map(|rule| rule.id.clone()).collect();
    assert!(defined.is_subset(&used), "never the whole catalogue");
    assert!(!estate.sink.undefined.is_empty(), "nobody waits for what is not in the catalogue");
    let known: BTreeSet<_> = defined.union(&estate.sink.undefined).cloned().collect();
    assert_eq!(known, used);
    assert_eq!(estate.sink.rules.len(), defined.len(), "none twice");
    assert!(estate.sink.rescored.iter().all(|unit| unit.starts_with("assets/")));
}

#[tokio::test]
async fn an_incremental_pass_brings_what_is_new_and_what_is_gone() {
    let mut full = estate(json!({}), "").await;
    full.run().await;
    let mut part = estate(json!({}), "").await.since_days(3);
    let done = part.run().await;
    assert!(incomplete(&done).is_empty(), "{done:?}");
    assert!(part.sink.reports.iter().all(|report| report.coverage == Coverage::Part));
    let there: BTreeSet<_> = part.findings().into_iter().filter(|(.., there)| *there).collect();
    assert!(
        !there.is_empty() && there.is_subset(&full.findings()) && there.len() < full.findings().len() / 2
    );
    let fixed: Vec<_> = part
        .sink
        .reports
        .iter()
        .flat_map(|report| &report.findings)
        .filter(|finding| finding.state == FindingState::Fixed)
        .collect();
    assert!(!fixed.is_empty() && fixed.iter().all(|finding| finding.fixed_at.is_some()));
    let gone: BTreeSet<_> = part.findings().into_iter().filter(|(.., there)| !*there).collect();
    assert!(gone.iter().all(|(host, key, _)| !full.findings().contains(&(host.clone(), key.clone(), true))));
}

/// What an incremental pass calls gone is what a full pass before it called open: both give a finding the same key.
#[tokio::test]
async fn a_full_pass_and_the_changes_since_add_up_to_the_next_full_pass() {
    let mut before = estate(json!({}), "").await;
    let now = before.run.started_at;
    before.world.clock.advance(jiff::SignedDuration::from_hours(-72));
    before.run.started_at = before.world.clock.now();
    before.run().await;
    let mut changes = estate(json!({}), "").await;
    changes.run.mode = sync::Mode::Incremental { since: before.run.started_at };
    changes.run().await;
    let mut after = estate(json!({}), "").await;
    assert_eq!(after.run.started_at, now);
    after.run().await;

    let mut sum = before.findings();
    let removed: BTreeSet<_> = before
        .world
        .estate
        .view(simulators::estate::Scanner::Insightvm, now)
        .filter(|known| known.removed.is_some())
        .map(|known| format!("-{}", known.host.index))
        .collect();
    sum.retain(|(host, ..)| !removed.iter().any(|end| host.ends_with(end)));
    for (host, key, there) in changes.findings() {
        if there {
            sum.insert((host, key, true));
        } else {
            assert!(sum.remove(&(host, key.clone(), true)), "{key} was never open");
        }
    }
    assert_eq!(sum, after.findings());
}

#[tokio::test]
async fn pitfall_20_an_asset_that_is_gone_closes_nothing() {
    let mut later = estate(json!({}), "").await;
    let now = later.run.started_at;
    let gone: Vec<_> = later
        .world
        .estate
        .view(simulators::estate::Scanner::Insightvm, now)
        .filter(|known| known.removed.is_some())
        .map(|known| format!("-default-asset-{}", known.host.index))
        .collect();
    assert!(!gone.is_empty());
    later.run().await;
    let told = |id: &str| gone.iter().any(|end| id.ends_with(end));
    assert!(
        !later.sink.reports.iter().any(|report| told(&report.host.native)),
        "it is left out, not told clean"
    );
    assert!(!later.sink.inventory.iter().any(|host| told(&host.native)));
}

#[tokio::test]
async fn faults_that_pass_change_nothing() {
    let mut clean = estate(json!({"page_size": 30}), "").await;
    clean.run().await;
    for faults in [
        "insightvm:truncate~1",
        "insightvm:garbage~1",
        "insightvm:ratelimit~1",
        "insightvm:drop~1",
        "insightvm.assets:error=503~2,insightvm.vulnerabilities:error=500~1",
    ] {
        let mut troubled = estate(json!({"page_size": 30}), faults).await;
        let done = troubled.run().await;
        assert!(incomplete(&done).is_empty(), "{faults}: {done:?}");
        assert_eq!(troubled.findings(), clean.findings(), "{faults}");
        assert_eq!(troubled.sink.rules.len(), clean.sink.rules.len(), "{faults}");
    }
}

#[tokio::test]
async fn faults_that_stay_are_never_complete() {
    for faults in [
        "insightvm.assets:truncate",
        "insightvm.assets:garbage",
        "insightvm.assets:empty",
        "insightvm.assets:empty@0.5",
        "insightvm.assets:error=500",
        "insightvm.vulnerabilities:truncate",
        "insightvm.vulnerabilities:error=500",
    ] {
        let mut troubled = estate(json!({"page_size": 30}), faults).await;
        let done = troubled.run().await;
        assert!(!incomplete(&done).is_empty(), "{faults}: {done:?}");
    }
}

#[tokio::test]
async fn every_unit_may_be_worked_twice() {
    let mut once = estate(json!({"page_size": 30}), "").await;
    once.run().await;
    let mut twice = estate(json!({"page_size": 30}), "").await;
    twice.twice = true;
    let done = twice.run().await;
    assert!(incomplete(&done).is_empty(), "{done:?}");
    assert_eq!(twice.findings(), once.findings());
    assert_eq!(twice.sink.known, once.sink.known);
}

#[tokio::test]
async fn streams_that_are_not_pulled_are_not_asked_for() {
    let mut assets = estate(json!({"data_streams": ["assets"]}), "").await;
    let done = assets.run().await;
    assert!(done.keys().all(|id| id.starts_with("assets/")) && assets.sink.reports.is_empty());
    assert!(!assets.sink.inventory.is_empty());
    let mut findings = estate(json!({"data_streams": ["vulnerabilities"]}), "").await;
    findings.run().await;
    assert!(findings.sink.inventory.is_empty());
    assert!(
        findings.sink.reports.iter().all(|report| !report.host.ips.is_empty()),
        "then findings describe the host"
    );
}

#[tokio::test]
async fn check_tells_what_it_sees_and_why_it_cannot() {
    let good = estate(json!({}), "").await;
    let line = good.scanner.check().await.unwrap();
    assert!(line.contains("assets") && line.contains("right"), "{line}");
    let user = estate_with(json!({}), "", USER_KEY).await;
    assert!(user.scanner.check().await.is_ok());
    let wrong = estate_with(json!({}), "", "nobody").await;
    assert!(matches!(wrong.scanner.check().await, Err(SyncError::Unauthorized { .. })));
}
