//! The systems around the function: an embedded table, and doubles of SQS and Secrets Manager that can be told to fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use platform::{Clock, Secrets};
use queue::{Queue, QueueName};
use serde_json::{Value, json};
use simulators::aws_client;
use store::Store;

/// Queues and secrets, in one listener.
#[derive(Default)]
pub struct Doubles {
    /// Messages by the last part of their queue's address.
    pub sent: Mutex<Vec<(String, Value)>>,
    /// Whether SQS answers with an error.
    pub queue_fails: AtomicBool,
    /// Secrets by name.
    pub secrets: Mutex<BTreeMap<String, Value>>,
}

/// A clock that stands still until it is set.
pub struct HandClock(pub AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// An empty table.
pub async fn table() -> Store {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let database = dynoxide::Database::memory().unwrap();
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    let client = aws_client!(aws_sdk_dynamodb, endpoint);
    store::create_table(&client, "test").await.unwrap();
    Store::new(client, "test")
}

impl Doubles {
    /// Starts the listener; gives the doubles with a queue and secrets that use them.
    pub async fn start(clock: Arc<dyn Clock>) -> (Arc<Self>, Queue, Secrets) {
        let doubles = Arc::new(Self::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = doubles.clone();
        let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let state = state.clone();
            async move { state.answer(&headers, &body) }
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let addresses = QueueName::all()
            .into_iter()
            .map(|name| (name, format!("{endpoint}/queue/{}", name.as_str())))
            .collect();
        let queue = Queue::new(aws_client!(aws_sdk_sqs, endpoint.clone()), addresses);
        let secrets = Secrets::new(aws_client!(aws_sdk_secretsmanager, endpoint), "vulnrelay/", clock);
        (doubles, queue, secrets)
    }

    fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let target = headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap();
        match target {
            "AmazonSQS.SendMessageBatch" if !self.queue_fails.load(Ordering::SeqCst) => {
                let queue = body["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                let entries = body["Entries"].as_array().unwrap();
                for entry in entries {
                    let message = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
                    self.sent.lock().unwrap().push((queue.clone(), message));
                }
                let done: Vec<Value> = entries
                    .iter()
                    .map(|e| json!({ "Id": e["Id"], "MessageId": "m", "MD5OfMessageBody": "0" }))
                    .collect();
                json_answer(StatusCode::OK, &json!({ "Successful": done, "Failed": [] }))
            }
            "secretsmanager.GetSecretValue" => {
                match self.secrets.lock().unwrap().get(body["SecretId"].as_str().unwrap()) {
                    Some(secret) => {
                        json_answer(StatusCode::OK, &json!({ "SecretString": secret.to_string() }))
                    }
                    None => json_answer(
                        StatusCode::BAD_REQUEST,
                        &json!({ "__type": "ResourceNotFoundException" }),
                    ),
                }
            }
            _ => json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "__type": "InternalFailure" })),
        }
    }

    /// What was sent so far.
    pub fn sent(&self) -> Vec<(String, Value)> {
        self.sent.lock().unwrap().clone()
    }
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/x-amz-json-1.0")], body.to_string()).into_response()
}
