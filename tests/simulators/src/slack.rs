//! A simulated Slack incoming webhook: `POST /services/T0SIMULATE/B0SIMULATE/`[`SECRET`].
//!
//! Messages are validated as Slack does and kept in [`crate::Received`] as
//! `{"channel":"slack","text","body","at"}`. The fault endpoint is `post`, its key the text of the message.
//! Slack accepts one message a second with bursts; how long a burst may be is an option:
//! `POST /control/burst?messages=N` (default [`BURST`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Fault, World, apply_with};

/// The workspace of the webhook.
pub const TEAM: &str = "T0SIMULATE";
/// The service of the webhook.
pub const SERVICE: &str = "B0SIMULATE";
/// The secret part of the webhook's address. It guards nothing; it is there to be looked for in logs and pages.
pub const SECRET: &str = "simulatedslackwebhooksecret";
/// How many messages may come at once, unless told otherwise.
pub const BURST: u32 = 1000;

const MAX_BLOCKS: usize = 50;
const MAX_SECTION: usize = 3000;
const MAX_HEADER: usize = 150;
const MAX_FIELDS: usize = 10;
const MAX_FIELD: usize = 2000;
const MAX_ELEMENTS: usize = 10;
const MAX_ACTIONS: usize = 25;
const MAX_BUTTON: usize = 75;
const MAX_ID: usize = 255;

/// The path of the webhook below the simulator's `/slack`.
pub fn webhook_path() -> String {
    format!("/services/{TEAM}/{SERVICE}/{SECRET}")
}

/// The routes of Slack.
pub fn router(world: Arc<World>) -> Router {
    let slack = Arc::new(Slack { world, bucket: Mutex::new(Bucket::new(BURST)) });
    Router::new()
        .route("/services/{team}/{service}/{secret}", post(receive))
        .route("/control/burst", post(set_burst))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "no_service") })
        .with_state(slack)
}

struct Slack {
    world: Arc<World>,
    bucket: Mutex<Bucket>,
}

/// Fills by one message a second of real time.
struct Bucket {
    burst: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    fn new(burst: u32) -> Self {
        Self { burst: f64::from(burst), left: f64::from(burst), filled: Instant::now() }
    }

    fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + earned).min(self.burst);
        self.filled = now;
        let fits = self.left >= 1.0;
        if fits {
            self.left -= 1.0;
        }
        fits
    }
}

#[derive(Deserialize)]
struct Burst {
    messages: u32,
}

async fn set_burst(State(slack): State<Arc<Slack>>, Query(burst): Query<Burst>) -> Json<Value> {
    *slack.bucket.lock().unwrap_or_else(PoisonError::into_inner) = Bucket::new(burst.messages);
    Json(json!({ "burst": burst.messages }))
}

async fn receive(
    State(slack): State<Arc<Slack>>,
    Path((team, service, secret)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let world = &slack.world;
    if (team.as_str(), service.as_str(), secret.as_str()) != (TEAM, SERVICE, SECRET) {
        return refuse(world, StatusCode::NOT_FOUND, "no_service");
    }
    let Some(message) = parse(&headers, &body) else {
        return refuse(world, StatusCode::BAD_REQUEST, "invalid_payload");
    };
    let key = message["text"].as_str().unwrap_or_default().to_owned();
    if world.faults.peek("slack", "post", &key) == Some(Fault::RateLimit) {
        world.faults.next("slack", "post", &key);
        return limited(world);
    }
    apply_with(world, "slack", "post", &key, |_| {
        if !slack.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return limited(world);
        }
        if let Err(error) = validate(&message) {
            return refuse(world, StatusCode::BAD_REQUEST, error);
        }
        world.received.record_message(json!({
            "channel": "slack",
            "text": message["text"],
            "body": message,
            "at": world.clock.now().to_string(),
        }));
        text(StatusCode::OK, "ok")
    })
    .await
}

/// The message: the JSON body, or the `payload` of a form.
fn parse(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let message: Value = if content_type.starts_with("application/x-www-form-urlencoded") {
        let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload")?.1;
        serde_json::from_str(&payload).ok()?
    } else {
        serde_json::from_slice(body).ok()?
    };
    message.is_object().then_some(message)
}

