//! Pushes that are signed with a time, in our own headers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderValue, Method};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform::Services;
use serde_json::json;
use webhook::{MAX_BODY, SIGNATURE_HEADER, TIMESTAMP_HEADER, Webhook, sign};

use crate::support::{self, Doubles, HandClock};

const NOW: i64 = 1_795_350_000;
const BODY: &[u8] = br#"{"scan":"finished"}"#;
const CONFIG: &str = r#"
connectors:
  - name: qualys-prod
    type: qualys
    base_url: https://qualysapi.qualys.com
    auth: { method: basic, username: "${USER}", password: "${PASS}" }
webhooks:
  - name: scans
    connector: qualys-prod
    secrets: ["${NEW}", "${OLD}"]
"#;

struct Setting {
    webhook: Webhook,
    doubles: Arc<Doubles>,
    clock: Arc<HandClock>,
}

impl Setting {
    async fn new() -> Self {
        let clock = Arc::new(HandClock(NOW.into()));
        let (doubles, queue, secrets) = Doubles::start(clock.clone()).await;
        doubles
            .secrets
            .lock()
            .unwrap()
            .insert("vulnrelay/scans".into(), json!({ "NEW": "fresh", "OLD": "stale" }));
        let config = Arc::new(platform::parse_config("connectors.yaml", CONFIG).unwrap());
        let store = support::table().await;
        let metrics = platform::Metrics::new(Arc::new(platform::telemetry::Log), clock.clone());
        let services =
            Services { store, queue, secrets, clock: clock.clone(), metrics, config, config_version: 1 };
        Self { webhook: Webhook::new(&services), doubles, clock }
    }

    async fn status(&self, request: ApiGatewayV2httpRequest) -> i64 {
        self.webhook.handle(request).await.status_code
    }

    fn starts(&self) -> usize {
        self.doubles.sent().len()
    }
}

fn request(
    path: &str,
    method: Method,
    body: &[u8],
    timestamp: Option<&str>,
    signature: Option<&str>,
) -> ApiGatewayV2httpRequest {
    let mut headers = HeaderMap::new();
    for (name, value) in [(TIMESTAMP_HEADER, timestamp), (SIGNATURE_HEADER, signature)] {
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
    }
    let mut request = ApiGatewayV2httpRequest::default();
    request.raw_path = Some(path.to_owned());
    request.request_context.http.method = method;
    request.headers = headers;
    request.body = Some(String::from_utf8(body.to_vec()).unwrap());
    request
}

/// A push as its sender makes it.
fn push(secret: &str, timestamp: i64, body: &[u8]) -> ApiGatewayV2httpRequest {
    let signature = sign(secret, timestamp, body);
    request("/webhooks/scans", Method::POST, body, Some(&timestamp.to_string()), Some(&signature))
}

