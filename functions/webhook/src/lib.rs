//! Pushes from outside: verified on their raw bytes, told apart from replays, answered at once.
//!
//! Every source says how its pushes prove where they come from:
//!
//! | `verify` | proof | told apart by | remembered for |
//! | --- | --- | --- | --- |
//! | `hmac` | [`TIMESTAMP_HEADER`], seconds since 1970, and [`SIGNATURE_HEADER`], `sha256=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<body>` | time and body | longer than its time lets it pass |
//! | `github` | [`GITHUB_HEADER`], the same of the body alone | body | `remember`, a day |
//! | `static_header` | the secret, in the header that `header` names | body | `remember`, a minute |
//! | `sns` | the signature of Amazon SNS, of one of `topics` | id of the message | longer than its time lets it pass |
//!
//! A push does not carry data, it starts an incremental pull of the connector that the configuration names: what is in
//! its body is only looked at to verify it, so that no body is too large for a queue. Whoever replays a captured push
//! within its time starts nothing; he gets the same answer as the sender, so that a sender whose answer was lost may
//! repeat it. Pushes may come in any order, because what they start asks the scanner for its present state.
//!
//! SNS asks a new subscriber to confirm, which is done at once for the configured topics.
//!
//! | answer | when |
//! | --- | --- |
//! | 202 | accepted, now or before |
//! | 401 | proof or time missing or wrong; which of them is not told |
//! | 404 | no such source |
//! | 405 | not a POST |
//! | 413 | a body over 1 MiB |
//! | 503 | could not be worked now: send it again |

mod signature;
mod sns;

use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderValue, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::policy::{Config, Verification, WebhookSource};
use jiff::{SignedDuration, Timestamp};
use platform::{Clock, SecretError, Secrets, Services};
use queue::{Outgoing, Queue, QueueName, SyncMessage, Trigger};
use secrecy::{ExposeSecret, SecretString};
use store::Store;

pub use signature::{sign, sign_body};
pub use sns::SnsOptions;

use sns::{Sns, SnsError, Wanted};

/// Largest body.
pub const MAX_BODY: usize = 1024 * 1024;
/// Header with the signature.
pub const SIGNATURE_HEADER: &str = "x-vulnrelay-signature";
/// Header with the time of signing.
pub const TIMESTAMP_HEADER: &str = "x-vulnrelay-timestamp";
/// Header with the signature of the body alone, as GitHub sends it.
pub const GITHUB_HEADER: &str = "x-hub-signature-256";
/// A push is remembered for longer than its timestamp would let it pass.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// Takes pushes.
pub struct Webhook {
    store: Store,
    queue: Queue,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    sns: Sns,
}

