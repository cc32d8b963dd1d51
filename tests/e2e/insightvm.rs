//! InsightVM through the whole system: what it says of a finding is what becomes of it, by the integration API and by
//! the Bulk Export.

use std::collections::BTreeMap;

use domain::Status;
use domain::vulnerability::Evidence;
use jiff::SignedDuration;
use queue::Trigger;
use store::Verdict;

use crate::site::{Setup, Site};

const API: &str = "\n  - name: insightvm-demo\n    type: insightvm\n    base_url: http://127.0.0.1:PORT/insightvm\n    \
    auth: { method: api_key, key: \"${SIMULATED_INSIGHTVM_KEY}\" }\n    page_size: 5\n    full_interval: 30d\n    allow_private_address: true";
const BULK: &str = "\n    via: bulk_export";

/// The demo with InsightVM, by its integration API or by the Bulk Export.
pub fn with_insightvm(setup: Setup, bulk: bool) -> Setup {
    setup.edit("\n\nfeeds:\n", format!("{API}{}\n\nfeeds:\n", if bulk { BULK } else { "" }))
}

/// Only InsightVM is pulled.
async fn site(bulk: bool) -> Site {
    Site::start(with_insightvm(Setup::new(16), bulk)).await
}

async fn count(site: &Site) -> BTreeMap<Status, usize> {
    let mut statuses = BTreeMap::new();
    for vulnerability in site.vulnerabilities().await {
        *statuses.entry(vulnerability.status).or_default() += 1;
    }
    statuses
}

async fn complete(site: &Site, trigger: Trigger) -> store::RunRecord {
    site.pull("insightvm-demo", trigger).await;
    let run = site.last_run("insightvm-demo").await;
    assert_eq!(run.verdict, Some(Verdict::Complete), "{:?}", run.reason);
    assert_eq!(run.counts.refused, 0);
    // The latest of two runs is told by the second in which it began.
    site.advance(SignedDuration::from_mins(10));
    run
}

/// Closings of the table by their evidence.
async fn evidence(site: &Site) -> Vec<Evidence> {
    let store = &site.stack.services().store;
    let connector = "insightvm-demo".parse().unwrap();
    let run = site.last_run("insightvm-demo").await;
    let mut evidence = Vec::new();
    for native in store.hosts(&connector, &run.id).await.unwrap() {
        let sighting = domain::SightingId::new(connector.clone(), native);
        let stated = store.statements(&sighting).await.unwrap().unwrap();
        evidence
            .extend(stated.statements.into_iter().filter_map(|s| s.closing).map(|closing| closing.evidence));
    }
    evidence
}

#[tokio::test]
async fn changes_close_and_a_full_pass_finds_nothing_left_to_do() {
    let site = site(false).await;
    let first = complete(&site, Trigger::Full).await;
    assert!(first.counts.opened > 0);
    let open = count(&site).await;
    assert!(open[&Status::Identified] > 100, "{open:?}");
    let severities: std::collections::BTreeSet<_> =
        site.vulnerabilities().await.iter().map(|v| v.severity).collect();
    assert!(severities.len() >= 3, "the definitions' severities count: {severities:?}");

    let again = complete(&site, Trigger::Full).await;
    assert_eq!((again.counts.written, again.counts.opened), (0, 0), "unchanged is free");

    site.day(9);
    let changes = complete(&site, Trigger::Scheduled).await;
    assert!(changes.counts.closed > 0 && changes.counts.opened > 0, "{:?}", changes.counts);
    assert!(evidence(&site).await.contains(&Evidence::ScannerSaysFixed));
    assert!(count(&site).await[&Status::Fixed] > 0);
    let full = complete(&site, Trigger::Full).await;
    assert_eq!((full.counts.opened, full.counts.closed), (0, 0), "{:?}", full.counts);
}

#[tokio::test]
async fn a_full_pass_alone_closes_by_absence() {
    let site = site(false).await;
    complete(&site, Trigger::Full).await;
    site.day(9);
    let full = complete(&site, Trigger::Full).await;
    assert!(full.counts.closed > 0);
    assert!(evidence(&site).await.iter().all(|evidence| *evidence == Evidence::AbsentFromReport));
}

#[tokio::test]
async fn an_export_closes_by_the_word_of_the_remediations_alone() {
    let site = site(true).await;
    let first = complete(&site, Trigger::Full).await;
    assert!(first.counts.opened > 0 && first.counts.closed == 0);
    let again = complete(&site, Trigger::Full).await;
    assert_eq!((again.counts.written, again.counts.opened), (0, 0), "unchanged is free");

    site.day(9);
    let later = complete(&site, Trigger::Full).await;
    assert!(later.counts.closed > 0, "{:?}", later.counts);
    assert!(evidence(&site).await.iter().all(|evidence| *evidence == Evidence::ScannerSaysFixed));
    assert!(count(&site).await[&Status::Fixed] > 0);

    // What the export names is open, what it no longer names and what was remediated is not.
    let store = &site.stack.services().store;
    let connector: domain::ConnectorName = "insightvm-demo".parse().unwrap();
    let mut open = 0;
    for native in store.hosts(&connector, &later.id).await.unwrap() {
        let sighting = domain::SightingId::new(connector.clone(), native);
        let stated = store.statements(&sighting).await.unwrap().unwrap();
        open += stated.statements.iter().filter(|s| s.closing.is_none()).count();
    }
    let now = site.world.clock.at(9);
    let known = site.world.estate.view(simulators::estate::Scanner::Insightvm, now);
    let expected: usize = known
        .filter(|known| known.removed.is_none())
        .flat_map(|known| known.sightings())
        .filter(|s| s.state != simulators::estate::State::Fixed && !s.weakness.is_information())
        .count();
    assert_eq!(open, expected);
}