fn text(response: &ApiGatewayV2httpResponse) -> String {
    match &response.body {
        Some(Body::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

#[tokio::test]
async fn a_signed_push_starts_an_incremental_pull() {
    let setting = Setting::new().await;
    let response = setting.webhook.handle(push("fresh", NOW, BODY)).await;
    assert_eq!(response.status_code, 202);
    assert_eq!(text(&response), r#"{"accepted":true}"#);
    let sent = setting.doubles.sent();
    assert_eq!((sent.len(), sent[0].0.as_str()), (1, "sync-qualys"));
    assert_eq!((&sent[0].1["connector"], &sent[0].1["start"]), (&json!("qualys-prod"), &json!("webhook")));
    let request = sent[0].1["request"].as_str().unwrap();
    assert!(request.starts_with("scans ") && request.len() > 20, "it names this push: {request}");
}

#[tokio::test]
async fn what_is_not_signed_rightly_gets_one_and_the_same_answer() {
    let setting = Setting::new().await;
    let signature = sign("fresh", NOW, BODY);
    let now = NOW.to_string();
    let mut changed = BODY.to_vec();
    changed[2] ^= 1;
    let path = "/webhooks/scans";
    let bad = [
        ("forged", push("guessed", NOW, BODY)),
        ("one byte of the body changed", request(path, Method::POST, &changed, Some(&now), Some(&signature))),
        (
            "another timestamp",
            request(path, Method::POST, BODY, Some(&(NOW + 1).to_string()), Some(&signature)),
        ),
        ("too old", push("fresh", NOW - 301, BODY)),
        ("in the future", push("fresh", NOW + 301, BODY)),
        ("no signature", request(path, Method::POST, BODY, Some(&now), None)),
        ("no timestamp", request(path, Method::POST, BODY, None, Some(&signature))),
        ("no number", request(path, Method::POST, BODY, Some("yesterday"), Some(&signature))),
        ("half a signature", request(path, Method::POST, BODY, Some(&now), Some(&signature[..30]))),
        ("an empty secret", push("", NOW, BODY)),
    ];
    let mut answers = std::collections::BTreeSet::new();
    for (what, request) in bad {
        let response = setting.webhook.handle(request).await;
        assert_eq!(response.status_code, 401, "{what}");
        answers.insert(text(&response));
    }
    assert_eq!(answers.len(), 1, "the answer must not tell what was wrong: {answers:?}");
    assert_eq!(setting.starts(), 0);
}

#[tokio::test]
async fn the_edges_of_the_tolerance_still_pass() {
    let setting = Setting::new().await;
    assert_eq!(setting.status(push("fresh", NOW - 300, BODY)).await, 202);
    assert_eq!(setting.status(push("fresh", NOW + 300, BODY)).await, 202);
}

#[tokio::test]
async fn a_replay_is_answered_alike_and_starts_nothing() {
    let setting = Setting::new().await;
    assert_eq!(setting.status(push("fresh", NOW, BODY)).await, 202);
    assert_eq!(setting.status(push("fresh", NOW, BODY)).await, 202);
    // The same content in another spelling of the signature, or signed with the other secret, is the same push.
    let shouted = sign("fresh", NOW, BODY).to_uppercase().replace("SHA256", "sha256");
    let again = request("/webhooks/scans", Method::POST, BODY, Some(&NOW.to_string()), Some(&shouted));
    assert_eq!(setting.status(again).await, 202);
    assert_eq!(setting.status(push("stale", NOW, BODY)).await, 202);
    assert_eq!(setting.starts(), 1);
    // The same content signed anew is a new push.
    assert_eq!(setting.status(push("fresh", NOW + 1, BODY)).await, 202);
    assert_eq!(setting.starts(), 2);
    // Once the memory may be gone, the timestamp refuses it.
    setting.clock.0.store(NOW + 2 * 3_600, Ordering::SeqCst);
    assert_eq!(setting.status(push("fresh", NOW, BODY)).await, 401);
}

#[tokio::test]
async fn during_a_rotation_both_secrets_count_and_either_may_be_missing() {
    let setting = Setting::new().await;
    assert_eq!(setting.status(push("stale", NOW, b"1")).await, 202);
    assert_eq!(setting.status(push("fresh", NOW, b"2")).await, 202);
    setting.doubles.secrets.lock().unwrap().insert("vulnrelay/scans".into(), json!({ "NEW": "fresh" }));
    setting.clock.0.store(NOW + 301, Ordering::SeqCst);
    assert_eq!(setting.status(push("stale", NOW + 301, b"3")).await, 401);
    assert_eq!(setting.status(push("fresh", NOW + 301, b"4")).await, 202);
}

#[tokio::test]
async fn the_signature_is_of_the_decoded_bytes() {
    let setting = Setting::new().await;
    let bytes = [0, 159, 146, 150, 255];
    let mut binary = push("fresh", NOW, b"");
    binary.headers.insert(SIGNATURE_HEADER, HeaderValue::from_str(&sign("fresh", NOW, &bytes)).unwrap());
    binary.body = Some(STANDARD.encode(bytes));
    binary.is_base64_encoded = true;
    assert_eq!(setting.status(binary.clone()).await, 202);
    binary.body = Some("not base64!".into());
    assert_eq!(setting.status(binary).await, 401);
}

#[tokio::test]
async fn paths_methods_and_sizes_are_checked() {
    let setting = Setting::new().await;
    let other = |path: &str, method| request(path, method, BODY, None, None);
    for path in ["/webhooks/nobody", "/webhooks/", "/webhooks", "/webhooks/scans/x", "/"] {
        assert_eq!(setting.status(other(path, Method::POST)).await, 404, "{path}");
    }
    let response = setting.webhook.handle(other("/webhooks/scans", Method::GET)).await;
    assert_eq!(response.status_code, 405);
    assert_eq!(response.headers["allow"], "POST");

    let largest = vec![b'a'; MAX_BODY];
    assert_eq!(setting.status(push("fresh", NOW, &largest)).await, 202);
    let larger = vec![b'a'; MAX_BODY + 1];
    assert_eq!(setting.status(push("fresh", NOW, &larger)).await, 413);
    let mut encoded = push("fresh", NOW, b"");
    encoded.body = Some(STANDARD.encode(&larger));
    encoded.is_base64_encoded = true;
    assert_eq!(setting.status(encoded).await, 413);
}

#[tokio::test]
async fn a_push_that_could_not_be_passed_on_may_be_repeated() {
    let setting = Setting::new().await;
    setting.doubles.queue_fails.store(true, Ordering::SeqCst);
    let response = setting.webhook.handle(push("fresh", NOW, BODY)).await;
    assert_eq!(response.status_code, 503);
    assert!(response.headers.contains_key("retry-after"));
    setting.doubles.queue_fails.store(false, Ordering::SeqCst);
    assert_eq!(setting.status(push("fresh", NOW, BODY)).await, 202);
    assert_eq!(setting.starts(), 1);
}

#[tokio::test]
async fn without_its_secret_a_source_asks_to_try_again() {
    let setting = Setting::new().await;
    setting.doubles.secrets.lock().unwrap().clear();
    assert_eq!(setting.status(push("fresh", NOW, BODY)).await, 503);
    assert_eq!(setting.starts(), 0);
}
