//! Beside hosts and weaknesses: what is on a host, how it complies, and what was purged.

use std::collections::BTreeSet;

use domain::{Asset, FindingKind, SightingId, Status};
use jiff::SignedDuration;
use queue::Trigger;
use store::{ExportItem, Verdict};

use crate::console::with_console;
use crate::insightvm::with_insightvm;
use crate::site::{Setup, Site};

const QUALYS: &str = "data_streams: [asset_inventory, knowledge_base, host_detections]";
const EVERYTHING: &str =
    "data_streams: [asset_inventory, tags, knowledge_base, host_detections, compliance_posture]";
const TENABLE: &str = "data_streams: [assets, vulnerabilities]";

async fn assets(site: &Site) -> Vec<Asset> {
    let (mut all, mut start) = (Vec::new(), None);
    loop {
        let page = site.stack.observer().export_page(start).await.unwrap();
        all.extend(page.items.into_iter().filter_map(|item| match item {
            ExportItem::Asset(asset) => Some(*asset),
            _ => None,
        }));
        start = page.next;
        if start.is_none() {
            return all;
        }
    }
}

async fn complete(site: &Site, connector: &str, trigger: Trigger) {
    site.pull(connector, trigger).await;
    let run = site.last_run(connector).await;
    assert_eq!(run.verdict, Some(Verdict::Complete), "{connector}: {:?}", run.reason);
    // The latest of two runs is told by the second in which it began.
    site.advance(SignedDuration::from_mins(10));
}

/// The findings of one kind that a sighting has, and how many of them have been closed.
async fn kinds(site: &Site, sighting: &SightingId, kind: FindingKind) -> (usize, usize) {
    let said = site.stack.observer().statements(sighting).await.unwrap().unwrap();
    let mut all: Vec<_> = said.statements.into_iter().filter(|s| s.finding.kind == kind).collect();
    let count = all.len();
    all.retain(|statement| statement.closing.is_some());
    (count, all.len())
}

#[tokio::test]
async fn both_scanners_tell_what_is_on_a_host_and_a_rescan_does_not_pay_for_it() {
    for gateway in [false, true] {
        let setup = Setup { gateway, ..Setup::new(8) };
        let site = Site::start(setup).await;
        for connector in ["tenable-demo", "qualys-demo"] {
            complete(&site, connector, Trigger::Full).await;
        }
        let store = site.stack.observer();
        let mut with_both = 0;
        for asset in assets(&site).await {
            let details = store.details(asset.sightings.keys()).await.unwrap();
            assert_eq!(details.len(), asset.sightings.len(), "{:?}", asset.sightings.keys());
            assert!(details.iter().all(|d| !d.software.is_empty() && d.network.is_some()), "{details:?}");
            with_both += usize::from(details.len() == 2);
        }
        assert!(with_both > 2, "{with_both}");
        for connector in ["tenable-demo", "qualys-demo"] {
            complete(&site, connector, Trigger::Full).await;
            let run = site.last_run(connector).await;
            assert_eq!((run.counts.written, run.counts.opened), (0, 0), "{connector}");
        }
    }
}

#[tokio::test]
async fn compliance_comes_beside_weaknesses_and_neither_closes_the_other() {
    let site = Site::start(
        Setup::new(12)
            .edit(QUALYS, EVERYTHING)
            .edit(TENABLE, "data_streams: [assets, vulnerabilities, compliance]"),
    )
    .await;
    for connector in ["tenable-demo", "qualys-demo"] {
        complete(&site, connector, Trigger::Full).await;
        complete(&site, connector, Trigger::Full).await;
    }
    for connector in ["tenable-demo", "qualys-demo"] {
        assert_eq!(
            site.last_run(connector).await.counts.written,
            0,
            "{connector}: the same again costs nothing"
        );
    }
    let mut compliance = 0;
    for asset in assets(&site).await {
        for sighting in asset.sightings.keys() {
            let (count, closed) = kinds(&site, sighting, FindingKind::Compliance).await;
            assert_eq!(closed, 0, "{sighting}: a page of detections says nothing of compliance");
            compliance += count;
        }
    }
    assert!(compliance > 40, "{compliance}");
    let failed = |all: &[domain::Vulnerability]| {
        all.iter().filter(|v| v.kind == FindingKind::Compliance && v.status != Status::Fixed).count()
    };
    let before = failed(&site.vulnerabilities().await);
    assert!(before > 5, "{before}");
    // What is set right is fixed by the scanner's own word.
    for day in [6, 12, 18, 24] {
        site.day(day);
        for connector in ["tenable-demo", "qualys-demo"] {
            complete(&site, connector, Trigger::Full).await;
        }
    }
    let all = site.vulnerabilities().await;
    let fixed = all.iter().filter(|v| v.kind == FindingKind::Compliance && v.status == Status::Fixed).count();
    assert!(fixed > 0, "{} failed, now {}", before, failed(&all));
}

#[tokio::test]
async fn pitfall_20_a_purged_host_is_gone_and_not_fixed() {
    // Of so many hosts two are removed within three weeks.
    for (connector, setup) in [
        ("qualys-demo", Setup::new(14)),
        ("insightvm-demo", with_insightvm(Setup::new(20), false)),
        ("insightvm-demo", with_insightvm(Setup::new(20), true)),
        ("console-demo", with_console(Setup::new(20), "report")),
        ("console-demo", with_console(Setup::new(20), "api")),
    ] {
        let site = Site::start(setup).await;
        complete(&site, connector, Trigger::Full).await;
        let known: BTreeSet<SightingId> =
            assets(&site).await.into_iter().flat_map(|asset| asset.sightings.into_keys()).collect();
        for day in [4, 8, 12, 17] {
            site.day(day);
            complete(&site, connector, Trigger::Full).await;
        }
        let mut purged = 0;
        for asset in assets(&site).await {
            for sighting in asset.sightings.keys().filter(|sighting| known.contains(*sighting)) {
                let said = site.stack.observer().statements(sighting).await.unwrap().unwrap();
                assert!(said.sighting.missing_since.is_none(), "{sighting}");
                if said.sighting.purged_at.is_some() {
                    purged += 1;
                    assert!(asset.gone_at.is_some(), "{sighting}");
                }
            }
        }
        assert!(purged > 0, "{connector}: nothing was purged in these days");
        let gone: Vec<_> =
            site.vulnerabilities().await.into_iter().filter(|v| v.status == Status::Gone).collect();
        assert!(!gone.is_empty(), "{connector}: what was open on a purged host is gone");
    }
}
