//! The Bulk Export, simulated.

use std::collections::BTreeSet;

use domain::FindingState;
use serde_json::json;
use simulators::insightvm::USER_KEY;
use sync::Coverage;

use crate::support::*;

fn bulk() -> serde_json::Value {
    json!({"via": "bulk_export"})
}

#[tokio::test]
async fn an_export_brings_everything_assets_first() {
    let mut estate = estate(bulk(), "").await;
    let done = estate.run().await;
    assert!(incomplete(&done).is_empty(), "{done:?}");
    assert_eq!((estate.sink.refused.len(), estate.failures), (0, 0));
    assert!(estate.world.received.refused().is_empty(), "{:?}", estate.world.received.refused());
    assert_eq!(estate.findings().len(), estate.expected());

    let rows: u64 = done
        .iter()
        .filter(|(id, _)| id.starts_with("export/vulnerabilities/"))
        .map(|(_, p)| p.received)
        .sum();
    assert_eq!(rows as usize, estate.expected());
    let parts = done.keys().filter(|id| id.starts_with("export/vulnerabilities/")).count();
    assert!(parts >= 8, "files and their row groups: {parts}");
    let inventory: BTreeSet<_> = estate.sink.inventory.iter().map(|host| host.native.clone()).collect();
    assert!(estate.sink.reports.iter().all(|report| inventory.contains(&report.host.native)));
    assert!(estate.sink.inventory.iter().any(|host| !host.cloud.is_empty() && host.criticality.is_some()));

    let findings: Vec<_> = estate.sink.reports.iter().flat_map(|report| &report.findings).collect();
    assert!(
        findings
            .iter()
            .all(|f| !f.source_severity.is_empty() && f.vendor_risk.is_some() && f.first_found.is_some())
    );
    assert!(findings.iter().any(|f| f.epss.is_some_and(|epss| epss > 0.5)));
    assert!(findings.iter().any(|f| f.exploit_available == Some(true)));
    assert!(findings.iter().any(|f| f.state == FindingState::Reopened));
    assert!(estate.sink.rules.iter().any(|rule| rule.solution.is_some() && !rule.cves.is_empty()));
}

#[tokio::test]
async fn an_export_proves_no_absence_and_tells_what_was_removed() {
    let mut estate = estate(bulk(), "").await;
    estate.run().await;
    assert!(estate.sink.reports.iter().all(|report| report.coverage == Coverage::Part));
    assert!(estate.sink.reports.iter().flat_map(|r| &r.findings).all(|f| f.state != FindingState::Fixed));
    let fixes = &estate.sink.fixes;
    assert!(!fixes.is_empty());
    assert!(fixes.iter().all(|fix| fix.first_found.is_some() && fix.evidence.is_some()));
    // What is gone is not there at the same time.
    let there: BTreeSet<_> = estate
        .sink
        .reports
        .iter()
        .flat_map(|report| report.findings.iter().map(|f| (report.host.native.clone(), f.rule.clone())))
        .collect();
    let both = fixes.iter().filter(|fix| there.contains(&(fix.host.clone(), fix.rule.clone()))).count();
    assert_eq!(both, 0);
}

#[tokio::test]
async fn what_was_removed_is_told_as_it_was_told_when_it_was_there() {
    let mut before = estate(bulk(), "").await;
    before.world.clock.advance(jiff::SignedDuration::from_hours(-24 * 10));
    before.run.started_at = before.world.clock.now();
    before.run().await;
    let mut after = estate(bulk(), "").await.since_days(10);
    after.run().await;
    let still = after.findings();
    let mut closed = 0;
    for report in &before.sink.reports {
        for finding in &report.findings {
            let key = (report.host.native.clone(), finding.key.as_str().to_owned(), true);
            let about = |fix: &&sync::Fix| fix.host == report.host.native && fix.is_about(finding);
            let fixed = after.sink.fixes.iter().any(|fix| about(&fix));
            assert!(!(fixed && still.contains(&key)), "{key:?}");
            closed += usize::from(fixed);
        }
    }
    assert!(closed > 0, "removals match findings of the run before");
}

#[tokio::test]
async fn faults_that_pass_change_nothing() {
    let mut clean = estate(bulk(), "").await;
    clean.run().await;
    for faults in [
        "insightvm:truncate~1",
        "insightvm:garbage~1",
        "insightvm:ratelimit~1",
        "insightvm:drop~1",
        "insightvm.export:error=503~2,insightvm.status:error=500~1,insightvm.file:error=503~1",
        "insightvm.file:expired~1",
    ] {
        let mut troubled = estate(bulk(), faults).await;
        let done = troubled.run().await;
        assert!(incomplete(&done).is_empty(), "{faults}: {:?}", incomplete(&done));
        assert_eq!(troubled.findings(), clean.findings(), "{faults}");
    }
}

#[tokio::test]
async fn faults_that_stay_are_never_complete() {
    for faults in [
        "insightvm.export:error=500",
        "insightvm.status:export-error",
        "insightvm.status:garbage",
        "insightvm.file:truncate",
        "insightvm.file:garbage",
        "insightvm.file:expired",
        "insightvm.file:error=500",
    ] {
        let mut troubled = estate(bulk(), faults).await;
        let done = troubled.run().await;
        assert!(!incomplete(&done).is_empty(), "{faults}: {done:?}");
    }
}

#[tokio::test]
async fn every_unit_may_be_worked_twice() {
    let mut once = estate(bulk(), "").await;
    once.run().await;
    let mut twice = estate(bulk(), "").await;
    twice.twice = true;
    let done = twice.run().await;
    assert!(incomplete(&done).is_empty(), "{done:?}");
    assert_eq!(twice.findings(), once.findings());
}

#[tokio::test]
async fn a_key_without_the_right_is_told_so() {
    let mut estate = estate_with(bulk(), "", USER_KEY).await;
    let done = estate.run().await;
    let reasons = incomplete(&done);
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("Platform Admin") && estate.failures == 1, "{reasons:?}");
}

#[tokio::test]
async fn long_gaps_are_asked_for_in_spans_of_31_days() {
    let mut estate = estate(bulk(), "").await.since_days(100);
    let done = estate.run().await;
    assert!(incomplete(&done).is_empty(), "{done:?}");
    assert!(estate.world.received.refused().is_empty(), "{:?}", estate.world.received.refused());
    assert_eq!(
        done.keys().filter(|id| id.starts_with("export/removed-") && id.ends_with("/start")).count(),
        4
    );
}
