//! The function over an embedded table and a queue that remembers.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use domain::exposure::Reach;
use domain::exposure::firewall::{FirewallRule, RuleList};
use domain::identity::{Identifier, IdentifierKind};
use domain::policy::Config;
use domain::score::Exposure;
use domain::{Asset, AssetId};
use jiff::Timestamp;
use platform::telemetry::Kept;
use platform::{Clock, Metrics, Secrets, Services};
use queue::{ExposureMessage, Queue, QueueName, Trigger};
use serde_json::{Value, json};
use store::{CounterDelta, Store};
use sync_exposure::SyncExposure;

const NOW: &str = "2026-11-22T12:00:00Z";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }
}

struct Bench {
    store: Store,
    exposure: SyncExposure,
    sent: Arc<Mutex<Vec<(String, Value)>>>,
    broken: Arc<AtomicBool>,
}

macro_rules! client {
    ($sdk:ident, $endpoint:expr) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new("local", "local", None, None, "test"))
                .retry_config(RetryConfig::disabled())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .endpoint_url($endpoint)
                .build(),
        )
    };
}

async fn listen() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

impl Bench {
    /// With connectors in the scopes `default` and `paris`.
    async fn new() -> Self {
        let (listener, endpoint) = listen().await;
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let client = client!(aws_sdk_dynamodb, endpoint);
        store::create_table(&client, "test").await.unwrap();
        let store = Store::new(client, "test");

        let (listener, endpoint) = listen().await;
        let (sent, broken) =
            (Arc::<Mutex<Vec<(String, Value)>>>::default(), Arc::new(AtomicBool::new(false)));
        let (memory, fails) = (sent.clone(), broken.clone());
        let app = Router::new().fallback(move |body: Bytes| {
            let (memory, fails) = (memory.clone(), fails.clone());
            async move {
                if fails.load(Ordering::SeqCst) {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
                let body: Value = serde_json::from_slice(&body).unwrap();
                let queue = body["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                let entries = body["Entries"].as_array().unwrap();
                let bodies = entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap());
                let messages = bodies.map(|body| (queue.clone(), serde_json::from_str(body).unwrap()));
                memory.lock().unwrap().extend(messages);
                let ids: Vec<Value> = entries
                    .iter()
                    .map(|e| json!({ "Id": e["Id"], "MessageId": "m", "MD5OfMessageBody": "" }))
                    .collect();
                let answer = json!({ "Successful": ids, "Failed": [] }).to_string();
                ([("content-type", "application/x-amz-json-1.0")], answer).into_response()
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        let queues = QueueName::all().into_iter();
        let queues = queues.map(|name| (name, format!("{endpoint}/{}", name.as_str()))).collect();
        let config: Config = serde_json::from_value(json!({ "connectors": [
            { "name": "one", "type": "tenable", "base_url": "https://one.example" },
            { "name": "two", "type": "tenable", "base_url": "https://two.example", "scope": "paris" },
        ] }))
        .unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Fixed);
        let exposure = SyncExposure::new(&Services {
            store: store.clone(),
            queue: Queue::new(client!(aws_sdk_sqs, endpoint), queues),
            secrets: Secrets::new(
                client!(aws_sdk_secretsmanager, "http://127.0.0.1:1"),
                "vulnrelay/",
                clock.clone(),
            ),
            metrics: Metrics::new(Arc::new(Kept::default()), clock.clone()),
            clock,
            config: Arc::new(config),
            config_version: 1,
        });
        Self { store, exposure, sent, broken }
    }

    /// An asset of somebody with this address in this scope.
    async fn asset(&self, owner: &str, scope: &str, address: &str) -> AssetId {
        let id = AssetId::derive(&format!("{scope} {address}"));
        let mut asset = Asset { owner: owner.to_owned(), ..Asset::new(id.clone()) };
        asset.identifiers.insert(Identifier::new(IdentifierKind::Ip, scope, address));
        let mut delta = CounterDelta::default();
        delta.add_open(owner, "assets", 1);
        self.store.commit_asset(&asset, None, &delta).await.unwrap();
        id
    }

    async fn import(&self, scope: &str, rows: &[Value]) {
        let rules = (1..).zip(rows).map(|(place, row)| FirewallRule::read(row, place).unwrap()).collect();
        let now = NOW.parse().unwrap();
        self.store.put_firewall_rules(scope, &RuleList::new(rules), "ann", now).await.unwrap();
    }

    /// Runs the schedule and everything that it starts. Tells the assets that are to be scored.
    async fn run(&self) -> Vec<String> {
        let mut waiting = vec![ExposureMessage::start(Trigger::Scheduled)];
        let mut told = Vec::new();
        while let Some(message) = waiting.pop() {
            self.exposure.work(message).await.unwrap();
            for (queue, message) in std::mem::take(&mut *self.sent.lock().unwrap()) {
                if queue == "sync-exposure" {
                    waiting.push(serde_json::from_value(message).unwrap());
                } else {
                    let assets = message["assets"].as_array().unwrap().iter();
                    told.extend(assets.map(|asset| asset.as_str().unwrap().to_owned()));
                }
            }
        }
        told.sort();
        told
    }

    async fn reach(&self, id: &AssetId) -> Vec<Reach> {
        self.store.asset(id).await.unwrap().unwrap().value.reach
    }
}

fn allow(from: &str, to: &str) -> Value {
    json!({ "source": from, "destination": to, "protocol": "tcp", "ports": "443", "action": "allow" })
}

#[tokio::test]
async fn only_assets_of_which_something_else_is_shown_are_written_and_scored() {
    let bench = Bench::new().await;
    let web = bench.asset("payments", "default", "10.0.0.5").await;
    let other = bench.asset("data", "default", "10.0.1.5").await;
    assert_eq!(bench.run().await, Vec::<String>::new(), "nothing was imported yet");

    bench.import("default", &[allow("internet", "10.0.0.0/24")]).await;
    assert_eq!(bench.run().await, [web.to_string()]);
    let shown = bench.reach(&web).await;
    assert_eq!((shown[0].exposure, shown[0].seen_at), (Exposure::Internet, NOW.parse().unwrap()));
    assert_eq!(shown[0].path, "internet -> 10.0.0.5, tcp 443; firewall rule 1 allows it from internet");
    assert_eq!(bench.reach(&other).await, []);

    let before = bench.store.capacity().total().write_units;
    assert_eq!(bench.run().await, Vec::<String>::new());
    assert!((bench.store.capacity().total().write_units - before).abs() < f64::EPSILON, "nothing is written");

    bench.import("default", &[]).await;
    assert_eq!(bench.run().await, [web.to_string()]);
    assert_eq!(bench.reach(&web).await, []);
}

#[tokio::test]
async fn addresses_count_in_their_own_scope() {
    let bench = Bench::new().await;
    let here = bench.asset("payments", "default", "10.0.0.5").await;
    let there = bench.asset("payments", "paris", "10.0.0.5").await;
    bench.import("paris", &[allow("partner", "10.0.0.5")]).await;
    assert_eq!(bench.run().await, [there.to_string()]);
    assert_eq!(bench.reach(&here).await, []);
    assert_eq!(bench.reach(&there).await[0].source.to_string(), "the firewall rules of paris");
}

#[tokio::test]
async fn an_asset_whose_change_nobody_was_told_of_has_a_timer() {
    let bench = Bench::new().await;
    let web = bench.asset("payments", "default", "10.0.0.5").await;
    bench.import("default", &[allow("any", "any")]).await;
    bench.broken.store(true, Ordering::SeqCst);
    let message = serde_json::from_value(json!({ "firewall": { "owner": "payments" } })).unwrap();
    bench.exposure.work(message).await.unwrap_err();
    let asset = bench.store.asset(&web).await.unwrap().unwrap().value;
    assert_eq!(asset.reach[0].exposure, Exposure::Internet);
    assert!(asset.look_at.is_some_and(|at| at > NOW.parse().unwrap()));
}
