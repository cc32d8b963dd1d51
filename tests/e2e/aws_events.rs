//! Findings of Amazon Inspector and AWS Security Hub, from the queue to the ticket.

use std::collections::BTreeMap;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use domain::vulnerability::TicketState;
use domain::{Asset, CloudId, Scanner, Severity, Status, Vulnerability};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::ExportItem;
use sync_aws::SyncAws;

use crate::site::{Setup, Site};

const INSTANCE: &str = "i-0feed";
const CVE: &str = "CVE-2026-1001";

async fn site() -> Site {
    let setup = Setup::new(4)
        .edit("\n\nfeeds:\n", "\n  - name: aws-demo\n    type: aws\n\nfeeds:\n")
        .edit("ticket_min_score: 700", "ticket_min_score: 0");
    Site::start(setup).await
}

/// What Inspector says `minute` minutes after `start`.
fn said(start: Timestamp, minute: i64, status: &str, changes: &[(&str, Value)]) -> Value {
    let at = start + SignedDuration::from_mins(minute);
    let mut event = json!({
        "version": "0", "id": format!("{status}-{minute}"), "detail-type": "Inspector2 Finding",
        "source": "aws.inspector2", "account": "111122223333", "region": "eu-central-1",
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "resources": [INSTANCE],
        "detail": {
            "awsAccountId": "111122223333", "type": "PACKAGE_VULNERABILITY", "title": format!("{CVE} - openssl"),
            "description": "A flaw.", "severity": "CRITICAL", "status": status, "exploitAvailable": "YES",
            "findingArn": "arn:aws:inspector2:eu-central-1:111122223333:finding/f1",
            "firstObservedAt": start.strftime("%a %b %d %H:%M:%S.000 UTC %Y").to_string(),
            "lastObservedAt": at.strftime("%a %b %d %H:%M:%S.000 UTC %Y").to_string(),
            "updatedAt": at.strftime("%a %b %d %H:%M:%S.500 UTC %Y").to_string(),
            "packageVulnerabilityDetails": {
                "vulnerabilityId": CVE, "relatedVulnerabilities": [],
                "cvss": [{ "baseScore": 9.8, "version": "3.1", "scoringVector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }],
                "vulnerablePackages": [{ "name": "openssl", "version": "3.0.1", "fixedInVersion": "3.0.2" }]
            },
            "resources": [{
                "id": INSTANCE, "type": "AWS_EC2_INSTANCE", "region": "eu-central-1", "tags": { "team": "web" },
                "details": { "awsEc2Instance": { "ipV4Addresses": ["10.9.9.9"], "platform": "UBUNTU_22_04" } }
            }]
        }
    });
    for (place, value) in changes {
        *event.pointer_mut(place).unwrap() = value.clone();
    }
    event
}

async fn hear(site: &Site, event: &Value) {
    site.stack.send("sync-aws", &event.to_string()).unwrap();
    site.drain().await;
}

async fn only(site: &Site) -> Vulnerability {
    let mut all = site.vulnerabilities().await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[tokio::test]
async fn a_finding_opens_a_ticket_and_closes_it_by_inspectors_own_word() {
    let site = site().await;
    let start = site.now() - SignedDuration::from_hours(2);
    hear(&site, &said(start, 0, "ACTIVE", &[])).await;
    let opened = only(&site).await;
    assert_eq!((opened.status, opened.severity), (Status::Identified, Severity::Critical));
    assert_eq!((opened.scanners.as_slice(), opened.cves[0].as_str()), (&[Scanner::Aws][..], CVE));
    assert_eq!(opened.title, format!("{CVE} - openssl"));
    assert_eq!(opened.factors.poc, Some(true), "Inspector knows of an exploit");
    let ticket = opened.ticket.clone().unwrap();
    assert_eq!(ticket.state, TicketState::Open);

    // At least once, and late.
    hear(&site, &said(start, 0, "ACTIVE", &[])).await;
    assert_eq!(only(&site).await, opened);
    hear(&site, &said(start, 10, "CLOSED", &[])).await;
    hear(&site, &said(start, 0, "ACTIVE", &[])).await;
    hear(&site, &said(start, 5, "ACTIVE", &[])).await;
    let fixed = only(&site).await;
    assert_eq!((&fixed.id, fixed.status), (&opened.id, Status::Fixed));
    assert_eq!(fixed.ticket.unwrap().state, TicketState::Closed);

    hear(&site, &said(start, 20, "ACTIVE", &[])).await;
    hear(&site, &said(start, 10, "CLOSED", &[])).await;
    let back = only(&site).await;
    assert_eq!((&back.id, back.status), (&opened.id, Status::Identified));
    assert_eq!(back.ticket.unwrap().key, ticket.key);
    assert_eq!(site.world.received.tickets().len(), 1);

    hear(&site, &said(start, 30, "SUPPRESSED", &[])).await;
    assert_eq!(only(&site).await.status, Status::Suppressed);
    assert!(site.stack.observer().runs(&"aws-demo".parse().unwrap(), 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_order_of_events_and_their_number_do_not_matter() {
    // Ends open, and ends closed.
    for last in ["ACTIVE", "CLOSED"] {
        let mut ends = Vec::new();
        for order in [vec![0, 1, 2], vec![2, 1, 0], vec![1, 1, 2, 0, 2, 0], vec![1, 0, 2, 1]] {
            let site = site().await;
            let start = site.now() - SignedDuration::from_hours(2);
            let severity = |word: &str| ("/detail/severity", json!(word));
            let before = if last == "ACTIVE" { "CLOSED" } else { "ACTIVE" };
            let events = [
                said(start, 0, "ACTIVE", &[severity("LOW")]),
                said(start, 10, before, &[severity("MEDIUM")]),
                said(start, 20, last, &[severity("HIGH")]),
            ];
            for index in &order {
                hear(&site, &events[*index]).await;
            }
            let open: Vec<_> =
                site.vulnerabilities().await.into_iter().filter(|v| v.status.is_open()).collect();
            let end: Vec<_> = open.iter().map(|v| (v.id.clone(), v.severity, v.title.clone())).collect();
            ends.push((order, end));
        }
        for (order, end) in &ends {
            assert_eq!(end, &ends[0].1, "{last} last, in the order {order:?}");
        }
        assert_eq!(ends[0].1.len(), usize::from(last == "ACTIVE"));
    }
}

#[tokio::test]
async fn inspector_and_another_scanner_speak_of_one_machine() {
    let site = site().await;
    site.sync().await;
    let assets = assets(&site).await;
    let everything = site.vulnerabilities().await;
    let (cloud, known) = everything
        .iter()
        .filter(|v| v.status.is_open() && v.cves.len() == 1)
        .find_map(|v| Some((assets[v.asset.as_str()].host.cloud.first()?, v)))
        .expect("the estate has a vulnerable instance");
    let CloudId { account: Some(account), region: Some(region), id, .. } = cloud else { panic!("{cloud:?}") };
    let changes = [
        ("/detail/awsAccountId", json!(account)),
        ("/detail/resources/0/region", json!(region)),
        ("/detail/resources/0/id", json!(id)),
        ("/detail/packageVulnerabilityDetails/vulnerabilityId", json!(known.cves[0])),
    ];
    let start = site.now() - SignedDuration::from_hours(1);
    hear(&site, &said(start, 0, "ACTIVE", &changes)).await;
    let find = async || site.vulnerabilities().await.into_iter().find(|v| v.id == known.id).unwrap();
    let merged = find().await;
    assert!(
        merged.scanners.contains(&Scanner::Aws) && merged.scanners.len() > known.scanners.len(),
        "{merged:?}"
    );
    assert_eq!(site.vulnerabilities().await.len(), everything.len(), "no second vulnerability");
    hear(&site, &said(start, 10, "CLOSED", &changes)).await;
    assert!(find().await.status.is_open(), "the other scanner still sees it");
}

async fn assets(site: &Site) -> BTreeMap<String, Asset> {
    let (mut all, mut next) = (BTreeMap::new(), None);
    loop {
        let page = site.stack.observer().export_page(next).await.unwrap();
        all.extend(page.items.into_iter().filter_map(|item| match item {
            ExportItem::Asset(asset) => Some((asset.id.to_string(), *asset)),
            _ => None,
        }));
        next = page.next;
        if next.is_none() {
            return all;
        }
    }
}

fn batch(bodies: &[String]) -> SqsEvent {
    let mut event = SqsEvent::default();
    for (index, body) in bodies.iter().enumerate() {
        let mut message = SqsMessage::default();
        message.message_id = Some(index.to_string());
        message.body = Some(body.clone());
        event.records.push(message);
    }
    event
}

async fn failures(site: &Site, event: SqsEvent) -> Vec<String> {
    let response = SyncAws::new(site.stack.services()).handle(event).await;
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

#[tokio::test]
async fn what_is_no_finding_is_dropped_and_what_cannot_be_read_comes_back_alone() {
    let site = site().await;
    let start = site.now() - SignedDuration::from_hours(1);
    let foreign = said(start, 0, "ACTIVE", &[("/source", json!("my.scanner"))]);
    let coverage = said(start, 0, "ACTIVE", &[("/detail-type", json!("Inspector2 Coverage"))]);
    let undated = said(start, 0, "ACTIVE", &[("/detail/updatedAt", json!("soon"))]);
    let bodies = [
        foreign.to_string(),
        coverage.to_string(),
        json!({ "connector": "aws-demo", "start": "full", "request": "somebody at some time" }).to_string(),
        undated.to_string(),
        "not json".to_owned(),
        said(start, 0, "ACTIVE", &[]).to_string(),
    ];
    assert_eq!(failures(&site, batch(&bodies)).await, ["3", "4"]);
    site.drain().await;
    assert_eq!(only(&site).await.status, Status::Identified, "the good one is written");
}

#[tokio::test]
async fn the_sample_events_are_taken_as_they_are() {
    for (sample, host) in [
        ("sync-aws.json", "000000000000/us-east-1/i-0123456789abcdef0"),
        ("sync-aws-security-hub.json", "arn:aws:s3:::sample-logs"),
    ] {
        let site = site().await;
        let text =
            std::fs::read_to_string(format!("{}/../events/{sample}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let event: SqsEvent = serde_json::from_str(&text).unwrap();
        assert_eq!(failures(&site, event).await, Vec::<String>::new(), "{sample}");
        site.drain().await;
        let vulnerability = only(&site).await;
        assert!(vulnerability.status.is_open(), "{sample}");
        assert_eq!(vulnerability.findings[0].sighting.native, host, "{sample}");
    }
}
