//! Pushes from outside: verified on their raw bytes, told apart from replays, answered at once.
//!
//! A source sends `POST /webhooks/<source>` with two headers:
//!
//! | header | value |
//! | --- | --- |
//! | `x-vulnrelay-timestamp` | seconds since 1970, within the source's tolerance of our clock |
//! | `x-vulnrelay-signature` | `sha256=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<body>` |
//!
//! A push does not carry data, it starts an incremental pull of the connector that the configuration names. Whoever
//! replays a captured push within its time starts nothing; he gets the same answer as the sender, so that a sender
//! whose answer was lost may repeat it.
//!
//! | answer | when |
//! | --- | --- |
//! | 202 | accepted, now or before |
//! | 401 | signature or timestamp missing or wrong; which of them is not told |
//! | 404 | no such source |
//! | 405 | not a POST |
//! | 413 | a body over 1 MiB |
//! | 503 | could not be worked now: send it again |

mod signature;

use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderValue, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::policy::{Config, WebhookSource};
use jiff::{SignedDuration, Timestamp};
use platform::{Clock, SecretError, Secrets, Services};
use queue::{Outgoing, Queue, QueueName, SyncMessage, Trigger};
use secrecy::{ExposeSecret, SecretString};
use store::Store;

pub use signature::sign;

/// Largest body.
pub const MAX_BODY: usize = 1024 * 1024;
/// Header with the signature.
pub const SIGNATURE_HEADER: &str = "x-vulnrelay-signature";
/// Header with the time of signing.
pub const TIMESTAMP_HEADER: &str = "x-vulnrelay-timestamp";
/// A push is remembered for longer than its timestamp would let it pass.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// Takes pushes.
pub struct Webhook {
    store: Store,
    queue: Queue,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
}

/// Why a push is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    UnknownSource,
    NotPost,
    TooLarge,
    NotVerified,
    TryAgain,
}

impl Refusal {
    fn answer(self) -> ApiGatewayV2httpResponse {
        let (status, text) = match self {
            Self::UnknownSource => (404, "there is no such source"),
            Self::NotPost => (405, "send a POST"),
            Self::TooLarge => (413, "a body may have 1 MiB"),
            Self::NotVerified => (401, "the push could not be verified"),
            Self::TryAgain => (503, "the push could not be worked now: send it again"),
        };
        let mut answer = respond(status, &serde_json::json!({ "error": text }));
        if self == Self::NotPost {
            answer.headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if self == Self::TryAgain {
            answer.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        answer
    }
}

impl Webhook {
    /// The function with what it works with. The secrets of a source are read under the source's name.
    pub fn new(services: &Services) -> Self {
        let Services { store, queue, secrets, clock, config, .. } = services.clone();
        Self { store, queue, secrets, clock, config }
    }

    /// Answers one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        match self.take(&event).await {
            Ok(()) => respond(202, &serde_json::json!({ "accepted": true })),
            Err(refusal) => refusal.answer(),
        }
    }

    async fn take(&self, event: &ApiGatewayV2httpRequest) -> Result<(), Refusal> {
        let path =
            event.raw_path.as_deref().or(event.request_context.http.path.as_deref()).unwrap_or_default();
        let name = path.strip_prefix("/webhooks/").ok_or(Refusal::UnknownSource)?;
        let source =
            self.config.webhooks.iter().find(|s| s.name.as_str() == name).ok_or(Refusal::UnknownSource)?;
        if event.request_context.http.method != Method::POST {
            return Err(Refusal::NotPost);
        }
        let body = raw_body(event)?;
        let now = self.clock.now();
        let timestamp = self.verify(source, &event.headers, &body, now).await?;
        self.start_once(source, timestamp, &body).await
    }

