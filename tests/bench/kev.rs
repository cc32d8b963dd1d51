//! A CVE of many assets comes into the KEV catalogue: what it takes until every one of them is decided anew.
//!
//! ```text
//! cargo bench --workspace --bench kev -- [ASSETS]
//! ```
//!
//! Every asset has one finding of one CVE. The feed is served by a server of this program; everything else is the
//! one-machine stack. Prints a JSON line for the import and one for the news: units by the table's own account, messages,
//! seconds.

#![allow(clippy::unwrap_used)] // a measurement that goes wrong must stop

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use domain::vulnerability::Statement;
use domain::{Host, Rule, RuleId, Scanner, Severity, SightingId};
use jiff::Timestamp;
use queue::{IntelMessage, QueueName, ScoreMessage};
use serde_json::{Value, json};
use store::RuleBook;
use vulnrelay::clock::StackClock;
use vulnrelay::secrets::LocalSecrets;
use vulnrelay::stack::{SECRET_PREFIX, Stack, StackConfig};

const NOW: &str = "2026-03-02T06:00:00Z";
const CVE: &str = "CVE-2026-1001";
/// Sightings of one message, as `sync` sends them.
const PART: usize = 25;

const CONFIG: &str = "
connectors:
  - { name: scans, type: nessus, via: files }
feeds:
  kev: http://127.0.0.1:PORT/kev.json
  epss: ''
  exploitdb: ''
  metasploit: ''
  nuclei: ''
  vulnrichment: ''
  nvd: ''
  allow_private_address: true
impact:
  - { match: {}, criticality: 3, exposure: internet }
";

fn catalogue(listed: &[&str]) -> Value {
    let rows: Vec<Value> = listed
        .iter()
        .map(|cve| {
            json!({
                "cveID": cve, "vulnerabilityName": "n", "dateAdded": "2026-03-02", "dueDate": "2026-03-16",
                "knownRansomwareCampaignUse": "Unknown",
            })
        })
        .collect();
    json!({ "dateReleased": NOW, "count": rows.len(), "vulnerabilities": rows })
}

fn rule() -> Rule {
    Rule {
        scanner: Scanner::Nessus,
        id: RuleId::new("1"),
        title: "A library can be made to run code".into(),
        cves: vec![CVE.parse().unwrap()],
        severity: Some(Severity::High),
        cvss: None,
        description: None,
        solution: None,
        patchable: Some(true),
        vendor_risk: None,
        exploit_available: None,
        modified: None,
    }
}

async fn see(stack: &Stack, number: usize, at: Timestamp) -> SightingId {
    let id = SightingId::new("scans".parse().unwrap(), format!("host-{number}"));
    let mut state = stack.observer().sighting_state(&id, true).await.unwrap();
    state.sighting.scan = Some(Host {
        native: format!("host-{number}"),
        fqdns: vec![format!("host-{number}.example.com")],
        last_scanned_at: Some(at),
        ..Host::default()
    });
    let finding = tests::open_finding("1|0", "1", Severity::High, at);
    stack.observer().write_statements(&id, &[Statement { finding, closing: None }]).await.unwrap();
    stack.observer().put_sighting(&id, &state, true).await.unwrap();
    id
}

/// Works everything and tells what it took.
async fn measured(stack: &Stack, what: &str, assets: usize) {
    let store = &stack.services().store;
    let (before, began) = (store.capacity().total(), Instant::now());
    let worked = stack.sources().unwrap().drain().await.unwrap();
    let (after, seconds) = (store.capacity().total(), began.elapsed().as_secs_f64());
    let (read, write) = (after.read_units - before.read_units, after.write_units - before.write_units);
    let messages: BTreeMap<&str, u64> = worked
        .iter()
        .map(|(queue, tally)| (queue.as_str(), tally.delivered))
        .filter(|(_, count)| *count > 0)
        .collect();
    let each = |units: f64| (units / assets as f64 * 100.0).round() / 100.0;
    println!(
        "{}",
        json!({
            "what": what, "assets": assets, "read_units": read.round(), "write_units": write.round(),
            "read_units_each": each(read), "write_units_each": each(write), "messages": messages,
            "seconds": seconds.round(),
        })
    );
}

#[tokio::main]
async fn main() {
    let assets = std::env::args().filter_map(|arg| arg.parse().ok()).next_back().unwrap_or(100_000);
    let served = Arc::new(Mutex::new(catalogue(&["CVE-2026-1000"])));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let feed = served.clone();
    let routes =
        Router::new().route("/kev.json", get(move || async move { feed.lock().unwrap().to_string() }));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });

    let text = CONFIG.replace("PORT", &port.to_string());
    let config = platform::parse_config("kev.yaml", &text).unwrap();
    let secrets = LocalSecrets::collect(&config, ("kev.yaml", &text), None, SECRET_PREFIX).unwrap();
    let now: Timestamp = NOW.parse().unwrap();
    let stack = Stack::start(StackConfig {
        data: None,
        config: ("kev.yaml".into(), text),
        author: "benchmark".into(),
        secrets: Arc::new(secrets),
        clock: Arc::new(StackClock::held(now)),
        engine: sync::EngineOptions::default(),
        http: sync::HttpOptions::default(),
        retry_delay: Duration::from_secs(2),
        connector: None,
        cloud: None,
        around: None,
    })
    .await
    .unwrap();
    let pull = |stack: &Stack| {
        let message = serde_json::to_string(&IntelMessage::feed(domain::intel::Feed::Kev)).unwrap();
        stack.send(QueueName::Intel.as_str(), &message).unwrap();
    };
    pull(&stack);
    measured(&stack, "the catalogue without it", assets).await;
    RuleBook::new(Scanner::Nessus).write(stack.observer(), &[rule()], &[]).await.unwrap();
    let mut part = Vec::with_capacity(PART);
    for number in 0..assets {
        part.push(see(&stack, number, now).await);
        if part.len() == PART || number + 1 == assets {
            let message = ScoreMessage { sightings: std::mem::take(&mut part), ..ScoreMessage::default() };
            stack.send(QueueName::Score.as_str(), &serde_json::to_string(&message).unwrap()).unwrap();
        }
    }
    measured(&stack, "the first decision on every asset", assets).await;
    *served.lock().unwrap() = catalogue(&["CVE-2026-1000", CVE]);
    pull(&stack);
    measured(&stack, "it is listed", assets).await;
    pull(&stack);
    measured(&stack, "the same catalogue again", assets).await;
}