/// A push that is verified.
enum Verified {
    /// It starts a pull, unless one of this digest did before; to be remembered until then.
    Push { digest: String, until: Timestamp },
    /// It was about the way of pushing, and is done with.
    Done,
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
        Self::with_sns(services, SnsOptions::default())
    }

    /// The same with another way to SNS.
    pub fn with_sns(services: &Services, options: SnsOptions) -> Self {
        let Services { store, queue, secrets, clock, config, .. } = services.clone();
        Self { store, queue, secrets, clock, config, sns: Sns::new(options) }
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
        match self.verify(source, &event.headers, &body, now).await? {
            Verified::Push { digest, until } => self.start_once(source, &digest, now, until).await,
            Verified::Done => Ok(()),
        }
    }

    /// Whether the push is from its source.
    async fn verify(
        &self,
        source: &WebhookSource,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match source.verify {
            Verification::Hmac => {
                let timestamp = text(TIMESTAMP_HEADER)
                    .and_then(|value| value.parse().ok())
                    .and_then(|seconds| Timestamp::from_second(seconds).ok())
                    .ok_or(Refusal::NotVerified)?;
                let signature =
                    text(SIGNATURE_HEADER).and_then(signature::parse).ok_or(Refusal::NotVerified)?;
                if now.duration_since(timestamp).abs() > source.tolerance().duration() {
                    return Err(Refusal::NotVerified);
                }
                let signed = Some(timestamp.as_second());
                self.by_secret(source, |secret| signature::verifies(secret, signed, body, &signature))
                    .await?;
                let until = timestamp + source.tolerance().duration() + REMEMBERED;
                Ok(Verified::Push { digest: signature::digest(signed, body), until })
            }
            Verification::Github => {
                let signature = text(GITHUB_HEADER).and_then(signature::parse).ok_or(Refusal::NotVerified)?;
                self.by_secret(source, |secret| signature::verifies(secret, None, body, &signature)).await?;
                Ok(remembered(source, body, now))
            }
            Verification::StaticHeader => {
                let name = source.header.as_deref().unwrap_or_default();
                let given = headers.get(name).ok_or(Refusal::NotVerified)?.as_bytes();
                self.by_secret(source, |secret| signature::same(secret, given)).await?;
                Ok(remembered(source, body, now))
            }
            Verification::Sns => match self.sns.verify(source, body, now).await {
                Ok(Wanted::Notified { id, at }) => {
                    let until = at + source.tolerance().duration() + REMEMBERED;
                    Ok(Verified::Push { digest: signature::digest(None, id.as_bytes()), until })
                }
                Ok(Wanted::Confirmed) => {
                    tracing::info!(source = %source.name, "a subscription was confirmed");
                    Ok(Verified::Done)
                }
                Ok(Wanted::Unsubscribed) => {
                    tracing::warn!(source = %source.name, "a subscription has ended, this source pushes no more");
                    Ok(Verified::Done)
                }
                Err(SnsError::NotVerified(problem)) => {
                    tracing::info!(source = %source.name, problem, "a message of SNS is refused");
                    Err(Refusal::NotVerified)
                }
                Err(SnsError::Unreachable(error)) => {
                    tracing::error!(source = %source.name, %error, "SNS cannot be asked about a message");
                    Err(Refusal::TryAgain)
                }
            },
        }
    }

    /// Whether one of the source's secrets proves it. Anybody could prove an empty one.
    async fn by_secret(&self, source: &WebhookSource, proves: impl Fn(&[u8]) -> bool) -> Result<(), Refusal> {
        let secrets = self.secrets_of(source).await?;
        let mut secrets = secrets.iter().map(|secret| secret.expose_secret().as_bytes());
        if secrets.any(|secret| !secret.is_empty() && proves(secret)) {
            Ok(())
        } else {
            Err(Refusal::NotVerified)
        }
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
        digest: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), Refusal> {
        let failed = |what: &'static str| {
            move |error: &dyn std::fmt::Display| {
                tracing::error!(source = %source.name, %error, "{what}");
                Refusal::TryAgain
            }
        };
        let seen = self.store.push_seen(&source.name, digest, now).await;
        if seen.map_err(|e| failed("cannot look up a push")(&e))? {
            tracing::info!(source = %source.name, "a push was repeated; it starts nothing");
            return Ok(());
        }
        let Some(connector) = self.config.connector(&source.connector) else {
            tracing::error!(source = %source.name, connector = %source.connector, "a push names no connector");
            return Err(Refusal::TryAgain);
        };
        // A body that is pushed again after it was forgotten is another wish.
        let request = format!("{} {digest} {}", source.name, until.as_second());
        let start = SyncMessage::start(connector.name.clone(), Trigger::Webhook, request);
        let message = Outgoing::now(&start).map_err(|e| failed("cannot write a message")(&e))?;
        let sent = self.queue.send(QueueName::Sync(connector.scanner), message).await;
        sent.map_err(|e| failed("cannot start a pull for a push")(&e))?;
        // Two at the same time: the other one has remembered it.
        let remembered = self.store.first_time(&source.name, digest, now, until).await;
        remembered.map(|_| ()).map_err(|e| failed("cannot remember a push")(&e))
    }
}

/// A push without a time of its own: its body is remembered for a while.
fn remembered(source: &WebhookSource, body: &[u8], now: Timestamp) -> Verified {
    Verified::Push { digest: signature::digest(None, body), until: now + source.remember().duration() }
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