    /// The time at which the push was signed, if it was.
    async fn verify(
        &self,
        source: &WebhookSource,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Timestamp, Refusal> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let timestamp = text(TIMESTAMP_HEADER)
            .and_then(|value| value.parse().ok())
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or(Refusal::NotVerified)?;
        let signature = text(SIGNATURE_HEADER).and_then(signature::parse).ok_or(Refusal::NotVerified)?;
        if now.duration_since(timestamp).abs() > source.tolerance.duration() {
            return Err(Refusal::NotVerified);
        }
        for secret in self.secrets_of(source).await? {
            let secret = secret.expose_secret().as_bytes();
            // Anybody could sign with an empty secret.
            if !secret.is_empty() && signature::verifies(secret, timestamp.as_second(), body, &signature) {
                return Ok(timestamp);
            }
        }
        Err(Refusal::NotVerified)
    }

    /// The secrets that can be had. During a rotation one of them may be gone already.
    async fn secrets_of(&self, source: &WebhookSource) -> Result<Vec<SecretString>, Refusal> {
        let mut found = Vec::with_capacity(source.secrets.len());
        for text in &source.secrets {
            match self.secrets.resolve(source.name.as_str(), text).await {
                Ok(secret) => found.push(secret),
                Err(error @ SecretError::NoKey { .. }) => {
                    tracing::warn!(source = %source.name, %error, "a secret of a push source is missing");
                }
                Err(error) => {
                    tracing::error!(source = %source.name, %error, "the secrets of a push source cannot be read");
                    return Err(Refusal::TryAgain);
                }
            }
        }
        if found.is_empty() { Err(Refusal::TryAgain) } else { Ok(found) }
    }

    /// Starts a pull unless this push did before.
    ///
    /// The push is remembered after the message is sent: a function that dies in between starts a pull twice when the
    /// push is repeated, which the run under way absorbs, and never not at all.
    async fn start_once(
        &self,
        source: &WebhookSource,
        timestamp: Timestamp,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let digest = signature::digest(timestamp.as_second(), body);
        let failed = |what: &'static str| {
            move |error: &dyn std::fmt::Display| {
                tracing::error!(source = %source.name, %error, "{what}");
                Refusal::TryAgain
            }
        };
        let seen = self.store.push_seen(&source.name, &digest).await;
        if seen.map_err(|e| failed("cannot look up a push")(&e))? {
            tracing::info!(source = %source.name, "a push was repeated; it starts nothing");
            return Ok(());
        }
        let Some(connector) = self.config.connector(&source.connector) else {
            tracing::error!(source = %source.name, connector = %source.connector, "a push names no connector");
            return Err(Refusal::TryAgain);
        };
        let request = format!("{} {digest}", source.name);
        let start = SyncMessage::start(connector.name.clone(), Trigger::Webhook, request);
        let message = Outgoing::now(&start).map_err(|e| failed("cannot write a message")(&e))?;
        let sent = self.queue.send(QueueName::Sync(connector.scanner), message).await;
        sent.map_err(|e| failed("cannot start a pull for a push")(&e))?;
        let expires = timestamp + source.tolerance.duration() + REMEMBERED;
        // Two at the same time: the other one has remembered it.
        let remembered = self.store.first_time(&source.name, &digest, expires).await;
        remembered.map(|_| ()).map_err(|e| failed("cannot remember a push")(&e))
    }
}

/// The bytes that were signed.
fn raw_body(event: &ApiGatewayV2httpRequest) -> Result<Vec<u8>, Refusal> {
    let text = event.body.as_deref().unwrap_or_default();
    let body = if event.is_base64_encoded {
        // Four characters stand for three bytes: what is too large is not decoded first.
        if text.len() / 4 * 3 > MAX_BODY + 2 {
            return Err(Refusal::TooLarge);
        }
        STANDARD.decode(text).map_err(|_| Refusal::NotVerified)?
    } else {
        if text.len() > MAX_BODY {
            return Err(Refusal::TooLarge);
        }
        text.as_bytes().to_vec()
    };
    if body.len() > MAX_BODY { Err(Refusal::TooLarge) } else { Ok(body) }
}

fn respond(status: i64, body: &serde_json::Value) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = status;
    response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.body = Some(Body::Text(body.to_string()));
    response
}