fn validate(message: &Value) -> Result<(), &'static str> {
    let written = match &message["text"] {
        Value::Null => "",
        Value::String(text) => text,
        _ => return Err("invalid_payload"),
    };
    let blocks = match &message["blocks"] {
        Value::Null => [].as_slice(),
        Value::Array(blocks) => blocks,
        _ => return Err("invalid_blocks_format"),
    };
    let attached = message["attachments"].as_array().is_some_and(|attachments| !attachments.is_empty());
    if written.trim().is_empty() && blocks.is_empty() && !attached {
        return Err("no_text");
    }
    let valid = blocks.len() <= MAX_BLOCKS && blocks.iter().all(block_is_valid);
    valid.then_some(()).ok_or("invalid_blocks")
}

fn block_is_valid(block: &Value) -> bool {
    let all = |name: &str, max: usize, valid: fn(&Value) -> bool| {
        block[name].as_array().is_some_and(|list| (1..=max).contains(&list.len()) && list.iter().all(valid))
    };
    if !block["block_id"].is_null() && block["block_id"].as_str().is_none_or(|id| id.chars().count() > MAX_ID)
    {
        return false;
    }
    match block["type"].as_str() {
        Some("section") => {
            let text = is_text(&block["text"], MAX_SECTION);
            let fields = all("fields", MAX_FIELDS, |field| is_text(field, MAX_FIELD));
            (text || block["text"].is_null()) && (fields || block["fields"].is_null()) && (text || fields)
        }
        Some("header") => block["text"]["type"] == "plain_text" && is_text(&block["text"], MAX_HEADER),
        Some("context") => all("elements", MAX_ELEMENTS, |element| {
            element["type"] == "image" || is_text(element, MAX_SECTION)
        }),
        Some("actions") => all("elements", MAX_ACTIONS, |element| {
            element["type"] != "button"
                || (element["text"]["type"] == "plain_text" && is_text(&element["text"], MAX_BUTTON))
        }),
        Some("divider") => true,
        Some("image") => block["image_url"].is_string() && block["alt_text"].is_string(),
        Some("rich_text") => block["elements"].is_array(),
        _ => false,
    }
}

fn is_text(object: &Value, max: usize) -> bool {
    matches!(object["type"].as_str(), Some("plain_text" | "mrkdwn"))
        && object["text"].as_str().is_some_and(|text| (1..=max).contains(&text.chars().count()))
}

fn limited(world: &World) -> Response {
    let answer = refuse(world, StatusCode::TOO_MANY_REQUESTS, "rate_limited");
    ([(header::RETRY_AFTER, "1")], answer).into_response()
}

fn refuse(world: &World, status: StatusCode, error: &'static str) -> Response {
    world.received.refuse(format!("slack.post: {} {error}", status.as_u16()));
    text(status, error)
}

