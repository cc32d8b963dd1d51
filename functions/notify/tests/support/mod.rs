//! The function on an embedded table, with simulated outside systems, a queue and secrets that only remember, and a
//! clock that is moved by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use axum::http::HeaderMap;
use axum::{Json, Router, routing::post};
use domain::{Asset, Vulnerability};
use jiff::{SignedDuration, Timestamp};
use platform::telemetry::Kept;
use platform::{Clock, Metrics, Secrets, Services};
use queue::{EffectMessage, Queue, QueueName};
use serde_json::{Value, json};
use simulators::{World, aws_client};
use store::{CounterDelta, Delivery, Store};
use tokio::net::TcpListener;

pub const NOW: &str = "2026-11-22T10:05:00Z";

/// A clock that stands until it is moved.
pub struct ManualClock(Mutex<Timestamp>);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// What the function sent to its queues, and its secrets.
#[derive(Default)]
struct Aws {
    sent: Mutex<Vec<(Value, i64)>>,
    secrets: Mutex<BTreeMap<String, Value>>,
}

/// Everything around the function.
pub struct Bench {
    pub services: Services,
    pub world: Arc<World>,
    /// Where the simulated systems are.
    pub base: String,
    clock: Arc<ManualClock>,
    aws: Arc<Aws>,
    pub metrics: Arc<Kept>,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

/// SQS and Secrets Manager, as far as the function uses them.
async fn answer(aws: Arc<Aws>, headers: HeaderMap, body: String) -> Json<Value> {
    let body: Value = serde_json::from_str(&body).unwrap();
    let target = headers["x-amz-target"].to_str().unwrap();
    if target.ends_with("GetSecretValue") {
        let name = body["SecretId"].as_str().unwrap();
        let value = aws.secrets.lock().unwrap().get(name).cloned().unwrap_or_default();
        return Json(json!({ "Name": name, "SecretString": value.to_string() }));
    }
    assert_eq!(target, "AmazonSQS.SendMessageBatch");
    let mut done = Vec::new();
    for entry in body["Entries"].as_array().unwrap() {
        let message = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        aws.sent.lock().unwrap().push((message, entry["DelaySeconds"].as_i64().unwrap_or(0)));
        done.push(json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" }));
    }
    Json(json!({ "Successful": done, "Failed": [] }))
}

impl Bench {
    /// `config`: the document, given the address of the simulated systems.
    pub async fn new(config: impl FnOnce(&str) -> String) -> Self {
        let world = World::new(simulators::Options::new(7, 3, NOW.parse().unwrap()));
        let (listener, base) = listen().await;
        tokio::spawn(simulators::serve(world.clone(), listener));

        let aws = Arc::<Aws>::default();
        let (listener, aws_address) = listen().await;
        let shared = aws.clone();
        let handler = move |headers: HeaderMap, body: String| answer(shared.clone(), headers, body);
        let router = Router::new().fallback(post(handler));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let (listener, table_address) = listen().await;
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let table = aws_client!(aws_sdk_dynamodb, &table_address);
        store::create_table(&table, "test").await.unwrap();

        let clock = Arc::new(ManualClock(Mutex::new(NOW.parse().unwrap())));
        let metrics = Arc::new(Kept::default());
        let config = platform::parse_config("test", &config(&base)).unwrap();
        let queues = [QueueName::Notify, QueueName::Ticket, QueueName::Score];
        let queues = queues.map(|name| (name, format!("{aws_address}/{}", name.as_str())));
        let services = Services {
            store: Store::new(table, "test"),
            queue: Queue::new(aws_client!(aws_sdk_sqs, &aws_address), queues.into()),
            secrets: Secrets::new(aws_client!(aws_sdk_secretsmanager, &aws_address), "", clock.clone()),
            metrics: Metrics::new(metrics.clone(), clock.clone()),
            clock: clock.clone(),
            config: Arc::new(config),
            config_version: 1,
        };
        Self { services, world, base, clock, aws, metrics }
    }

    pub fn store(&self) -> &Store {
        &self.services.store
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn pass(&self, seconds: i64) {
        *self.clock.0.lock().unwrap() += SignedDuration::from_secs(seconds);
    }

    pub fn secret(&self, owner: &str, value: Value) {
        self.aws.secrets.lock().unwrap().insert(owner.to_owned(), value);
    }

    /// Takes the messages that were sent, with their delays in seconds.
    pub fn sent(&self) -> Vec<(Value, i64)> {
        std::mem::take(&mut *self.aws.sent.lock().unwrap())
    }

    pub async fn put(&self, asset: &Asset, vulnerabilities: &[Vulnerability]) {
        for vulnerability in vulnerabilities {
            self.store().put_vulnerability(asset, vulnerability, None, 700).await.unwrap();
        }
        self.store().commit_asset(asset, None, &CounterDelta::default()).await.unwrap();
    }

    /// The day's deliveries.
    pub async fn deliveries(&self) -> Vec<Delivery> {
        let day = NOW[..10].parse().unwrap();
        self.store().deliveries(day, 100).await.unwrap()
    }
}

/// A batch with this one message.
pub fn event(message: &EffectMessage) -> SqsEvent {
    let mut record = SqsMessage::default();
    record.message_id = Some("1".to_owned());
    record.body = Some(serde_json::to_string(message).unwrap());
    let mut event = SqsEvent::default();
    event.records.push(record);
    event
}

/// An asset called `name`.
pub fn asset(number: u64, name: &str) -> Asset {
    serde_json::from_value(json!({
        "id": format!("a-{number:016x}"),
        "host": { "asset_key": "1", "fqdns": [name], "ips": ["10.0.0.1"] },
        "identifiers": [], "sightings": {}, "owner": "payments",
    }))
    .unwrap()
}

/// An open critical vulnerability of that asset.
pub fn vulnerability(number: u64, asset: &Asset) -> Vulnerability {
    serde_json::from_value(json!({
        "id": format!("v-{number:016x}"),
        "asset": asset.id,
        "title": format!("OpenSSH <= 9.{number} remote code execution"),
        "cves": [format!("CVE-2026-{number:04}")],
        "findings": [{ "sighting": "qualys-prod/1", "finding": "f1", "rule": "38739" }],
        "scanners": ["qualys"],
        "severity": "critical",
        "status": "identified",
        "score": { "value": 900, "band": "critical", "assumed": [], "contributions": {
            "severity": 95, "exploit": 200, "epss": 200, "threat": 0, "criticality": 80, "exposure": 100,
            "convergence": 0, "active_exploitation": 225 } },
        "factors": {},
        "events": [{ "at": "2026-11-01T00:00:00Z", "event": "detected", "severity": "critical" }],
        "due": "2026-12-01T00:00:00Z",
        "known_since": "2026-11-01T00:00:00Z",
    }))
    .unwrap()
}
