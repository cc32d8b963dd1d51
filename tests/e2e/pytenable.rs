//! The vendor's own Python client, unmodified, against the simulated Tenable: the simulator is not our opinion alone.

use std::path::Path;
use std::process::Command;

use queue::Trigger;
use serde_json::Value;
pub use tests::{done, python};

use crate::nessus;
use crate::site::{Setup, Site};

#[tokio::test]
async fn pytenable_sees_what_our_client_sees() {
    let site = Site::start(Setup::new(6)).await;
    site.day(5);
    site.pull("tenable-demo", Trigger::Full).await;
    let run = site.last_run("tenable-demo").await;

    let (tests, url) =
        (Path::new(env!("CARGO_MANIFEST_DIR")), format!("http://127.0.0.1:{}/tenable", site.port));
    let output = tokio::task::spawn_blocking(move || {
        let script = tests.join("python/pytenable_export.py");
        done("pytenable_export.py", Command::new(python(tests)).arg(script).arg(url).output())
    })
    .await
    .unwrap();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings: u64 = seen["vulns"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert!(seen["vulns"]["OPEN"].as_u64() > Some(0) && seen["vulns"]["FIXED"].as_u64() > Some(0), "{seen}");
    assert_eq!(findings, run.counts.received, "{seen}");
    assert_eq!(seen["assets"].as_u64(), Some(run.counts.hosts), "{seen}");
    assert_eq!(seen["assets_v2"], seen["assets"], "{seen}");
    let compliance = seen["compliance"].as_object().unwrap();
    assert!(compliance["FAILED"].as_u64() > Some(0) && compliance["PASSED"].as_u64() > Some(0), "{seen}");
    assert_eq!(run.counts.refused, 0);
}

#[tokio::test]
async fn pytenable_reads_from_the_simulated_nessus_what_our_client_reads() {
    let site = Site::start(nessus::with_nessus(Setup::new(30))).await;
    site.day(5);
    site.pull("nessus-demo", Trigger::Full).await;
    let run = site.last_run("nessus-demo").await;

    let (tests, url) =
        (Path::new(env!("CARGO_MANIFEST_DIR")), format!("http://127.0.0.1:{}/nessus", site.port));
    let output = tokio::task::spawn_blocking(move || {
        let script = tests.join("python/pytenable_nessus.py");
        done("pytenable_nessus.py", Command::new(python(tests)).arg(script).arg(url).output())
    })
    .await
    .unwrap();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items: u64 = seen["items"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert!(items > 0 && run.counts.refused == 0, "{seen}");
    assert_eq!((items, seen["hosts"].as_u64()), (run.counts.received, Some(run.counts.hosts)), "{seen}");
}
