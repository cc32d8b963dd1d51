//! The community's own Python client, unmodified, against the simulated Qualys: the simulator is not our opinion alone.

use std::path::Path;
use std::process::Command;

use queue::Trigger;
use serde_json::Value;

use crate::pytenable::{done, python};
use crate::site::{Setup, Site};
use crate::tls;

#[tokio::test]
async fn qualysdk_sees_what_our_client_sees() {
    let site = Site::start(Setup::new(40)).await;
    site.day(5);
    site.pull("qualys-demo", Trigger::Full).await;
    let run = site.last_run("qualys-demo").await;

    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    // It speaks to https addresses only.
    let certificate = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qualysdk.pem");
    let base = format!("https://127.0.0.1:{}", tls::before(site.port, &certificate).await);
    let output = tokio::task::spawn_blocking(move || {
        let script = tests.join("python/qualysdk_pull.py");
        let urls = [format!("{base}/qualys"), format!("{base}/qualys-gateway")];
        let mut client = Command::new(python(tests));
        client.env("REQUESTS_CA_BUNDLE", certificate);
        done("qualysdk_pull.py", client.arg(script).args(urls).output())
    })
    .await
    .unwrap();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings: u64 = seen["detections"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert!(seen["detections"]["Fixed"].as_u64() > Some(0), "{seen}");
    // It leaves out what somebody ignores in the scanner, which we ask for.
    assert!(findings > 0 && findings <= run.counts.received, "{seen}");
    assert_eq!(seen["hosts"].as_u64(), Some(run.counts.hosts), "{seen}");
    assert_eq!(seen["assets"], seen["hosts"], "{seen}");
    assert_eq!(seen["definitions"], seen["asked"], "{seen}");
    assert!(seen["groups"].as_array().unwrap().contains(&"Team payments".into()), "{seen}");
    assert_eq!(run.counts.refused, 0);
}