fn text(status: StatusCode, words: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], words).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::Options;

    fn slack() -> Arc<Slack> {
        let world = World::new(Options::new(7, 5, "2026-09-01T00:00:00Z".parse().unwrap()));
        Arc::new(Slack { world, bucket: Mutex::new(Bucket::new(BURST)) })
    }

    async fn send(slack: &Arc<Slack>, secret: &str, body: &str) -> (u16, String) {
        let path = Path((TEAM.to_owned(), SERVICE.to_owned(), secret.to_owned()));
        let bytes = Bytes::from(body.to_owned());
        let answer = receive(State(slack.clone()), path, HeaderMap::new(), bytes).await;
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn verdict(body: Value) -> (u16, String) {
        send(&slack(), SECRET, &body.to_string()).await
    }

    fn is(status: u16, words: &str) -> (u16, String) {
        (status, words.to_owned())
    }

    fn section(text: &str) -> Value {
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
    }

    #[tokio::test]
    async fn a_message_is_kept_as_it_came() {
        let slack = slack();
        let body = json!({ "text": "3 overdue", "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": "Overdue" } },
            section("*web-1* CVE-2021-44228"),
            { "type": "divider" },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": "budget 1 of 20" }] },
        ]});
        assert_eq!(send(&slack, SECRET, &body.to_string()).await, is(200, "ok"));
        let messages = slack.world.received.messages();
        assert_eq!(messages.len(), 1);
        assert_eq!((&messages[0]["body"], &messages[0]["text"]), (&body, &json!("3 overdue")));
        assert!(slack.world.received.refused().is_empty());
    }

    #[tokio::test]
    async fn what_slack_refuses_is_refused_by_its_name() {
        assert_eq!(send(&slack(), SECRET, "no json").await, is(400, "invalid_payload"));
        assert_eq!(send(&slack(), SECRET, "[]").await, is(400, "invalid_payload"));
        assert_eq!(verdict(json!({})).await, is(400, "no_text"));
        assert_eq!(verdict(json!({ "text": " " })).await, is(400, "no_text"));
        assert_eq!(verdict(json!({ "text": 7 })).await, is(400, "invalid_payload"));
        let slack = slack();
        assert_eq!(send(&slack, "wrong", r#"{"text":"x"}"#).await, is(404, "no_service"));
        assert_eq!(slack.world.received.refused(), ["slack.post: 404 no_service"]);
        assert!(slack.world.received.messages().is_empty());
    }

    #[tokio::test]
    async fn blocks_have_limits() {
        let blocks = |blocks: Value| verdict(json!({ "text": "x", "blocks": blocks }));
        assert_eq!(blocks(json!(vec![section("a"); 50])).await, is(200, "ok"));
        assert_eq!(blocks(json!(vec![section("a"); 51])).await, is(400, "invalid_blocks"));
        assert_eq!(blocks(json!([section(&"ü".repeat(3000))])).await, is(200, "ok"));
        assert_eq!(blocks(json!([section(&"ü".repeat(3001))])).await, is(400, "invalid_blocks"));
        assert_eq!(blocks(json!([section("")])).await, is(400, "invalid_blocks"));
        let header =
            |text: String| json!([{ "type": "header", "text": { "type": "plain_text", "text": text } }]);
        assert_eq!(blocks(header("h".repeat(150))).await, is(200, "ok"));
        assert_eq!(blocks(header("h".repeat(151))).await, is(400, "invalid_blocks"));
        assert_eq!(
            blocks(json!([{ "type": "header", "text": { "type": "mrkdwn", "text": "h" } }])).await.0,
            400
        );
        assert_eq!(blocks(json!([{ "type": "unheard-of" }])).await, is(400, "invalid_blocks"));
        assert_eq!(blocks(json!({})).await, is(400, "invalid_blocks_format"));
    }

    #[tokio::test]
    async fn a_burst_that_is_too_long_is_slowed_down() {
        let slack = slack();
        let burst = Query(Burst { messages: 2 });
        let _ = set_burst(State(slack.clone()), burst).await;
        let message = r#"{"text":"x"}"#;
        assert_eq!(send(&slack, SECRET, message).await.0, 200);
        assert_eq!(send(&slack, SECRET, message).await.0, 200);
        assert_eq!(send(&slack, SECRET, message).await, is(429, "rate_limited"));
        assert_eq!(slack.world.received.messages().len(), 2);
        let mut bucket = Bucket::new(1);
        let now = Instant::now();
        assert!(bucket.take(now));
        assert!(!bucket.take(now));
        assert!(bucket.take(now + std::time::Duration::from_millis(1100)));
    }

    #[tokio::test]
    async fn a_form_with_a_payload_is_a_message_too() {
        let slack = slack();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        let path = Path((TEAM.to_owned(), SERVICE.to_owned(), SECRET.to_owned()));
        let body = Bytes::from_static(b"payload=%7B%22text%22%3A%22hi%22%7D");
        assert_eq!(receive(State(slack.clone()), path, headers, body).await.status(), StatusCode::OK);
        assert_eq!(slack.world.received.messages()[0]["text"], "hi");
    }

    #[tokio::test]
    async fn the_simulated_rate_limit_says_when_to_come_back() {
        let slack = slack();
        slack.world.faults.set("slack:ratelimit~1").unwrap();
        let path = || Path((TEAM.to_owned(), SERVICE.to_owned(), SECRET.to_owned()));
        let body = || Bytes::from_static(br#"{"text":"hi"}"#);
        let answer = receive(State(slack.clone()), path(), HeaderMap::new(), body()).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::RETRY_AFTER]),
            (429, &"1".parse().unwrap())
        );
        let answer = receive(State(slack.clone()), path(), HeaderMap::new(), body()).await;
        assert_eq!(answer.status().as_u16(), 200);
    }
}
