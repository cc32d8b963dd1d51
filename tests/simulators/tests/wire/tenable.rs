//! Tenable: exports to the end, duplicates, failures, filters.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::client::{Served, TENABLE, options, serve};

async fn start(served: &Served, kind: &str, request: Value) -> String {
    let answer = served.post(TENABLE, &format!("/tenable/{kind}/export"), &request.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["export_uuid"].as_str().unwrap().to_owned()
}

async fn poll(served: &Served, kind: &str, uuid: &str) -> Value {
    served.get(TENABLE, &format!("/tenable/{kind}/export/{uuid}/status")).await.json()
}

async fn finish(served: &Served, kind: &str, uuid: &str) -> Value {
    for _ in 0..5 {
        let status = poll(served, kind, uuid).await;
        if !["QUEUED", "PROCESSING"].contains(&status["status"].as_str().unwrap()) {
            return status;
        }
    }
    panic!("never finished");
}

async fn records(served: &Served, kind: &str, request: Value) -> Vec<Value> {
    let uuid = start(served, kind, request).await;
    let status = finish(served, kind, &uuid).await;
    let mut all = Vec::new();
    for chunk in status["chunks_available"].as_array().unwrap() {
        let chunk = served.get(TENABLE, &format!("/tenable/{kind}/export/{uuid}/chunks/{chunk}")).await;
        assert!(chunk.whole && chunk.status == 200);
        assert_eq!(chunk.header("content-type"), Some("application/octet-stream"));
        all.extend(chunk.json().as_array().unwrap().iter().cloned());
    }
    all
}

fn states(findings: &[Value]) -> BTreeMap<&str, usize> {
    let mut states = BTreeMap::new();
    for finding in findings {
        *states.entry(finding["state"].as_str().unwrap()).or_default() += 1;
    }
    states
}

fn key(finding: &Value) -> String {
    let part = |pointer: &str| finding.pointer(pointer).unwrap().to_string();
    ["/asset/uuid", "/plugin/id", "/port/port", "/port/protocol"].map(part).join(" ")
}

#[tokio::test]
async fn an_export_ends_with_every_finding_once() {
    let served = serve(options(130)).await;
    let findings =
        records(&served, "vulns", json!({ "num_assets": 10, "filters": { "since": 1_700_000_000 } })).await;
    let keys: BTreeSet<String> = findings.iter().map(key).collect();
    assert_eq!(keys.len(), findings.len());
    let expected: usize = served.world.estate.tenable_view(0).map(|(_, sightings)| sightings.len()).sum();
    assert_eq!(findings.len(), expected);
    assert_eq!(states(&findings).len(), 3);
    // Findings of several assets are mixed.
    let changes =
        findings.windows(2).filter(|pair| pair[0]["asset"]["uuid"] != pair[1]["asset"]["uuid"]).count();
    assert!(changes > findings.len() / 2);
    let finding =
        findings.iter().find(|finding| finding["plugin"]["epss_score"].as_f64() > Some(90.0)).unwrap();
    assert!(finding["indexed"].as_str().unwrap().ends_with('Z'));
    assert!(finding["asset"].as_object().unwrap().values().all(|value| !value.is_null()));
}

#[tokio::test]
async fn chunks_come_in_no_order_while_processing() {
    let served = serve(options(400)).await;
    let uuid = start(&served, "vulns", json!({ "num_assets": 1 })).await;
    let first = poll(&served, "vulns", &uuid).await;
    assert_eq!((&first["status"], &first["chunks_available"]), (&json!("QUEUED"), &json!([])));
    // 1 is out of range and becomes 50.
    assert_eq!(first["num_assets_per_chunk"], 50);
    let second = poll(&served, "vulns", &uuid).await;
    assert_eq!(second["status"], "PROCESSING");
    let some: Vec<u64> =
        second["chunks_available"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    let missing = (1..=second["total_chunks"].as_u64().unwrap()).find(|n| !some.contains(n)).unwrap();
    let chunk = |number: u64| format!("/tenable/vulns/export/{uuid}/chunks/{number}");
    assert_eq!(served.get(TENABLE, &chunk(missing)).await.status, 400);
    assert_eq!(served.get(TENABLE, &chunk(some[0])).await.status, 200);
    assert_eq!(served.get(TENABLE, &chunk(999)).await.status, 404);
    let last = poll(&served, "vulns", &uuid).await;
    assert_eq!(
        (&last["status"], &last["chunks_available_count"]),
        (&json!("FINISHED"), &last["total_chunks"])
    );
    let order: Vec<u64> =
        last["chunks_available"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert!(!order.is_sorted());
    served.post("", "/control/day?day=2", "").await;
    let expired = served.get(TENABLE, &chunk(some[0])).await;
    assert_eq!((expired.status, &expired.json()["message"]), (404, &json!("Export expired or not found")));
}

#[tokio::test]
async fn an_identical_running_export_is_a_conflict() {
    let served = serve(options(20)).await;
    let request = json!({ "filters": { "state": ["open"] } });
    let uuid = start(&served, "vulns", request.clone()).await;
    let again = served.post(TENABLE, "/tenable/vulns/export", &request.to_string()).await;
    assert_eq!((again.status, &again.json()["active_job_id"]), (409, &json!(uuid)));
    start(&served, "vulns", json!({ "filters": { "state": ["fixed"] } })).await;
    let cancel = served.post(TENABLE, &format!("/tenable/vulns/export/{uuid}/cancel"), "").await;
    assert_eq!(cancel.json()["status"], "CANCELLED");
    assert_ne!(start(&served, "vulns", request).await, uuid);
    let jobs = served.get(TENABLE, "/tenable/vulns/export/status").await.json();
    assert_eq!(jobs["exports"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn since_means_seen_or_fixed_since() {
    let served = serve(options(80)).await;
    let zero = served.world.clock.now().as_second();
    let before: BTreeSet<String> = {
        let all = records(&served, "vulns", json!({ "filters": { "since": zero - 300 * 86_400 } })).await;
        all.iter().filter(|finding| finding["state"] == "FIXED").map(key).collect()
    };
    served.post("", "/control/day?day=12", "").await;
    let delta = records(&served, "vulns", json!({ "num_assets": 5000, "filters": { "since": zero } })).await;
    let time =
        |finding: &Value, name: &str| finding[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    for finding in &delta {
        let name = if finding["state"] == "FIXED" { "last_fixed" } else { "last_found" };
        assert!(time(finding, name).as_second() >= zero);
    }
    assert_eq!(states(&delta).len(), 3);
    // What was fixed earlier is not told again.
    assert!(
        delta
            .iter()
            .filter(|finding| finding["state"] == "FIXED")
            .all(|finding| !before.contains(&key(finding)))
    );
    let default = records(&served, "vulns", json!({ "filters": {} })).await;
    assert!(!states(&default).contains_key("FIXED"));
    let indexed = records(&served, "vulns", json!({ "filters": { "indexed_at": zero + 11 * 86_400 } })).await;
    assert!(!indexed.is_empty());
    assert!(indexed.iter().all(|finding| time(finding, "indexed").as_second() >= zero + 11 * 86_400));
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let served = serve(options(5)).await;
    for (kind, request) in [
        ("vulns", json!({ "filters": { "last_found": 1_700_000_000 } })),
        (
            "vulns",
            json!({ "filters": { "since": 1_700_000_000, "last_found": 1_700_000_000, "state": ["open"] } }),
        ),
        ("vulns", json!({ "filters": { "since": 17 } })),
        ("vulns", json!({ "filters": { "state": ["gone"] } })),
        ("assets", json!({ "chunk_size": 99 })),
        ("assets", json!({})),
    ] {
        let answer = served.post(TENABLE, &format!("/tenable/{kind}/export"), &request.to_string()).await;
        assert_eq!(answer.status, 400, "{request}");
    }
    let wrong = served.get("x-apikeys: accessKey=a;secretKey=b\r\n", "/tenable/session").await;
    assert_eq!((wrong.status, &wrong.json()["error"]), (401, &json!("Unauthorized")));
    assert_eq!(served.world.received.refused().len(), 7);
}

#[tokio::test]
async fn an_export_can_end_in_error_with_usable_chunks() {
    let served = serve(options(400)).await;
    served.world.faults.set("tenable.status:export-error").unwrap();
    let uuid = start(&served, "vulns", json!({})).await;
    let status = finish(&served, "vulns", &uuid).await;
    assert_eq!(status["status"], "ERROR");
    let (good, rest) = (&status["chunks_available"], &status["chunks_cancelled"]);
    assert!(!good.as_array().unwrap().is_empty() && !rest.as_array().unwrap().is_empty());
    let chunk = format!("/tenable/vulns/export/{uuid}/chunks/{}", good[0]);
    assert_eq!(served.get(TENABLE, &chunk).await.status, 200);
}

#[tokio::test]
async fn a_finished_export_can_have_failed_chunks() {
    let served = serve(options(400)).await;
    served.world.faults.set("tenable.chunk:chunk-failed@0.5").unwrap();
    let uuid = start(&served, "vulns", json!({})).await;
    let status = finish(&served, "vulns", &uuid).await;
    assert_eq!(status["status"], "FINISHED");
    let failed = status["chunks_failed"].as_array().unwrap();
    assert!(!failed.is_empty() && failed.len() < status["total_chunks"].as_u64().unwrap() as usize);
    let chunk = format!("/tenable/vulns/export/{uuid}/chunks/{}", failed[0]);
    assert_eq!(served.get(TENABLE, &chunk).await.status, 404);
}

#[tokio::test]
async fn assets_say_who_they_are_and_when_they_went() {
    let served = serve(options(120)).await;
    let assets = records(&served, "assets", json!({ "chunk_size": 100 })).await;
    let expected = served.world.estate.tenable_view(0).count();
    assert_eq!(assets.len(), expected);
    assert!(
        assets
            .iter()
            .any(|asset| asset["aws_ec2_instance_id"].as_str().is_some_and(|id| id.starts_with("i-0")))
    );
    assert!(assets.iter().any(|asset| asset["bios_uuid"].is_string()));
    assert!(
        assets
            .iter()
            .all(|asset| asset["deleted_at"].is_null() && asset["tags"].as_array().unwrap().len() == 4)
    );
    served.post("", "/control/day?day=25", "").await;
    let gone = records(&served, "assets", json!({ "chunk_size": 100 })).await;
    let gone =
        gone.iter().filter(|asset| !asset["deleted_at"].is_null() || !asset["terminated_at"].is_null());
    assert!((1..6).contains(&gone.count()));
    let tagged =
        records(&served, "assets", json!({ "chunk_size": 100, "filters": { "tag.env": ["prod"] } })).await;
    assert!(!tagged.is_empty() && tagged.len() < assets.len());
}
