//! Functions over an embedded table, with queues that only remember and a clock that is moved by hand.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Json, Router, routing::post};
use domain::AssetId;
use jiff::{SignedDuration, Timestamp};
use platform::telemetry::Kept;
use platform::{Clock, Metrics, Secrets, Services};
use queue::{Queue, QueueName};
use serde_json::{Value, json};
use simulators::aws_client;
use store::{Store, keys::Key};
use tokio::net::TcpListener;

/// A clock that stands until it is moved.
struct ManualClock(Mutex<Timestamp>);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Everything around a function.
pub struct Bench {
    pub services: Services,
    table: aws_sdk_dynamodb::Client,
    clock: Arc<ManualClock>,
    sent: Arc<Mutex<Vec<Value>>>,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

/// SQS, as far as functions use it.
async fn answer(sent: Arc<Mutex<Vec<Value>>>, body: String) -> Json<Value> {
    let body: Value = serde_json::from_str(&body).unwrap();
    let mut done = Vec::new();
    for entry in body["Entries"].as_array().unwrap() {
        sent.lock().unwrap().push(serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap());
        done.push(json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" }));
    }
    Json(json!({ "Successful": done, "Failed": [] }))
}

impl Bench {
    /// With this configuration, at this moment.
    pub async fn new(config: &str, now: &str) -> Self {
        let sent = Arc::<Mutex<Vec<Value>>>::default();
        let (listener, queues) = listen().await;
        let memory = sent.clone();
        let router = Router::new().fallback(post(move |body: String| answer(memory.clone(), body)));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let (listener, address) = listen().await;
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let table = aws_client!(aws_sdk_dynamodb, &address);
        store::create_table(&table, "test").await.unwrap();

        let clock = Arc::new(ManualClock(Mutex::new(now.parse().unwrap())));
        let names = QueueName::all().into_iter().map(|name| (name, format!("{queues}/{}", name.as_str())));
        let services = Services {
            store: Store::new(table.clone(), "test"),
            queue: Queue::new(aws_client!(aws_sdk_sqs, &queues), names.collect()),
            secrets: Secrets::new(aws_client!(aws_sdk_secretsmanager, &queues), "", clock.clone()),
            metrics: Metrics::new(Arc::new(Kept::default()), clock.clone()),
            clock: clock.clone(),
            config: Arc::new(platform::parse_config("test", config).unwrap()),
            config_version: 1,
        };
        Self { services, table, clock, sent }
    }

    pub fn store(&self) -> &Store {
        &self.services.store
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn pass(&self, time: SignedDuration) {
        *self.clock.0.lock().unwrap() += time;
    }

    /// Takes the messages that were sent.
    pub fn sent(&self) -> Vec<Value> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    /// Write units so far.
    pub fn written(&self) -> f64 {
        self.store().capacity().total().write_units
    }

    /// Assets with something due on the day of this moment.
    pub async fn due(&self, at: Timestamp) -> Vec<AssetId> {
        let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        self.store().due(day, at).await.unwrap().assets.into_iter().collect()
    }

    /// Puts an item that has nothing but its key.
    pub async fn spoil(&self, key: &Key) {
        let text = AttributeValue::S;
        self.table
            .put_item()
            .table_name("test")
            .item("pk", text(key.pk.clone()))
            .item("sk", text(key.sk.clone()))
            .send()
            .await
            .unwrap();
    }

    /// Puts an item under a timer that nothing follows from, as earlier versions left it.
    pub async fn mistime(&self, key: &Key, at: Timestamp) {
        let id = key.sk.strip_prefix("V#").or(key.pk.strip_prefix("A#")).unwrap();
        let text = AttributeValue::S;
        self.table
            .update_item()
            .table_name("test")
            .key("pk", text(key.pk.clone()))
            .key("sk", text(key.sk.clone()))
            .update_expression("SET w = :w, ws = :ws")
            .expression_attribute_values(":w", text(store::keys::timer_of(at, id)))
            .expression_attribute_values(":ws", text(store::keys::timer_sort(at, id)))
            .send()
            .await
            .unwrap();
    }
}
